/** Header lists of a slab as the pairs of an item, redacted; and what the recorder itself needs of them. */
import type { Range } from '../queue/slab-reader.ts'
import { ascii, ItemBuffer } from './item-buffer.ts'
import { NameSet } from './name-set.ts'
import type { Redactor } from './redact.ts'

const LF = 0x0a
const COMMA = ascii(',')
const OPEN = ascii('["')
const BETWEEN = ascii('","')
const CLOSE = ascii('"]')

/** What is to be done with a header, as bits: most have none. */
const REDACT = 1
const URL_VALUE = 2
const CONTENT_TYPE = 4
const CONTENT_ENCODING = 8
const TRACEPARENT = 16

const noted: ReadonlyMap<string, number> = new Map([
  ['content-type', CONTENT_TYPE],
  ['content-encoding', CONTENT_ENCODING],
  ['traceparent', TRACEPARENT],
])

/** Reads one list at a time; what it says of it holds until the next. */
export class HeaderReader {
  readonly #redactor: Redactor
  readonly #special: NameSet
  /** What is to be done with each of `#special`. */
  readonly #bits: readonly number[]
  readonly #types = new LastText()
  readonly #masked: Uint8Array | null
  /** The pairs, without the brackets around them: case, order and duplicates as sent. */
  readonly pairs = new ItemBuffer()
  redacted = false
  /** All of its fields joined with commas; empty when there is none. */
  contentType = ''
  contentEncoding = ''
  traceparent: string | null = null

  constructor(redactor: Redactor) {
    this.#redactor = redactor
    const { headers, urlHeaders } = redactor
    const special = [...new Set([...headers, ...urlHeaders, ...noted.keys()])]
    this.#special = new NameSet(special)
    this.#bits = special.map((name) => {
      const rule = headers.has(name) ? REDACT : urlHeaders.has(name) ? URL_VALUE : 0
      return rule | (noted.get(name) ?? 0)
    })
    // The same for every value.
    this.#masked = redactor.mode === 'mask' ? ascii(redactor.substitute('')) : null
  }

  read(bytes: Buffer, { from, to }: Range): void {
    const { pairs } = this
    pairs.reset()
    this.redacted = false
    this.contentType = ''
    this.contentEncoding = ''
    this.traceparent = null
    const { detects } = this.#redactor
    for (let at = from; at < to; ) {
      const name = at + 1
      const nameEnd = lineEnd(bytes, name, to)
      const value = nameEnd + 1
      at = lineEnd(bytes, value, to)
      const found = this.#special.find(bytes, name, nameEnd)
      if (found !== -1 || detects) {
        const bits = found === -1 ? 0 : (this.#bits[found] as number)
        this.#note(bytes, bits, value, at)
        if ((bits & REDACT) !== 0) this.#redact(bytes, name, value, at)
        else if ((bits & URL_VALUE) !== 0 || detects) this.#show(bytes, bits, name, value, at)
        else this.#copy(bytes, name, value, at)
      } else this.#copy(bytes, name, value, at)
    }
  }

  #copy(bytes: Buffer, name: number, value: number, end: number): void {
    const { pairs } = this
    begin(pairs, bytes, name, value - 1)
    pairs.latin1(bytes, value, end)
    pairs.ascii(CLOSE)
  }

  #note(bytes: Buffer, bits: number, value: number, end: number): void {
    if ((bits & CONTENT_TYPE) !== 0)
      this.contentType = joined(this.contentType, this.#types.read(bytes, value, end))
    if ((bits & CONTENT_ENCODING) !== 0)
      this.contentEncoding = joined(this.contentEncoding, bytes.toString('latin1', value, end))
    if ((bits & (TRACEPARENT | REDACT)) === TRACEPARENT)
      this.traceparent ??= this.#redactor.header(bytes.toString('latin1', value, end))
  }

  #redact(bytes: Buffer, name: number, value: number, end: number): void {
    const { pairs } = this
    this.redacted = true
    if (this.#redactor.mode === 'remove') return
    begin(pairs, bytes, name, value - 1)
    if (this.#masked !== null) pairs.ascii(this.#masked)
    else pairs.inside(this.#redactor.substitute(bytes.toString('latin1', value, end)))
    pairs.ascii(CLOSE)
  }

  #show(bytes: Buffer, bits: number, name: number, value: number, end: number): void {
    const { pairs } = this
    const sent = bytes.toString('latin1', value, end)
    const shown = (bits & URL_VALUE) === 0 ? this.#redactor.header(sent) : this.#redactor.url(sent)
    if (shown !== sent) this.redacted = true
    begin(pairs, bytes, name, value - 1)
    pairs.inside(shown)
    pairs.ascii(CLOSE)
  }
}

/** Makes a string of bytes once as long as they do not change. */
class LastText {
  #bytes: Uint8Array = new Uint8Array(0)
  #text = ''

  read(bytes: Buffer, from: number, to: number): string {
    const last = this.#bytes
    let same = last.length === to - from
    for (let at = 0; same && at < last.length; at++) same = last[at] === bytes[from + at]
    if (same) return this.#text
    this.#bytes = new Uint8Array(bytes.subarray(from, to))
    this.#text = bytes.toString('latin1', from, to)
    return this.#text
  }
}

/** Begins a pair, up to its value. */
function begin(pairs: ItemBuffer, bytes: Buffer, name: number, nameEnd: number): void {
  if (pairs.length > 0) pairs.ascii(COMMA)
  pairs.ascii(OPEN)
  pairs.latin1(bytes, name, nameEnd)
  pairs.ascii(BETWEEN)
}

function lineEnd(bytes: Buffer, from: number, to: number): number {
  let at = from
  while (at < to && bytes[at] !== LF) at++
  return at
}

/** RFC 9110 §5.3: several fields of one name are one list. */
function joined(before: string, value: string): string {
  return before === '' ? value : `${before},${value}`
}

/** Where the value of the first header of a set stands; false when there is none. */
export function findHeader(bytes: Buffer, { from, to }: Range, names: NameSet, value: Range): boolean {
  for (let at = from; at < to; at = value.to) {
    const nameEnd = lineEnd(bytes, at + 1, to)
    value.from = nameEnd + 1
    value.to = lineEnd(bytes, nameEnd + 1, to)
    if (names.find(bytes, at + 1, nameEnd) !== -1) return true
  }
  return false
}
