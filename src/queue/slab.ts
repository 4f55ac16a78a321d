/**
 * The format of a slab: captured exchanges as binary records, one after the other, in an ArrayBuffer of their
 * own that travels from a data thread to a recorder by transfer.
 *
 *   slab    ┌──────────┬──────────┬─────┐
 *           │ record 0 │ record 1 │ …   │ unused          each record begins at a multiple of 8
 *           └──────────┴──────────┴─────┘
 *   record  ┌────────┬──────────────┬──────┬──────────────┬───────────────┬─────┐
 *           │ fields │ mirror slots │ text │ request body │ response body │ pad │
 *           │ 104 B  │ 4 B each     │      │              │               │     │
 *           └────────┴──────────────┴──────┴──────────────┴───────────────┴─────┘
 *
 * `text` is every string of the exchange in latin1, joined by LF: nothing that HTTP lets into a head holds an
 * LF, and one write of one string costs a tenth of forty. Numbers are in the byte order of the machine: a
 * slab never leaves it.
 */
import { type GatewayErrorCode, gatewayErrors } from '../contract/errors.ts'
import { type CapturedBody, type CapturedExchange, outcomes } from '../contract/exchange.ts'

const MAGIC = 0x3147_4d58
const FIELDS_BYTES = 104

/** Positions in `Float64Array` units from the start of the record. */
const at64 = {
  startedAt: 1,
  answeredAt: 2,
  durationMs: 3,
  upstreamMs: 4,
  requestSize: 5,
  responseSize: 6,
} as const
/** Positions in `Uint32Array` units from the start of the record. */
const at32 = {
  magic: 0,
  length: 1,
  requestKept: 14,
  responseKept: 15,
  textBytes: 16,
  status: 17,
  outcome: 18,
  flags: 19,
  clientPort: 20,
  requestHeaders: 21,
  requestTrailers: 22,
  responseHeaders: 23,
  responseTrailers: 24,
  mirrors: 25,
} as const
const REQUEST_LIMITED = 1
const RESPONSE_LIMITED = 2
const HAS_STATUS = 4
/** Above the flags: 1 + the place of the gateway's own error code, 0 for none. */
const ERROR_CODE_SHIFT = 8
const errorCodes = Object.keys(gatewayErrors) as GatewayErrorCode[]
/** Strings that every record has, before its header lists. */
const FIXED_STRINGS = 10

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
export type SealedExchange = Omit<CapturedExchange, 'requestBody' | 'responseBody'> & {
  readonly requestBody: KeptBody
  readonly responseBody: KeptBody
}

/** The views through which one slab is written. */
export class SlabView {
  readonly slab: ArrayBuffer
  readonly bytes: Buffer
  readonly words: Uint32Array
  readonly doubles: Float64Array

  constructor(slab: ArrayBuffer) {
    this.slab = slab
    this.bytes = Buffer.from(slab)
    this.words = new Uint32Array(slab, 0, slab.byteLength >> 2)
    this.doubles = new Float64Array(slab, 0, slab.byteLength >> 3)
  }
}

function joinedList(list: readonly string[]): string {
  let text = ''
  for (let i = 0; i < list.length; i++) text += `\n${list[i]}`
  return text
}

/** Every string of an exchange in one. The order is that of `readRecord`. */
export function recordText(exchange: SealedExchange): string {
  return (
    `${exchange.id}\n${exchange.collection}\n${exchange.upstream}\n${exchange.clientIp}\n` +
    `${exchange.scheme}\n${exchange.method}\n${exchange.host}\n${exchange.target}\n` +
    `${exchange.requestVersion}\n${exchange.responseVersion}` +
    joinedList(exchange.requestHeaders) +
    joinedList(exchange.requestTrailers) +
    joinedList(exchange.responseHeaders) +
    joinedList(exchange.responseTrailers)
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
  words[w + at32.requestHeaders] = exchange.requestHeaders.length
  words[w + at32.requestTrailers] = exchange.requestTrailers.length
  words[w + at32.responseHeaders] = exchange.responseHeaders.length
  words[w + at32.responseTrailers] = exchange.responseTrailers.length
  words[w + at32.mirrors] = mirrors.length
  const slotsAt = w + FIELDS_BYTES / 4
  for (let i = 0; i < mirrors.length; i++) words[slotsAt + i] = mirrors[i] as number
  let at = start + FIELDS_BYTES + mirrors.length * 4
  bytes.write(text, at, text.length, 'latin1')
  at = copyPieces(bytes, at + text.length, requestBody.pieces)
  at = copyPieces(bytes, at, responseBody.pieces)
  bytes.fill(0, at, start + length)
  // Last, so that a writer that threw half-way leaves nothing that looks like a record.
  words[w + at32.magic] = MAGIC
  words[w + at32.length] = length
}

function broken(at: number, rule: string, value: number): Error {
  return new Error(`slab record at byte ${at}: ${rule}, got ${value}`)
}

/** Checks every length of the record at `start` against `end`, and returns its own length. */
function checkedLength(words: Uint32Array, start: number, end: number): number {
  const w = start >> 2
  if (end - start < FIELDS_BYTES) throw broken(start, `must have at least ${FIELDS_BYTES} bytes`, end - start)
  const magic = words[w + at32.magic] as number
  if (magic !== MAGIC) throw broken(start, `must begin with ${MAGIC}`, magic)
  const length = words[w + at32.length] as number
  if (length % 8 !== 0 || length > end - start)
    throw broken(start, `length must be within ${end - start}`, length)
  const outcome = words[w + at32.outcome] as number
  if (outcome >= outcomes.length) throw broken(start, `outcome must be below ${outcomes.length}`, outcome)
  const parts =
    FIELDS_BYTES +
    (words[w + at32.mirrors] as number) * 4 +
    (words[w + at32.textBytes] as number) +
    (words[w + at32.requestKept] as number) +
    (words[w + at32.responseKept] as number)
  if (parts > length) throw broken(start, `parts must fit its length of ${length}`, parts)
  return length
}

function body(bytes: Buffer, from: number, kept: number, size: number, limited: boolean): CapturedBody {
  return { bytes: bytes.subarray(from, from + kept), size, limited }
}

function readRecord(view: SlabView, start: number): CapturedExchange {
  const { words, doubles, bytes } = view
  const w = start >> 2
  const d = start >> 3
  const word = (position: number) => words[w + position] as number
  const double = (position: number) => doubles[d + position] as number
  const slotsAt = w + FIELDS_BYTES / 4
  const textAt = start + FIELDS_BYTES + word(at32.mirrors) * 4
  const requestAt = textAt + word(at32.textBytes)
  const responseAt = requestAt + word(at32.requestKept)
  const strings = bytes.toString('latin1', textAt, requestAt).split('\n')
  const requestHeadersEnd = FIXED_STRINGS + word(at32.requestHeaders)
  const requestTrailersEnd = requestHeadersEnd + word(at32.requestTrailers)
  const responseHeadersEnd = requestTrailersEnd + word(at32.responseHeaders)
  const responseTrailersEnd = responseHeadersEnd + word(at32.responseTrailers)
  if (strings.length !== responseTrailersEnd) {
    throw broken(start, `must hold ${responseTrailersEnd} strings`, strings.length)
  }
  const flags = word(at32.flags)
  const text = (index: number) => strings[index] as string
  return {
    id: text(0),
    collection: text(1),
    upstream: text(2),
    clientIp: text(3),
    scheme: text(4) === 'https' ? 'https' : 'http',
    method: text(5),
    host: text(6),
    target: text(7),
    requestVersion: text(8),
    responseVersion: text(9),
    startedAt: double(at64.startedAt),
    answeredAt: double(at64.answeredAt),
    durationMs: double(at64.durationMs),
    upstreamMs: double(at64.upstreamMs),
    outcome: outcomes[word(at32.outcome)] as CapturedExchange['outcome'],
    errorCode: errorCodes[(flags >>> ERROR_CODE_SHIFT) - 1] ?? null,
    clientPort: word(at32.clientPort),
    status: (flags & HAS_STATUS) === 0 ? null : word(at32.status),
    requestHeaders: strings.slice(FIXED_STRINGS, requestHeadersEnd),
    requestTrailers: strings.slice(requestHeadersEnd, requestTrailersEnd),
    responseHeaders: strings.slice(requestTrailersEnd, responseHeadersEnd),
    responseTrailers: strings.slice(responseHeadersEnd, responseTrailersEnd),
    requestBody: body(
      bytes,
      requestAt,
      word(at32.requestKept),
      double(at64.requestSize),
      (flags & REQUEST_LIMITED) !== 0,
    ),
    responseBody: body(
      bytes,
      responseAt,
      word(at32.responseKept),
      double(at64.responseSize),
      (flags & RESPONSE_LIMITED) !== 0,
    ),
    mirrors: Array.from(words.subarray(slotsAt, slotsAt + word(at32.mirrors))),
  }
}

/**
 * Reads the records of a slab in order; `used` is in bytes. Bodies are views into the slab: they live as long
 * as it does. Throws when a record is not what `writeRecord` writes; those before it have been yielded by
 * then.
 */
export function* readSlab(slab: ArrayBuffer, used: number): Generator<CapturedExchange, void, void> {
  if (!Number.isInteger(used) || used < 0 || used > slab.byteLength || used % 8 !== 0) {
    throw new Error(`slab: used must be a multiple of 8 up to ${slab.byteLength}, got ${used}`)
  }
  const view = new SlabView(slab)
  for (let at = 0; at < used; ) {
    const length = checkedLength(view.words, at, used)
    yield readRecord(view, at)
    at += length
  }
}
