/** Reads the records of a slab where they lie (`slab-format.ts`): nothing is copied or made of them. */
import type { GatewayErrorCode } from '../contract/errors.ts'
import { type Outcome, outcomes } from '../contract/exchange.ts'
import {
  at32,
  at64,
  ERROR_CODE_SHIFT,
  errorCodes,
  FIELDS_BYTES,
  HAS_STATUS,
  RECORD_MAGIC,
  REQUEST_LIMITED,
  RESPONSE_LIMITED,
  STRINGS,
} from './slab-format.ts'
import { SlabView } from './slab.ts'

const CR = 0x0d
const COLON = 0x3a
const SPACE = 0x20
const TAB = 0x09

/** Bytes of the slab, [from, to). */
export interface Range {
  from: number
  to: number
}

/** One body in the slab. */
export interface BodyRange extends Range {
  /** True size after transfer-coding and before content-decoding. */
  size: number
  /** Whether memory, not `body_bytes`, cut it. */
  limited: boolean
}

/** Where one header stands in the slab; the blanks around its value are none of it. */
export class HeaderLine {
  name = 0
  nameEnd = 0
  value = 0
  valueEnd = 0
  /** Where the next one begins. */
  next = 0

  /** Reads the line at `at`; never leaves the range that ends at `to`. */
  read(bytes: Uint8Array, at: number, to: number): void {
    let end = at
    while (end < to && bytes[end] !== COLON) end++
    this.name = at
    this.nameEnd = end
    let value = end + 1
    while (value < to && isBlank(bytes[value] as number)) value++
    end = value
    while (end < to && bytes[end] !== CR) end++
    this.next = end + 2
    while (end > value && isBlank(bytes[end - 1] as number)) end--
    this.value = value
    this.valueEnd = end
  }
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB
}

function broken(at: number, rule: string, value: number): Error {
  return new Error(`slab record at byte ${at}: ${rule}, got ${value}`)
}

/** Stands on one record at a time; what it says holds until `next` is called. */
export class SlabReader {
  readonly bytes: Buffer
  readonly view: DataView
  readonly #words: Uint32Array
  readonly #doubles: Float64Array
  readonly #used: number
  #start = 0
  #next = 0
  /** Where each string begins; behind the last, where the header lists do. */
  readonly #strings = new Int32Array(STRINGS + 1)
  readonly requestHeaders: Range = { from: 0, to: 0 }
  readonly requestTrailers: Range = { from: 0, to: 0 }
  readonly responseHeaders: Range = { from: 0, to: 0 }
  readonly responseTrailers: Range = { from: 0, to: 0 }
  readonly requestBody: BodyRange = { from: 0, to: 0, size: 0, limited: false }
  readonly responseBody: BodyRange = { from: 0, to: 0, size: 0, limited: false }

  /** `used` in bytes. Throws when a slab cannot have it. */
  constructor(slab: ArrayBufferLike, used: number) {
    if (!Number.isInteger(used) || used < 0 || used > slab.byteLength || used % 8 !== 0) {
      throw new Error(`slab: used must be a multiple of 8 up to ${slab.byteLength}, got ${used}`)
    }
    const view = new SlabView(slab)
    this.bytes = view.bytes
    this.view = new DataView(slab)
    this.#words = view.words
    this.#doubles = view.doubles
    this.#used = used
  }

  /** Goes to the next record; false behind the last. Throws when it is not what `writeRecord` writes. */
  next(): boolean {
    if (this.#next >= this.#used) return false
    this.#start = this.#next
    const length = this.#checkedLength()
    this.#next = this.#start + length
    const textAt = this.#start + FIELDS_BYTES + this.#word(at32.mirrors) * 4
    const textEnd = textAt + this.#word(at32.textBytes)
    const lists =
      this.#word(at32.requestHeaders) +
      this.#word(at32.requestTrailers) +
      this.#word(at32.responseHeaders) +
      this.#word(at32.responseTrailers)
    if (textAt + lists > textEnd) throw broken(this.#start, 'header lists must fit its text', lists)
    this.#placeStrings(textAt, textEnd - lists)
    let at = textEnd - lists
    at = setRange(this.requestHeaders, at, this.#word(at32.requestHeaders))
    at = setRange(this.requestTrailers, at, this.#word(at32.requestTrailers))
    at = setRange(this.responseHeaders, at, this.#word(at32.responseHeaders))
    at = setRange(this.responseTrailers, at, this.#word(at32.responseTrailers))
    const { requestBody, responseBody } = this
    const flags = this.#word(at32.flags)
    at = setRange(requestBody, at, this.#word(at32.requestKept))
    requestBody.size = this.#double(at64.requestSize)
    requestBody.limited = (flags & REQUEST_LIMITED) !== 0
    setRange(responseBody, at, this.#word(at32.responseKept))
    responseBody.size = this.#double(at64.responseSize)
    responseBody.limited = (flags & RESPONSE_LIMITED) !== 0
    return true
  }

  #placeStrings(from: number, to: number): void {
    const strings = this.#strings
    let at = from
    for (let string = 0; string < STRINGS; string++) {
      strings[string] = at
      at += this.#word(at32.strings + string)
    }
    strings[STRINGS] = at
    if (at !== to) throw broken(this.#start, `strings must end at byte ${to}`, at)
  }

  /** Checks every length of the record against the end of what is used, and returns its own length. */
  #checkedLength(): number {
    const start = this.#start
    const room = this.#used - start
    if (room < FIELDS_BYTES) throw broken(start, `must have at least ${FIELDS_BYTES} bytes`, room)
    const magic = this.#word(at32.magic)
    if (magic !== RECORD_MAGIC) throw broken(start, `must begin with ${RECORD_MAGIC}`, magic)
    const length = this.#word(at32.length)
    if (length % 8 !== 0 || length > room) throw broken(start, `length must be within ${room}`, length)
    const outcome = this.#word(at32.outcome)
    if (outcome >= outcomes.length) throw broken(start, `outcome must be below ${outcomes.length}`, outcome)
    const parts =
      FIELDS_BYTES +
      this.#word(at32.mirrors) * 4 +
      this.#word(at32.textBytes) +
      this.#word(at32.requestKept) +
      this.#word(at32.responseKept)
    if (parts > length) throw broken(start, `parts must fit its length of ${length}`, parts)
    return length
  }

  #word(position: number): number {
    return this.#words[(this.#start >> 2) + position] as number
  }

  #double(position: number): number {
    return this.#doubles[(this.#start >> 3) + position] as number
  }

  /** Where a string of `stringAt` begins. */
  from(string: number): number {
    return this.#strings[string] as number
  }

  /** Where it ends. */
  to(string: number): number {
    return this.#strings[string + 1] as number
  }

  string(string: number): string {
    return this.bytes.toString('latin1', this.from(string), this.to(string))
  }

  /** Counter slots of the mirrors that take it. */
  get mirrors(): number {
    return this.#word(at32.mirrors)
  }
  mirror(index: number): number {
    return this.#word(FIELDS_BYTES / 4 + index)
  }

  /** Start, Unix milliseconds. */
  get startedAt(): number {
    return this.#double(at64.startedAt)
  }
  /** Head of the answer seen, Unix milliseconds; 0 when there was none. */
  get answeredAt(): number {
    return this.#double(at64.answeredAt)
  }
  get durationMs(): number {
    return this.#double(at64.durationMs)
  }
  get upstreamMs(): number {
    return this.#double(at64.upstreamMs)
  }
  get clientPort(): number {
    return this.#word(at32.clientPort)
  }
  get outcome(): Outcome {
    return outcomes[this.#word(at32.outcome)] as Outcome
  }
  /** Null when the client left before any answer. */
  get status(): number | null {
    return (this.#word(at32.flags) & HAS_STATUS) === 0 ? null : this.#word(at32.status)
  }
  /** Of the answer that the gateway made itself; null where the upstream's went out. */
  get errorCode(): GatewayErrorCode | null {
    const code = this.#word(at32.flags) >>> ERROR_CODE_SHIFT
    return code === 0 ? null : (errorCodes[code - 1] ?? null)
  }
}

function setRange(range: Range, from: number, bytes: number): number {
  range.from = from
  range.to = from + bytes
  return range.to
}
