/** Writes captured exchanges into a slab (`slab-format.ts`): the last step of a data thread. */
import { type CapturedExchange, outcomes } from '../contract/exchange.ts'
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
  stringAt,
} from './slab-format.ts'

/** A body on its way into a slab: the pieces that were kept, in order. */
export interface KeptBody {
  /** Strings are latin1: a character is a byte. */
  readonly pieces: readonly (Uint8Array | string)[]
  /** Bytes of all pieces. */
  readonly kept: number
  readonly size: number
  readonly limited: boolean
}

/** An exchange on its way into a slab. */
export type SealedExchange = Omit<
  CapturedExchange,
  | 'requestBody'
  | 'responseBody'
  | 'requestHeaders'
  | 'responseHeaders'
  | 'requestTrailers'
  | 'responseTrailers'
> & {
  /** Field lines, as latin1: name, colon, value and CRLF each. */
  readonly requestLines: string
  readonly requestTrailers: string
  readonly responseLines: string
  readonly responseTrailers: string
  readonly requestBody: KeptBody
  readonly responseBody: KeptBody
}

/** The views through which one slab is written and read. */
export class SlabView {
  readonly slab: ArrayBufferLike
  readonly bytes: Buffer
  readonly words: Uint32Array
  readonly doubles: Float64Array

  constructor(slab: ArrayBufferLike) {
    this.slab = slab
    this.bytes = Buffer.from(slab)
    this.words = new Uint32Array(slab, 0, slab.byteLength >> 2)
    this.doubles = new Float64Array(slab, 0, slab.byteLength >> 3)
  }
}

/** What goes along when a slab is posted: its memory, where that is not shared. */
export function transferOf(slab: ArrayBufferLike): ArrayBuffer[] {
  return slab instanceof ArrayBuffer ? [slab] : []
}

/** Every string of an exchange in one, in the order of `stringAt`. */
export function recordText(exchange: SealedExchange): string {
  return (
    exchange.id +
    exchange.collection +
    exchange.upstream +
    exchange.clientIp +
    exchange.scheme +
    exchange.method +
    exchange.host +
    exchange.target +
    exchange.requestVersion +
    exchange.responseVersion +
    exchange.requestLines +
    exchange.requestTrailers +
    exchange.responseLines +
    exchange.responseTrailers
  )
}

/** Bytes that the record of an exchange takes; a multiple of 8. */
export function recordBytes(exchange: SealedExchange, text: string): number {
  const bytes =
    FIELDS_BYTES +
    exchange.mirrors.length * 4 +
    text.length +
    exchange.requestBody.kept +
    exchange.responseBody.kept
  return (bytes + 7) & ~7
}

function copyPieces(into: Buffer, start: number, pieces: KeptBody['pieces']): number {
  let at = start
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i] as Uint8Array | string
    if (typeof piece === 'string') into.write(piece, at, 'latin1')
    else into.set(piece, at)
    at += piece.length
  }
  return at
}

/**
 * Writes one record of `length` bytes (from `recordBytes`) at `start`, which must be a multiple of 8 with
 * that room.
 */
export function writeRecord(
  view: SlabView,
  start: number,
  length: number,
  exchange: SealedExchange,
  text: string,
): void {
  const { words, doubles, bytes } = view
  const { requestBody, responseBody, mirrors } = exchange
  const w = start >> 2
  const d = start >> 3
  doubles[d + at64.startedAt] = exchange.startedAt
  doubles[d + at64.answeredAt] = exchange.answeredAt
  doubles[d + at64.durationMs] = exchange.durationMs
  doubles[d + at64.upstreamMs] = exchange.upstreamMs
  doubles[d + at64.requestSize] = requestBody.size
  doubles[d + at64.responseSize] = responseBody.size
  words[w + at32.requestKept] = requestBody.kept
  words[w + at32.responseKept] = responseBody.kept
  words[w + at32.textBytes] = text.length
  words[w + at32.status] = exchange.status ?? 0
  words[w + at32.outcome] = outcomes.indexOf(exchange.outcome)
  words[w + at32.flags] =
    (requestBody.limited ? REQUEST_LIMITED : 0) |
    (responseBody.limited ? RESPONSE_LIMITED : 0) |
    (exchange.status === null ? 0 : HAS_STATUS) |
    (exchange.errorCode === null ? 0 : (errorCodes.indexOf(exchange.errorCode) + 1) << ERROR_CODE_SHIFT)
  words[w + at32.clientPort] = exchange.clientPort
  words[w + at32.requestHeaders] = exchange.requestLines.length
  words[w + at32.requestTrailers] = exchange.requestTrailers.length
  words[w + at32.responseHeaders] = exchange.responseLines.length
  words[w + at32.responseTrailers] = exchange.responseTrailers.length
  words[w + at32.mirrors] = mirrors.length
  const s = w + at32.strings
  words[s + stringAt.id] = exchange.id.length
  words[s + stringAt.collection] = exchange.collection.length
  words[s + stringAt.upstream] = exchange.upstream.length
  words[s + stringAt.clientIp] = exchange.clientIp.length
  words[s + stringAt.scheme] = exchange.scheme.length
  words[s + stringAt.method] = exchange.method.length
  words[s + stringAt.host] = exchange.host.length
  words[s + stringAt.target] = exchange.target.length
  words[s + stringAt.requestVersion] = exchange.requestVersion.length
  words[s + stringAt.responseVersion] = exchange.responseVersion.length
  const slotsAt = w + FIELDS_BYTES / 4
  for (let i = 0; i < mirrors.length; i++) words[slotsAt + i] = mirrors[i] as number
  let at = start + FIELDS_BYTES + mirrors.length * 4
  bytes.write(text, at, text.length, 'latin1')
  at = copyPieces(bytes, at + text.length, requestBody.pieces)
  at = copyPieces(bytes, at, responseBody.pieces)
  while (at < start + length) bytes[at++] = 0
  // Last, so that a writer that threw half-way leaves nothing that looks like a record.
  words[w + at32.magic] = RECORD_MAGIC
  words[w + at32.length] = length
}
