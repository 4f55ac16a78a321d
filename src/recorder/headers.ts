/**
 * Reads a flat header list into the pairs of an item, redacted, and notes what the recorder itself needs
 * of it.
 */
import type { HeaderPairs } from '../contract/exchange.ts'
import { limits } from '../contract/limits.ts'
import type { Redactor } from './redact.ts'

export interface ReadHeaders {
  /** Case, order and duplicates as sent. */
  readonly pairs: HeaderPairs
  readonly redacted: boolean
  /** All of its fields joined with commas; empty when there is none. */
  readonly contentType: string
  readonly contentEncoding: string
  readonly traceparent: string | undefined
}

/** What is to be done with a header, as bits: most have none. */
const REDACT = 1
const URL_VALUE = 2
const CONTENT_TYPE = 4
const CONTENT_ENCODING = 8
const TRACEPARENT = 16

/** Longer names are looked up each time. */
const SPELLING_CHARS_MAX = 64

const noHeaders: ReadHeaders = {
  pairs: [],
  redacted: false,
  contentType: '',
  contentEncoding: '',
  traceparent: undefined,
}

export class HeaderReader {
  readonly #redactor: Redactor
  readonly #known = new Map<string, number>()

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  /** `list`: name, value, name, value. */
  read(list: readonly string[]): ReadHeaders {
    if (list.length === 0) return noHeaders
    const pairs: HeaderPairs = []
    let redacted = false
    let contentType = ''
    let contentEncoding = ''
    let traceparent: string | undefined
    for (let at = 0; at + 1 < list.length; at += 2) {
      const name = list[at] as string
      const value = list[at + 1] as string
      const bits = this.#known.get(name) ?? this.#look(name)
      if (bits === 0 && !this.#redactor.detects) {
        pairs.push([name, value])
        continue
      }
      if ((bits & CONTENT_TYPE) !== 0) contentType = joined(contentType, value)
      if ((bits & CONTENT_ENCODING) !== 0) contentEncoding = joined(contentEncoding, value)
      if ((bits & REDACT) !== 0) {
        redacted = true
        if (this.#redactor.mode !== 'remove') pairs.push([name, this.#redactor.substitute(value)])
        continue
      }
      const shown = (bits & URL_VALUE) === 0 ? this.#redactor.header(value) : this.#redactor.url(value)
      if ((bits & TRACEPARENT) !== 0) traceparent ??= shown
      redacted ||= shown !== value
      pairs.push([name, shown])
    }
    return { pairs, redacted, contentType, contentEncoding, traceparent }
  }

  #look(name: string): number {
    const lower = name.toLowerCase()
    const rule = this.#redactor.headerRule(lower)
    let bits = rule === 'redact' ? REDACT : rule === 'url' ? URL_VALUE : 0
    if (lower === 'content-type') bits |= CONTENT_TYPE
    else if (lower === 'content-encoding') bits |= CONTENT_ENCODING
    else if (lower === 'traceparent') bits |= TRACEPARENT
    if (this.#known.size < limits.header_spellings_max && name.length <= SPELLING_CHARS_MAX) {
      // A copy: the name may be a slice that would keep the whole head of its exchange in memory.
      this.#known.set(Buffer.from(name, 'latin1').toString('latin1'), bits)
    }
    return bits
  }
}

/** RFC 9110 §5.3: several fields of one name are one list. */
function joined(before: string, value: string): string {
  return before === '' ? value : `${before},${value}`
}
