/** The lines of an export, read as bytes in large pieces. */
import { createReadStream } from 'node:fs'
import { EXPORT_TAIL_CHARS, HASH_BYTES, HEAD_BYTES } from '../store/activity/format.ts'

const LF = 0x0a
const PIECE_BYTES = 1 << 20
/** No line is longer: an entry is at most a request body. */
const LINE_BYTES_MAX = 64 << 20
const CLOSE_BRACE = 0x7d
const checkpointStart = Buffer.from('{"checkpoint":')
const entryStart = Buffer.from('{"id":')
/** `,"prev_hash":"` and what stands between the two hashes. */
const HEX_CHARS = 2 * HASH_BYTES
const previousAt = ',"prev_hash":"'.length
const hashAt = previousAt + HEX_CHARS + '","hash":"'.length

/** Whole lines without their ends, many at a time; valid until the next ones are asked for. */
export async function* linesOf(file: string): AsyncGenerator<readonly Buffer[]> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of createReadStream(file, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    const lines: Buffer[] = []
    let from = 0
    for (let to = bytes.indexOf(LF); to !== -1; to = bytes.indexOf(LF, from)) {
      if (to > from) lines.push(bytes.subarray(from, to))
      from = to + 1
    }
    yield lines
    rest = bytes.subarray(from)
    if (rest.length > LINE_BYTES_MAX) throw new Error(`a line must have at most ${LINE_BYTES_MAX} bytes`)
  }
  if (rest.length > 0) yield [rest]
}

/** The checkpoint of a line as it is stored; null for other lines. */
export function checkpointOf(line: Buffer): string | null {
  // The third byte tells it from an entry.
  if (line[2] !== checkpointStart[2]) return null
  if (!line.subarray(0, checkpointStart.length).equals(checkpointStart)) return null
  return line.toString('utf8', checkpointStart.length, line.length - 1)
}

/** Reads entries of lines back into the form in which they are stored, in memory that it uses again. */
export class EntryReader {
  #memory = Buffer.allocUnsafe(PIECE_BYTES)

  /** Null when the line is no entry. `stored` is valid until the next one is read. */
  read(line: Buffer): { readonly id: number; readonly stored: Buffer } | null {
    const tail = line.length - EXPORT_TAIL_CHARS
    const starts = line.compare(entryStart, 0, entryStart.length, 0, entryStart.length) === 0
    if (tail <= entryStart.length || !starts) return null
    const id = Number.parseInt(line.toString('latin1', entryStart.length, entryStart.length + 16), 10)
    const bytes = HEAD_BYTES + tail + 1
    if (this.#memory.length < bytes) this.#memory = Buffer.allocUnsafe(bytes * 2)
    const memory = this.#memory
    const read =
      memory.write(line.toString('latin1', tail + previousAt, tail + previousAt + HEX_CHARS), 0, 'hex') +
      memory.write(line.toString('latin1', tail + hashAt, tail + hashAt + HEX_CHARS), HASH_BYTES, 'hex')
    if (!Number.isSafeInteger(id) || read !== HEAD_BYTES) return null
    line.copy(memory, HEAD_BYTES, 0, tail)
    memory[bytes - 1] = CLOSE_BRACE
    return { id, stored: memory.subarray(0, bytes) }
  }
}
