/** Header lists of a slab as the pairs of an item, redacted; and what the recorder itself needs of them. */
import { HeaderLine, type Range, type SlabReader } from '../queue/slab-reader.ts'
import { type ItemBuffer, type Literal, literal } from './item-buffer.ts'
import { LineMemo } from './line-memo.ts'
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

/** What a line says beside its pair. */
interface Note {
  readonly redacted: boolean
  /** Null: it is another header. */
  readonly contentType: string | null
  readonly contentEncoding: string | null
  readonly traceparent: string | null
}

const REDACTED: Note = { redacted: true, contentType: null, contentEncoding: null, traceparent: null }

/** Reads one list at a time; what it says of it holds until the next. */
export class HeaderReader {
  readonly #redactor: Redactor
  readonly #special: NameSet
  /** What is to be done with each of `#special`. */
  readonly #bits: readonly number[]
  readonly #memo = new LineMemo<Note>()
  readonly #line = new HeaderLine()
  readonly #masked: Literal | null
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

  /** Appends the pairs, without the brackets around them: case, order and duplicates as sent. */
  read({ bytes, view }: SlabReader, { from, to }: Range, out: ItemBuffer): void {
    const memo = this.#memo
    const line = this.#line
    const start = out.length
    this.redacted = false
    this.contentType = ''
    this.contentEncoding = ''
    this.traceparent = null
    let at = from
    for (let place = 0; at < to; place++) {
      const separator = out.length > start ? NEXT : FIRST
      const known = memo.match(place, view, at, to)
      if (known > 0) {
        this.#repeat(place, separator, out)
        at += known
        continue
      }
      line.read(bytes, at, to)
      const pairAt = out.length + separator.length
      const note = this.#write(bytes, line, separator, out)
      if (note !== null) this.#take(note)
      memo.keep(place, view, at, line.next, out, pairAt, note)
      at = line.next
    }
    if (out.length > start) out.literal(LAST_END)
  }

  #repeat(place: number, separator: Literal, out: ItemBuffer): void {
    const memo = this.#memo
    if (memo.pairBytes(place) > 0) {
      out.literal(separator)
      memo.append(place, out)
    }
    const note = memo.note(place)
    if (note !== null) this.#take(note)
  }

  #take({ redacted, contentType, contentEncoding, traceparent }: Note): void {
    if (redacted) this.redacted = true
    if (contentType !== null) this.contentType = joined(this.contentType, contentType)
    if (contentEncoding !== null) this.contentEncoding = joined(this.contentEncoding, contentEncoding)
    if (traceparent !== null) this.traceparent ??= traceparent
  }

  /** Writes the pair of a line, if it may be there, and returns what is to be noted of the line. */
  #write(bytes: Buffer, line: HeaderLine, separator: Literal, out: ItemBuffer): Note | null {
    const redactor = this.#redactor
    const { name, nameEnd, value, valueEnd } = line
    const found = this.#special.find(bytes, name, nameEnd)
    const bits = found === -1 ? 0 : (this.#bits[found] as number)
    const redacts = (bits & REDACT) !== 0
    if (!redacts || redactor.mode !== 'remove') {
      out.literal(separator)
      out.latin1(bytes, name, nameEnd)
      out.literal(BETWEEN)
    }
    if (bits === 0 && !redactor.detects) {
      out.latin1(bytes, value, valueEnd)
      return null
    }
    if (bits === REDACT && this.#masked !== null) {
      out.literal(this.#masked)
      return REDACTED
    }
    const sent = bytes.toString('latin1', value, valueEnd)
    const shown = redacts ? null : (bits & URL_VALUE) === 0 ? redactor.header(sent) : redactor.url(sent)
    if (shown !== null) out.inside(shown)
    else if (redactor.mode !== 'remove') out.inside(redactor.substitute(sent))
    return {
      redacted: shown !== sent,
      contentType: (bits & CONTENT_TYPE) === 0 ? null : sent,
      contentEncoding: (bits & CONTENT_ENCODING) === 0 ? null : sent,
      traceparent: (bits & TRACEPARENT) === 0 ? null : shown,
    }
  }
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
