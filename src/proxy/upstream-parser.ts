/**
 * The one parser of upstreams' answers: strict where a second reader could see other borders (RFC 9112), and
 * without memory beyond a partial line. It is fed what was read, and says what of an answer was in it.
 *
 * ```
 * head ─► length ──────────────────────────────► done        anything else ─► broken
 *   │  └► size ─► [extension] ─► sizeEnd ─► data ─► dataCr ─► dataLf ─► size …
 *   │                               └► trailers ─► done
 *   ├► untilClose
 *   └► head: an interim answer
 * ```
 */
import { limits } from '../contract/limits.ts'
import { ResponseHead } from './response-head.ts'

const state = {
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
  done: 10,
  broken: 11,
} as const

export interface ParserBounds {
  /** Of one head, and of the trailers. */
  readonly headerBytes: number
  readonly headerCount: number
}

const CR = 0x0d
const LF = 0x0a
const SEMICOLON = 0x3b
const NO_FIELDS: string[] = []
const NO_HEADS: ResponseHead[] = []

/** RFC 9110 §5.6.2. */
const isTokenChar = new Uint8Array(256)
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  isTokenChar[char.charCodeAt(0)] = 1
}
/** Value of a hexadecimal digit; -1 for any other byte. */
const hexDigit = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  hexDigit[digit.toString(16).charCodeAt(0)] = digit
  hexDigit[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

const extensionName = "[!#$%&'*+.^_`|~\\w-]+"
const quotedString = '"(?:[\\t !\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t -\\x7e\\x80-\\xff])*"'
/** RFC 9112 §7.1.1, without the whitespace that it calls bad. */
const extensionForm = new RegExp(`^(?:;${extensionName}(?:=(?:${extensionName}|${quotedString}))?)+$`)

/** Digits of a chunk size: more than any size needs, so leading zeros are bounded too. */
const SIZE_DIGITS_MAX = 16
/** Up to so many bytes a loop is cheaper than a call. */
const LOOP_BYTES_MAX = 16

/** RFC 9110 §5.5: whether this part of a line holds no control character but tabs. */
function isClean(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const char = text.charCodeAt(i)
    if ((char < 0x20 && char !== 0x09) || char === 0x7f) return false
  }
  return true
}

function isBlank(char: number): boolean {
  return char === 0x20 || char === 0x09
}

export class ResponseParser {
  /** What the last feed brought: interim heads, the head of the answer, a piece of its body. */
  interim = NO_HEADS
  head: ResponseHead | null = null
  /** Chunks are put together in the memory that was fed: one piece from here … */
  dataStart = 0
  /** … to here. */
  dataEnd = 0
  trailers = NO_FIELDS
  readonly #bounds: ParserBounds
  #state: number = state.head
  /** The request was a HEAD. */
  #bodyless = false
  /** The head that is being read; null before its status line. */
  #reading: ResponseHead | null = null
  #interims = 0
  /** A line of a head or of trailers whose end is still missing. */
  #rest = ''
  /** Bytes and fields of this head, or of the trailers, so far. */
  #bytes = 0
  #fields = 0
  /** Bytes left of the body or of the chunk; the size while its digits are read. */
  #left = 0
  #digits = 0
  #extension = ''
  #extensionBytes = 0

  constructor(bounds: ParserBounds) {
    this.#bounds = bounds
  }

  /** The answer was whole, and nothing came after it. */
  get done(): boolean {
    return this.#state === state.done
  }

  get broken(): boolean {
    return this.#state === state.broken
  }

  /** Expects the next answer. */
  begin(method: string): void {
    this.#state = state.head
    this.#bodyless = method === 'HEAD'
    this.#reading = null
    this.#interims = 0
    this.#rest = ''
    this.#bytes = 0
    this.#fields = 0
    this.#extensionBytes = 0
    this.trailers = NO_FIELDS
  }

  /** Reads the first `length` bytes, and may move body bytes among them. */
  feed(bytes: Buffer, length: number): void {
    this.head = null
    this.interim = NO_HEADS
    this.dataStart = 0
    this.dataEnd = 0
    let at = 0
    while (at < length) {
      switch (this.#state) {
        case state.head:
        case state.trailers:
          at = this.#section(bytes, at, length)
          break
        case state.length:
        case state.data:
        case state.untilClose:
          at = this.#data(bytes, at, length)
          break
        case state.done:
          // Bytes after the end: whose answer they are is anybody's guess (RFC 9112 §9.2).
          this.#state = state.broken
          return
        case state.broken:
          return
        default:
          at = this.#chunkBorder(bytes, at, length)
      }
    }
  }

  /** The upstream has ended the connection. Whether the answer is whole with it (RFC 9112 §6.3, case 8). */
  end(): boolean {
    return this.#state === state.untilClose || this.#state === state.done
  }

  // ── lines of a head, of trailers ────────────────────────────────────────────────────────────────────────

  /** Returns where it ends in these bytes. */
  #section(bytes: Buffer, at: number, length: number): number {
    const before = this.#rest.length
    let to = length
    if (before === 0 && this.#state === state.head) {
      const end = bytes.indexOf('\r\n\r\n', at, 'latin1') + 4
      if (end > 3 && end <= length) to = end
    }
    const text = this.#rest + bytes.toString('latin1', at, to)
    const used = this.#lines(text)
    if (this.#state === state.broken) return length
    this.#bytes += used
    const ended = this.#reading === null && this.#fields === -1
    const unread = ended ? 0 : text.length - used
    if (this.#bytes + unread > this.#bounds.headerBytes) {
      this.#state = state.broken
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
    let at = 0
    for (;;) {
      const end = text.indexOf('\r\n', at)
      if (end === -1) {
        if (!this.#mayBegin(text, at)) this.#state = state.broken
        return at
      }
      if (end === at && (this.#reading !== null || this.#state === state.trailers)) {
        this.#sectionEnds()
        return at + 2
      }
      if (!this.#line(text, at, end)) {
        this.#state = state.broken
        return at
      }
      at = end + 2
    }
  }

  /** Whether a partial line can still become a good one: what cannot is not waited for. */
  #mayBegin(text: string, from: number): boolean {
    const to = text.endsWith('\r') ? text.length - 1 : text.length
    if (!isClean(text, from, to)) return false
    if (this.#reading !== null || this.#state === state.trailers) return true
    const start = text.slice(from, from + 7)
    return 'HTTP/1.'.startsWith(start)
  }

  #line(text: string, from: number, to: number): boolean {
    if (this.#state === state.head && this.#reading === null) return this.#statusLine(text, from, to)
    // RFC 9112 §5.1, §5.2: no space before the colon, no line that continues the one before.
    let colon = from
    while (colon < to && isTokenChar[text.charCodeAt(colon)] === 1) colon++
    if (colon === from || text.charCodeAt(colon) !== 0x3a) return false
    let start = colon + 1
    let end = to
    while (start < end && isBlank(text.charCodeAt(start))) start++
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--
    if (!isClean(text, start, end) || ++this.#fields > this.#bounds.headerCount) return false
    const name = text.slice(from, colon)
    const value = text.slice(start, end)
    if (this.#state === state.head) return (this.#reading as ResponseHead).take(name, value)
    if (this.trailers === NO_FIELDS) this.trailers = []
    this.trailers.push(name, value)
    return true
  }

  /** RFC 9112 §4; the space after the status is often left out where there is no reason. */
  #statusLine(text: string, from: number, to: number): boolean {
    const minor = text.charCodeAt(from + 7) - 0x30
    if (!text.startsWith('HTTP/1.', from) || (minor !== 0 && minor !== 1)) return false
    let status = 0
    for (let i = from + 9; i < from + 12; i++) {
      const digit = text.charCodeAt(i) - 0x30
      // NaN beyond the end of the text.
      if (!(digit >= 0 && digit <= 9)) return false
      status = status * 10 + digit
    }
    if (status < 100 || text.charCodeAt(from + 8) !== 0x20 || to < from + 12) return false
    if (to > from + 12 && text.charCodeAt(from + 12) !== 0x20) return false
    if (!isClean(text, from + 12, to)) return false
    this.#reading = new ResponseHead(status, text.slice(from + 13, to), minor === 0)
    return true
  }

  #sectionEnds(): void {
    const head = this.#reading
    this.#reading = null
    // Marks the end for `#section`.
    this.#fields = -1
    if (head === null) this.#state = state.done
    // RFC 9110 §15.2.2: no upgrade was asked for.
    else if (!head.complete() || head.status === 101) this.#state = state.broken
    else if (head.status >= 200) {
      this.head = head
      this.#state = this.#framing(head)
    } else {
      if (this.interim === NO_HEADS) this.interim = []
      this.interim.push(head)
      if (++this.#interims > limits.interim_answers_max) this.#state = state.broken
    }
  }

  /** RFC 9112 §6.3. */
  #framing(head: ResponseHead): number {
    if (this.#bodyless || head.status === 204 || head.status === 304) return state.done
    if (head.chunked) {
      this.#expectSize()
      return state.size
    }
    this.#left = head.length
    if (head.length === -1) return state.untilClose
    return head.length === 0 ? state.done : state.length
  }

  // ── body ────────────────────────────────────────────────────────────────────────────────────────────────

  #data(bytes: Buffer, at: number, length: number): number {
    let take = length - at
    if (this.#state !== state.untilClose) {
      take = Math.min(take, this.#left)
      this.#left -= take
      if (this.#left === 0) this.#state = this.#state === state.data ? state.dataCr : state.done
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
      this.#state = next
      if (next === state.data || next === state.trailers || next === state.broken) return at + 1
    }
    return length
  }

  #afterByte(byte: number): number {
    switch (this.#state) {
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
    return ++this.#extensionBytes > limits.chunk_extension_bytes ? state.broken : state.extension
  }
}
