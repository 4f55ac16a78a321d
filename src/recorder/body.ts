/** From the captured bytes of a body to its fields in an item: cut, decode, redact, encode. */
import { isUtf8 } from 'node:buffer'
import type { BodyRange } from '../queue/slab-reader.ts'
import { codingsOf, decodeBody } from './decode.ts'
import { literal, type ItemBuffer } from './item-buffer.ts'
import { appendText } from './json-escape.ts'
import type { Redactor } from './redact.ts'

export interface BodyRules {
  readonly bodyBytes: number
  readonly decode: boolean
  readonly redactor: Redactor
}

/** What the head that a body belongs to says of it. */
export interface BodyHead {
  readonly contentType: string
  readonly contentEncoding: string
  /** Whether something in it was redacted. */
  readonly redacted: boolean
}

const NO_BODY = literal(',"body":null,"body_encoding":"none"')
const TEXT_OPEN = literal(',"body":"')
const TEXT_CLOSE = literal('","body_encoding":"utf8"')
const SIZE = literal(',"body_bytes":')
const WHOLE = literal(',"truncated":false')
const TRUNCATED = literal(',"truncated":true')
const REDACTED = literal(',"redacted":true')
const OMITTED = literal(',"omitted":"not_redactable"')
const LIMITED = literal(',"capture_limited":true')

/** Writes one body at a time; what it notes of it holds until the next. */
export class BodyWriter {
  readonly #rules: BodyRules
  #truncated = false
  #limited = false
  #decodedFrom: string | null = null
  #decodeError: string | null = null
  #redacted = false
  #omitted = false

  constructor(rules: BodyRules) {
    this.#rules = rules
  }

  /**
   * Appends `,"body":…` and the fields behind it, up to `capture_limited`. Returns whether the body was left
   * out because it could not be redacted. `wanted`: body capture is on.
   */
  write(out: ItemBuffer, source: Buffer, body: BodyRange, head: BodyHead, wanted: boolean): boolean {
    this.#truncated = false
    this.#limited = false
    this.#decodedFrom = null
    this.#decodeError = null
    this.#redacted = head.redacted
    this.#omitted = false
    if (wanted && body.size > 0) this.#captured(out, source, body, head)
    else out.literal(NO_BODY)
    this.#notes(out, body.size)
    return this.#omitted
  }

  #captured(out: ItemBuffer, source: Buffer, body: BodyRange, head: BodyHead): void {
    const { bodyBytes } = this.#rules
    let { from, to } = body
    if (to - from > bodyBytes) to = from + bodyBytes
    this.#truncated = to - from < body.size
    // Where the mirror's own cap cut it, memory did not.
    this.#limited = body.limited && this.#truncated && to - from < bodyBytes
    if (from === to) return out.literal(NO_BODY)
    let bytes = source
    if (head.contentEncoding !== '') {
      const decoded = this.#decode(bytes.subarray(from, to), head.contentEncoding)
      if (decoded === null) return out.literal(NO_BODY)
      bytes = decoded
      from = 0
      to = decoded.length
    }
    if (this.#truncated) to = wholeCharacters(bytes, from, to)
    const watch = this.#rules.redactor.watch(head.contentType)
    if (watch !== undefined) {
      const before = out.length
      out.literal(TEXT_OPEN)
      if (appendText(out, bytes, from, to, watch)) return out.literal(TEXT_CLOSE)
      out.length = before
    }
    this.#readWhole(out, bytes.subarray(from, to), head.contentType)
  }

  #readWhole(out: ItemBuffer, bytes: Buffer, contentType: string): void {
    const utf8 = isUtf8(bytes)
    const result = this.#rules.redactor.body(bytes, utf8, contentType)
    if (result.kind === 'not_redactable') {
      this.#omitted = true
      out.literal(NO_BODY)
    } else if (result.kind === 'text') {
      this.#redacted = true
      out.text(`,"body":${JSON.stringify(result.text)},"body_encoding":"utf8"`)
    } else if (utf8) {
      out.literal(TEXT_OPEN)
      appendText(out, bytes, 0, bytes.length, null)
      out.literal(TEXT_CLOSE)
    } else {
      out.text(`,"body":"${bytes.toString('base64')}","body_encoding":"base64"`)
    }
  }

  /** Null when the body must be left out: what is still encoded cannot be looked into. */
  #decode(bytes: Buffer, contentEncoding: string): Buffer | null {
    const { decode, bodyBytes, redactor } = this.#rules
    const codings = codingsOf(contentEncoding)
    if (codings.length === 0) return bytes
    if (decode) {
      const decoded = decodeBody(bytes, codings, this.#truncated, bodyBytes)
      this.#decodedFrom = decoded.from
      this.#decodeError = decoded.error
      if (decoded.error === null) {
        this.#truncated = decoded.cut
        return decoded.bytes
      }
    }
    this.#omitted = redactor.fields
    return this.#omitted ? null : bytes
  }

  #notes(out: ItemBuffer, size: number): void {
    out.literal(SIZE)
    out.integer(size)
    out.literal(this.#truncated ? TRUNCATED : WHOLE)
    if (this.#decodedFrom !== null) out.text(`,"decoded_from":${JSON.stringify(this.#decodedFrom)}`)
    if (this.#decodeError !== null) out.text(`,"decode_error":${JSON.stringify(this.#decodeError)}`)
    if (this.#redacted) out.literal(REDACTED)
    if (this.#omitted) out.literal(OMITTED)
    if (this.#limited) out.literal(LIMITED)
  }
}

/**
 * RFC 3629 §3: a cut may leave the first bytes of a character at the end; without them the rest is still
 * text. Where it ends then.
 */
function wholeCharacters(bytes: Buffer, from: number, to: number): number {
  for (let back = 1; back <= 3 && back <= to - from; back++) {
    const byte = bytes[to - back] as number
    if (byte < 0x80) return to
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return length > back ? to - back : to
  }
  return to
}
