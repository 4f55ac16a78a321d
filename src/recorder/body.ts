/** From the captured bytes of a body to its fields in an item: cut, decode, redact, encode. */
import { isUtf8 } from 'node:buffer'
import type { CapturedBody } from '../contract/exchange.ts'
import { codingsOf, decodeBody } from './decode.ts'
import type { ItemBuffer } from './item-buffer.ts'
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
}

/** What an item says of a body behind `body` and `body_encoding`. */
interface BodyNotes {
  readonly size: number
  truncated: boolean
  limited: boolean
  decodedFrom: string | null
  decodeError: string | null
  redacted: boolean
  omitted: boolean
}

/**
 * Appends `,"body":…` and the fields behind it, up to `capture_limited`. Returns whether the body was left
 * out because it could not be redacted. `wanted`: body capture is on; `redacted`: something in its head
 * was.
 */
export function writeBody(
  out: ItemBuffer,
  body: CapturedBody,
  head: BodyHead,
  rules: BodyRules,
  wanted: boolean,
  redacted: boolean,
): boolean {
  const notes: BodyNotes = {
    size: body.size,
    truncated: false,
    limited: false,
    decodedFrom: null,
    decodeError: null,
    redacted,
    omitted: false,
  }
  if (wanted && body.size > 0) writeCaptured(out, body, head, rules, notes)
  else out.text(NO_BODY)
  out.text(notesText(notes))
  return notes.omitted
}

const NO_BODY = ',"body":null,"body_encoding":"none"'

function writeCaptured(
  out: ItemBuffer,
  body: CapturedBody,
  head: BodyHead,
  rules: BodyRules,
  notes: BodyNotes,
): void {
  const within = body.bytes.length <= rules.bodyBytes
  let bytes = within ? body.bytes : body.bytes.subarray(0, rules.bodyBytes)
  notes.truncated = bytes.length < body.size
  // Where the mirror's own cap cut it, memory did not.
  notes.limited = body.limited && notes.truncated && bytes.length < rules.bodyBytes
  if (bytes.length === 0) return out.text(NO_BODY)
  if (head.contentEncoding !== '') {
    const decoded = decode(bytes, head.contentEncoding, rules, notes)
    if (decoded === null) return out.text(NO_BODY)
    bytes = decoded
  }
  if (notes.truncated) bytes = wholeCharacters(bytes)
  const utf8 = isUtf8(bytes)
  const result = rules.redactor.body(bytes, utf8, head.contentType)
  if (result.kind === 'not_redactable') {
    notes.omitted = true
    out.text(NO_BODY)
  } else if (result.kind === 'text') {
    notes.redacted = true
    out.text(`,"body":${JSON.stringify(result.text)},"body_encoding":"utf8"`)
  } else if (utf8) {
    out.text(',"body":')
    out.string(bytes)
    out.text(',"body_encoding":"utf8"')
  } else {
    out.text(`,"body":"${bytes.toString('base64')}","body_encoding":"base64"`)
  }
}

/** Null when the body must be left out: what is still encoded cannot be looked into. */
function decode(bytes: Buffer, contentEncoding: string, rules: BodyRules, notes: BodyNotes): Buffer | null {
  const codings = codingsOf(contentEncoding)
  if (codings.length === 0) return bytes
  if (rules.decode) {
    const decoded = decodeBody(bytes, codings, notes.truncated, rules.bodyBytes)
    notes.decodedFrom = decoded.from
    notes.decodeError = decoded.error
    if (decoded.error === null) {
      notes.truncated = decoded.cut
      return decoded.bytes
    }
  }
  notes.omitted = rules.redactor.fields
  return notes.omitted ? null : bytes
}

/**
 * RFC 3629 §3: a cut may leave the first bytes of a character at the end; without them the rest is still
 * text.
 */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] as number
    if (byte < 0x80) return bytes
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return length > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}

function notesText(notes: BodyNotes): string {
  let text = `,"body_bytes":${notes.size},"truncated":${notes.truncated}`
  if (notes.decodedFrom !== null) text += `,"decoded_from":${JSON.stringify(notes.decodedFrom)}`
  if (notes.decodeError !== null) text += `,"decode_error":${JSON.stringify(notes.decodeError)}`
  if (notes.redacted) text += ',"redacted":true'
  if (notes.omitted) text += ',"omitted":"not_redactable"'
  if (notes.limited) text += ',"capture_limited":true'
  return text
}
