/** Header lists of a slab as the pairs of an item, redacted; and what the recorder itself needs of them. */
import { HeaderLine, type Range } from '../queue/slab-reader.ts'
import { ItemBuffer, type Literal, literal } from './item-buffer.ts'
import { NameSet } from './name-set.ts'
import type { Redactor } from './redact.ts'

const FIRST = literal('["')
const NEXT = literal('"],["')
const BETWEEN = literal('","')
const LAST_END = literal('"]')

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
  readonly #line = new HeaderLine()
  readonly #masked: Literal | null
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
    this.#masked = redactor.mode === 'mask' ? literal(redactor.substitute('')) : null
  }

  read(bytes: Buffer, { from, to }: Range): void {
    const { pairs } = this
    pairs.reset()
    this.redacted = false
    this.contentType = ''
    this.contentEncoding = ''
    this.traceparent = null
    const line = this.#line
    const { detects } = this.#redactor
    for (let at = from; at < to; at = line.next) {
      line.read(bytes, at, to)
      const found = this.#special.find(bytes, at, line.nameEnd)
      if (found === -1 && !detects) {
        this.#copy(bytes, line)
        continue
      }
      const bits = found === -1 ? 0 : (this.#bits[found] as number)
      this.#note(bytes, bits, line)
      if ((bits & REDACT) !== 0) this.#redact(bytes, line)
      else if ((bits & URL_VALUE) !== 0 || detects) this.#show(bytes, bits, line)
      else this.#copy(bytes, line)
    }
    if (pairs.length > 0) pairs.literal(LAST_END)
  }

  #copy(bytes: Buffer, line: HeaderLine): void {
    const { pairs } = this
    begin(pairs, bytes, line)
    pairs.latin1(bytes, line.value, line.valueEnd)
  }

  #note(bytes: Buffer, bits: number, { value, valueEnd }: HeaderLine): void {
    if ((bits & CONTENT_TYPE) !== 0)
      this.contentType = joined(this.contentType, this.#types.read(bytes, value, valueEnd))
    if ((bits & CONTENT_ENCODING) !== 0)
      this.contentEncoding = joined(this.contentEncoding, bytes.toString('latin1', value, valueEnd))
    if ((bits & (TRACEPARENT | REDACT)) === TRACEPARENT)
      this.traceparent ??= this.#redactor.header(bytes.toString('latin1', value, valueEnd))
  }

  #redact(bytes: Buffer, line: HeaderLine): void {
    const { pairs } = this
    this.redacted = true
    if (this.#redactor.mode === 'remove') return
    begin(pairs, bytes, line)
    if (this.#masked !== null) pairs.literal(this.#masked)
    else pairs.inside(this.#redactor.substitute(bytes.toString('latin1', line.value, line.valueEnd)))
  }

  #show(bytes: Buffer, bits: number, line: HeaderLine): void {
    const { pairs } = this
    const sent = bytes.toString('latin1', line.value, line.valueEnd)
    const shown = (bits & URL_VALUE) === 0 ? this.#redactor.header(sent) : this.#redactor.url(sent)
    if (shown !== sent) this.redacted = true
    begin(pairs, bytes, line)
    pairs.inside(shown)
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

/** Ends the pair before, if there is one, and begins another, up to its value. */
function begin(pairs: ItemBuffer, bytes: Buffer, { name, nameEnd }: HeaderLine): void {
  pairs.literal(pairs.length > 0 ? NEXT : FIRST)
  pairs.latin1(bytes, name, nameEnd)
  pairs.literal(BETWEEN)
}

/** RFC 9110 §5.3: several fields of one name are one list. */
function joined(before: string, value: string): string {
  return before === '' ? value : `${before},${value}`
}

/** Reads the lines up to the first header of a set; false when there is none. */
export function findHeader(bytes: Buffer, { from, to }: Range, names: NameSet, line: HeaderLine): boolean {
  for (let at = from; at < to; at = line.next) {
    line.read(bytes, at, to)
    if (names.find(bytes, at, line.nameEnd) !== -1) return true
  }
  return false
}
