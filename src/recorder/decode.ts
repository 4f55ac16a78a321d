/** Undoes the content-encoding of a captured body: one bounded stream, a cut one as far as it goes. */
import zlib from 'node:zlib'
import { limits } from '../contract/limits.ts'

/**
 * Below this many bytes of input the search ends: what still gives too much there is a bomb through and
 * through.
 */
const STEP_BYTES_MIN = 64
const CHUNK_BYTES_MIN = 4096
const CHUNK_BYTES_MAX = 65_536

export interface Decoded {
  /** What came out, at most `maxBytes`; the input itself when `error` is set. */
  readonly bytes: Buffer
  /** Codings that were undone, as the sender listed them; null when there were none. */
  readonly from: string | null
  /** Why the body could not be decoded; null when it could. */
  readonly error: string | null
  /** The stream goes on behind `bytes`: beyond `maxBytes`, or it was not whole. */
  readonly cut: boolean
}

interface EngineOptions {
  readonly finishFlush?: number
  readonly maxOutputLength: number
  readonly chunkSize: number
}
interface Engine {
  run(input: Buffer, options: EngineOptions): Buffer
  /** Flush mode at the end of the input that yields what a cut stream holds instead of an error. */
  readonly flush: number
}

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush, ZSTD_d_windowLogMax } = zlib.constants
// RFC 9659 §3: a zstd content-coding needs no window above 8 MiB; a larger one only costs memory.
const zstdParams = { [ZSTD_d_windowLogMax]: 23 }

const engines = {
  gzip: { run: (input, options) => zlib.gunzipSync(input, options), flush: Z_SYNC_FLUSH },
  zlib: { run: (input, options) => zlib.inflateSync(input, options), flush: Z_SYNC_FLUSH },
  raw: { run: (input, options) => zlib.inflateRawSync(input, options), flush: Z_SYNC_FLUSH },
  br: { run: (input, options) => zlib.brotliDecompressSync(input, options), flush: BROTLI_OPERATION_FLUSH },
  zstd: {
    run: (input, options) => zlib.zstdDecompressSync(input, { ...options, params: zstdParams }),
    flush: ZSTD_e_flush,
  },
} as const satisfies Record<string, Engine>

interface Piece {
  readonly bytes: Buffer
  readonly cut: boolean
}

/** RFC 9110 §8.4: codings are listed in the order in which they were applied. */
export function codingsOf(contentEncoding: string): string[] {
  const listed = contentEncoding.split(',').map((coding) => coding.trim().toLowerCase())
  return listed.filter((coding) => coding !== '' && coding !== 'identity')
}

/** `cut`: the input is only the first part of what was sent. Never throws for what the input holds. */
export function decodeBody(
  input: Buffer,
  codings: readonly string[],
  cut: boolean,
  maxBytes: number,
): Decoded {
  const failed = (error: string): Decoded => ({ bytes: input, from: null, error, cut })
  if (codings.length > limits.decode_codings_max)
    return failed(`at most ${limits.decode_codings_max} codings are undone, got ${codings.length}`)
  let piece: Piece = { bytes: input, cut }
  for (const coding of codings.toReversed()) {
    const undo = decoders.get(coding)
    if (undo === undefined) return failed('the content-encoding is not supported')
    try {
      piece = undo(piece, maxBytes)
    } catch {
      return failed(`the body is not valid ${coding}`)
    }
  }
  return {
    bytes: piece.bytes,
    from: codings.length === 0 ? null : codings.join(', '),
    error: null,
    cut: piece.cut,
  }
}

const decoders = new Map<string, (input: Piece, maxBytes: number) => Piece>([
  ['gzip', (input, maxBytes) => inflate(engines.gzip, input, maxBytes)],
  ['x-gzip', (input, maxBytes) => inflate(engines.gzip, input, maxBytes)],
  ['deflate', inflateEither],
  ['br', (input, maxBytes) => inflate(engines.br, input, maxBytes)],
  ['zstd', (input, maxBytes) => inflate(engines.zstd, input, maxBytes)],
])

/** RFC 9110 §8.4.1.2: deflate means the zlib format, but some senders leave its wrapping out. */
function inflateEither(input: Piece, maxBytes: number): Piece {
  const [method = 0, flags = 0] = input.bytes
  const wrapped = (method & 0x0f) === 8 && ((method << 8) | flags) % 31 === 0
  if (!wrapped && input.bytes.length > 1) return inflate(engines.raw, input, maxBytes)
  try {
    return inflate(engines.zlib, input, maxBytes)
  } catch {
    return inflate(engines.raw, input, maxBytes)
  }
}

function inflate(engine: Engine, input: Piece, maxBytes: number): Piece {
  const maxOutputLength = roomFor(maxBytes)
  const chunkSize = Math.min(Math.max(input.bytes.length * 4, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX)
  const options = { maxOutputLength, chunkSize }
  try {
    if (!input.cut) return within(engine.run(input.bytes, options), maxBytes, false)
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') return prefix(engine, input.bytes, options, maxBytes)
    if (codeOf(error) !== 'Z_BUF_ERROR') throw error
  }
  try {
    return within(engine.run(input.bytes, { ...options, finishFlush: engine.flush }), maxBytes, true)
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') return prefix(engine, input.bytes, options, maxBytes)
    throw error
  }
}

/**
 * First `maxBytes` of a stream that holds far more. The synchronous engines give all or nothing, so a
 * prefix of the input is looked for whose output lies between the cap and the room above it. Formats that
 * pack a whole bomb into a few bytes (br) have no such prefix: then less than the cap comes out, or
 * nothing.
 */
function prefix(engine: Engine, input: Buffer, options: EngineOptions, maxBytes: number): Piece {
  let best: Buffer = Buffer.alloc(0)
  let low = 0
  let high = input.length
  for (
    let tries = 0;
    tries < limits.decode_tries_max && best.length < maxBytes && high - low > STEP_BYTES_MIN;
    tries++
  ) {
    const middle =
      best.length === 0 ? low + Math.ceil((high - low) / limits.decode_room_factor) : (low + high) >>> 1
    try {
      best = engine.run(input.subarray(0, middle), { ...options, finishFlush: engine.flush })
      low = middle
    } catch (error) {
      if (codeOf(error) !== 'ERR_BUFFER_TOO_LARGE') throw error
      high = middle
    }
  }
  return within(best, maxBytes, true)
}

/** Bytes that one try may give. */
function roomFor(maxBytes: number): number {
  const { decode_room_factor, decode_room_bytes_min, decode_room_bytes_max } = limits
  const room = Math.max(maxBytes * decode_room_factor, decode_room_bytes_min)
  return Math.max(maxBytes * 2, Math.min(room, decode_room_bytes_max))
}

function within(bytes: Buffer, maxBytes: number, cut: boolean): Piece {
  return bytes.length > maxBytes ? { bytes: bytes.subarray(0, maxBytes), cut: true } : { bytes, cut }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
