/** The lines of an export, read as bytes in large pieces. */
import { createReadStream } from 'node:fs'
import { EXPORT_TAIL_CHARS, HASH_BYTES } from '../store/activity/format.ts'

const LF = 0x0a
const PIECE_BYTES = 1 << 20
/** No line is longer: an entry is at most a request body. */
const LINE_BYTES_MAX = 64 << 20
const CLOSE_BRACE = 0x7d
const checkpointStart = Buffer.from('{"checkpoint":')
const entryStart = Buffer.from('{"id":')
/** `,"prev_hash":"` and what stands between the two hashes. */
const previousAt = ',"prev_hash":"'.length
const hashAt = previousAt + 2 * HASH_BYTES + '","hash":"'.length

/** Whole lines without their ends; each is valid until the next one is asked for. */
export async function* linesOf(file: string): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of createReadStream(file, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let from = 0
    for (let to = bytes.indexOf(LF); to !== -1; to = bytes.indexOf(LF, from)) {
      if (to > from) yield bytes.subarray(from, to)
      from = to + 1
    }
    rest = bytes.subarray(from)
    if (rest.length > LINE_BYTES_MAX) throw new Error(`a line must have at most ${LINE_BYTES_MAX} bytes`)
  }
  if (rest.length > 0) yield rest
}

/** The checkpoint of a line as it is stored; null for other lines. */
export function checkpointOf(line: Buffer): string | null {
  if (!line.subarray(0, checkpointStart.length).equals(checkpointStart)) return null
  return line.toString('utf8', checkpointStart.length, line.length - 1)
}

export interface ExportedEntry {
  readonly id: number
  readonly previous: Buffer
  readonly hash: Buffer
  readonly payload: Buffer
}

/** The entry of a line; null when it is none. The payload takes the place of the line. */
export function entryOf(line: Buffer): ExportedEntry | null {
  const tail = line.length - EXPORT_TAIL_CHARS
  if (tail <= entryStart.length || !line.subarray(0, entryStart.length).equals(entryStart)) return null
  const id = Number.parseInt(line.toString('latin1', entryStart.length, entryStart.length + 16), 10)
  const hex = (from: number) => Buffer.from(line.toString('latin1', from, from + 2 * HASH_BYTES), 'hex')
  const previous = hex(tail + previousAt)
  const hash = hex(tail + hashAt)
  if (!Number.isSafeInteger(id) || previous.length !== HASH_BYTES || hash.length !== HASH_BYTES) return null
  line[tail] = CLOSE_BRACE
  return { id, previous, hash, payload: line.subarray(0, tail + 1) }
}
