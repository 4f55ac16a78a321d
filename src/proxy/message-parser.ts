/**
 * What requests and answers have in common on the wire: strict where a second reader could see other borders
 * (RFC 9112), and without memory beyond a partial line. Fed what was read, it says what of a message was in
 * it.
 *
 * ```
 * head ─► [waiting] ─► length ─────────────────────► done        anything else ─► broken
 *                 └──► size ─► [extension] ─► sizeEnd ─► data ─► dataCr ─► dataLf ─► size …
 *                 │                              └► trailers ─► done
 *                 └──► untilClose
 * ```
 */
import { limits } from '../contract/limits.ts'
import type { Line } from './message-head.ts'
import {
  COLON,
  CR,
  extensionForm,
  hexDigit,
  isBlank,
  isClean,
  isTokenChar,
  isValueChar,
  LF,
  SEMICOLON,
} from './syntax.ts'

export const state = {
  head: 0,
  length: 1,
  size: 2,
  extension: 3,
  sizeEnd: 4,
  data: 5,
  dataCr: 6,
  dataLf: 7,
  trailers: 8,
  untilClose: 9,
  /** From here on nothing is read: what follows the head waits for its reader. */
  waiting: 10,
  done: 11,
  broken: 12,
} as const

export interface ParserBounds {
  /** Of one head, and of the trailers. */
  readonly headerBytes: number
  readonly headerCount: number
}

/** What was too much, or that it is no HTTP whose borders are certain. */
export type Fault = 'malformed' | 'head_too_large' | 'extensions_too_large'

const NO_FIELDS: string[] = []

/** Digits of a chunk size: more than any size needs, so leading zeros are bounded too. */
const SIZE_DIGITS_MAX = 16
/** Up to so many bytes a loop is cheaper than a call. */
const LOOP_BYTES_MAX = 16

/** The empty line that ends a section. */
function emptyLine(text: string, at: number): 'empty' | 'partial' | 'broken' {
  if (at + 1 === text.length) return 'partial'
  return text.charCodeAt(at + 1) === LF ? 'empty' : 'broken'
}

/** RFC 9112 §5.1, §5.2: no space before the colon, no line that continues the one before. */
function findLine(text: string, from: number, line: Line): 'whole' | 'partial' | 'broken' {
  const { length } = text
  let colon = from
  while (colon < length && isTokenChar[text.charCodeAt(colon)] === 1) colon++
  if (colon === length) return 'partial'
  if (colon === from || text.charCodeAt(colon) !== COLON) return 'broken'
  let valueFrom = colon + 1
  while (valueFrom < length && isBlank(text.charCodeAt(valueFrom))) valueFrom++
  let end = valueFrom
  while (end < length && isValueChar[text.charCodeAt(end)] === 1) end++
  if (end < length && text.charCodeAt(end) !== CR) return 'broken'
  if (end + 1 >= length) return 'partial'
  if (text.charCodeAt(end + 1) !== LF) return 'broken'
  line.from = from
  line.colon = colon
  line.valueFrom = valueFrom
  line.to = end + 2
  while (end > valueFrom && isBlank(text.charCodeAt(end - 1))) end--
  line.valueTo = end
  return 'whole'
}

export abstract class MessageParser {
  /** Chunks are put together in the memory that was fed: one piece from here … */
  dataStart = 0
  /** … to here. */
  dataEnd = 0
  /** Flat: name, value. Complete when the message is done. */
  trailers = NO_FIELDS
  /** Why it is broken. */
  fault: Fault = 'malformed'
  protected state: number = state.head
  /** The first line of the head was read. */
  protected begun = false
  readonly #bounds: ParserBounds
  /** A line of a head or of trailers whose end is still missing. */
  #rest = ''
  readonly #line: Line = { from: 0, colon: 0, valueFrom: 0, valueTo: 0, to: 0 }
  /** Bytes and fields of this head, or of the trailers, so far. */
  #bytes = 0
  #fields = 0
  #sectionEnded = false
  /** Bytes left of the body or of the chunk; the size while its digits are read. */
  #left = 0
  #digits = 0
  #extension = ''
  #extensionBytes = 0

  constructor(bounds: ParserBounds) {
    this.#bounds = bounds
  }

  /** The message was whole. */
  get done(): boolean {
    return this.state === state.done
  }

  get broken(): boolean {
    return this.state === state.broken
  }

  /** A head is complete, and nobody reads what follows. */
  get bodyWaits(): boolean {
    return this.state === state.waiting
  }

  /** Something of the next message was read, and its head is not complete. */
  get inHead(): boolean {
    // Half of an empty line is nothing yet.
    return this.state === state.head && (this.begun || (this.#rest !== '' && this.#rest !== '\r'))
  }

  /** Expects the next message. */
  protected reset(): void {
    this.state = state.head
    this.begun = false
    this.#rest = ''
    this.#bytes = 0
    this.#fields = 0
    this.#extensionBytes = 0
    this.trailers = NO_FIELDS
  }

  /** Takes the first line of a head. False: it is none. */
  protected abstract firstLine(text: string, from: number, to: number): boolean
  /** Whether a partial first line can still become a good one: what cannot is not waited for. */
  protected abstract mayBeFirst(text: string): boolean
  /** Takes the next field of a head. False: it leaves the borders of the message in doubt. */
  protected abstract field(text: string, line: Line): boolean
  /** Whole field lines of a head stand from `from` to `to`; those that follow stand in another text. */
  protected abstract fieldsRead(text: string, from: number, to: number): void
  /** The head is complete. Returns the state that follows. */
  protected abstract headEnds(): number
  /** RFC 9112 §2.2: whether an empty line before the first is nothing. */
  protected abstract readonly emptyLinesFirst: boolean

  /**
   * Reads the bytes from `from` up to `length`, and may move body bytes among them. Returns where it ended:
   * before `length` where the message is done or broken, or its body waits for a reader.
   */
  protected read(bytes: Buffer, from: number, length: number): number {
    this.dataStart = 0
    this.dataEnd = 0
    let at = from
    while (at < length && this.state < state.waiting) {
      switch (this.state) {
        case state.head:
        case state.trailers:
          at = this.#section(bytes, at, length)
          break
        case state.length:
        case state.data:
        case state.untilClose:
          at = this.#data(bytes, at, length)
          break
        default:
          at = this.#chunkBorder(bytes, at, length)
      }
    }
    return at
  }

  #break(fault: Fault): void {
    this.state = state.broken
    this.fault = fault
  }

  // ── lines of a head, of trailers ────────────────────────────────────────────────────────────────────────

  /** Returns where it ends in these bytes. */
  #section(bytes: Buffer, at: number, length: number): number {
    const before = this.#rest.length
    let to = length
    if (before === 0 && this.state === state.head) {
      const end = bytes.indexOf('\r\n\r\n', at, 'latin1') + 4
      if (end > 3 && end <= length) to = end
    }
    const text = this.#rest + bytes.toString('latin1', at, to)
    this.#sectionEnded = false
    const used = this.#lines(text)
    if (this.broken) return length
    this.#bytes += used
    const ended = this.#sectionEnded
    const unread = ended ? 0 : text.length - used
    if (this.#bytes + unread > this.#bounds.headerBytes) {
      this.#break('head_too_large')
      return length
    }
    if (!ended) {
      this.#rest = text.slice(used)
      return to
    }
    this.#rest = ''
    this.#bytes = 0
    this.#fields = 0
    return at + used - before
  }

  /** Reads whole lines, up to the empty one. Returns how many characters they are. */
  #lines(text: string): number {
    const before = this.#rest.length
    // What was read before is not looked at again for each byte that comes.
    if (before > 0 && text.indexOf('\r\n', before - 1) === -1) return this.#partial(text, 0)
    if (this.state === state.trailers || this.begun) return this.#fieldLines(text, 0)
    const from = this.#firstLine(text)
    return this.begun ? this.#fieldLines(text, from) : from
  }

  /** Returns where it ends; the head has begun then, unless the line is bad or its end is missing. */
  #firstLine(text: string): number {
    let at = 0
    for (;;) {
      const end = text.indexOf('\r\n', at)
      if (end === -1) return this.#partial(text, at)
      if (end !== at) {
        this.begun = this.firstLine(text, at, end)
        if (!this.begun) this.#break('malformed')
        return end + 2
      }
      if (!this.emptyLinesFirst) {
        this.#break('malformed')
        return at
      }
      at = end + 2
    }
  }

  /** The line that begins there has no end yet. Returns where it begins. */
  #partial(text: string, from: number): number {
    const to = text.endsWith('\r') ? text.length - 1 : text.length
    const waits = this.begun || this.state === state.trailers
    // What was read before was looked at before, but for a CR at its end.
    const clean = isClean(text, Math.max(from, this.#rest.length - 1), to)
    if (!clean || (!waits && !this.mayBeFirst(text.slice(from, to)))) this.#break('malformed')
    return from
  }

  /** Reads whole field lines. Returns where they end. */
  #fieldLines(text: string, from: number): number {
    let at = from
    for (;;) {
      const found = text.charCodeAt(at) === CR ? emptyLine(text, at) : findLine(text, at, this.#line)
      if (found !== 'whole') {
        if (found === 'broken') this.#break('malformed')
        else if (this.state === state.head) this.fieldsRead(text, from, at)
        if (found !== 'empty') return at
        this.#sectionEnds()
        return at + 2
      }
      if (!this.#takeLine(text, this.#line)) return at
      at = this.#line.to
    }
  }

  /** False, and broken: it is not what it has to be. */
  #takeLine(text: string, line: Line): boolean {
    if (++this.#fields > this.#bounds.headerCount) {
      this.#break('head_too_large')
      return false
    }
    if (this.state === state.head) {
      if (this.field(text, line)) return true
      this.#break('malformed')
      return false
    }
    if (this.trailers === NO_FIELDS) this.trailers = []
    this.trailers.push(text.slice(line.from, line.colon), text.slice(line.valueFrom, line.valueTo))
    return true
  }

  #sectionEnds(): void {
    this.#sectionEnded = true
    if (this.state === state.trailers) {
      this.state = state.done
      return
    }
    this.begun = false
    this.state = this.headEnds()
  }

  // ── body ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The state of a body with this framing (RFC 9112 §6.3); a `length` of -1 is none. */
  protected expectBody(chunked: boolean, length: number): number {
    if (chunked) {
      this.#expectSize()
      return state.size
    }
    this.#left = length
    if (length === -1) return state.untilClose
    return length === 0 ? state.done : state.length
  }

  #data(bytes: Buffer, at: number, length: number): number {
    let take = length - at
    if (this.state !== state.untilClose) {
      take = Math.min(take, this.#left)
      this.#left -= take
      if (this.#left === 0) this.state = this.state === state.data ? state.dataCr : state.done
    }
    if (this.dataStart === this.dataEnd) this.dataStart = this.dataEnd = at
    else if (take > LOOP_BYTES_MAX) bytes.copyWithin(this.dataEnd, at, at + take)
    else for (let i = 0; i < take; i++) bytes[this.dataEnd + i] = bytes[at + i] as number
    this.dataEnd += take
    return at + take
  }

  #expectSize(): void {
    this.#left = 0
    this.#digits = 0
    this.#extension = ''
  }

  /** What stands between the data of two chunks (RFC 9112 §7.1), up to the next data or the trailers. */
  #chunkBorder(bytes: Buffer, from: number, length: number): number {
    for (let at = from; at < length; at++) {
      const next = this.#afterByte(bytes[at] as number)
      this.state = next
      if (next === state.data || next === state.trailers || next === state.broken) return at + 1
    }
    return length
  }

  #afterByte(byte: number): number {
    switch (this.state) {
      case state.size:
        return this.#afterSizeByte(byte)
      case state.extension:
        return this.#afterExtensionByte(byte)
      case state.sizeEnd:
        if (byte !== LF) return state.broken
        return this.#left === 0 ? state.trailers : state.data
      case state.dataCr:
        return byte === CR ? state.dataLf : state.broken
      default:
        if (byte !== LF) return state.broken
        this.#expectSize()
        return state.size
    }
  }

  #afterSizeByte(byte: number): number {
    const digit = hexDigit[byte] as number
    if (digit !== -1) {
      this.#left = this.#left * 16 + digit
      const bounded = ++this.#digits <= SIZE_DIGITS_MAX && this.#left <= Number.MAX_SAFE_INTEGER
      return bounded ? state.size : state.broken
    }
    if (this.#digits === 0) return state.broken
    if (byte === CR) return state.sizeEnd
    if (byte !== SEMICOLON) return state.broken
    this.#extension = ';'
    return state.extension
  }

  #afterExtensionByte(byte: number): number {
    if (byte === CR) return extensionForm.test(this.#extension) ? state.sizeEnd : state.broken
    this.#extension += String.fromCharCode(byte)
    if (++this.#extensionBytes <= limits.chunk_extension_bytes) return state.extension
    this.fault = 'extensions_too_large'
    return state.broken
  }
}
