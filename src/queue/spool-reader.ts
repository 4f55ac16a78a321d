/** Reads segments (`spool-format.ts`): their frames at a start, their payloads at a delivery. */
import fs from 'node:fs'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import type { FrameMeta, IndexedFrame, IndexResult, IndexTask, SpoolRange } from '../contract/tasks.ts'
import {
  FRAME_HEADER,
  FRAME_MAGIC_BYTES,
  isSegment,
  parseFrameHeader,
  SEGMENT_HEADER,
} from './spool-format.ts'

const read = promisify(fs.read)

/**
 * Reads the frame headers of a segment. A damaged stretch is stepped over to the next frame header; what
 * follows the last whole frame is a torn tail. Never throws for what the file holds; one that is gone holds
 * nothing.
 */
export async function indexSegment(task: IndexTask): Promise<IndexResult> {
  const bytes = await readFile(task.path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  })
  const frames: IndexedFrame[] = []
  const corrupt: FrameMeta[] = []
  const known = isSegment(bytes)
  let at = task.from === 0 ? Math.min(SEGMENT_HEADER, bytes.length) : task.from
  let end = known ? at : 0
  let skipped = 0
  while (known && at < bytes.length) {
    const frame = parseFrameHeader(bytes, at)
    if (frame !== null && at + frame.length <= bytes.length) {
      const { crc, ...meta } = frame
      const sound = !task.verify || crc32(bytes.subarray(at + FRAME_HEADER, at + frame.length)) === crc
      if (sound) frames.push(meta)
      else corrupt.push(meta)
      at += frame.length
      end = at
      continue
    }
    const next = nextFrame(bytes, at + 1)
    if (next === -1) break
    skipped += next - at
    at = next
  }
  return { frames, corrupt, end, skipped: known ? skipped : bytes.length }
}

function nextFrame(bytes: Buffer, from: number): number {
  for (
    let at = bytes.indexOf(FRAME_MAGIC_BYTES, from);
    at !== -1;
    at = bytes.indexOf(FRAME_MAGIC_BYTES, at + 1)
  ) {
    if (parseFrameHeader(bytes, at) !== null) return at
  }
  return -1
}

/** What a range of a segment holds. */
interface RangeRead {
  /** The payloads of its frames. */
  readonly ndjson: Buffer
  readonly items: number
  /** Frames that are damaged. */
  readonly corrupt: FrameMeta[]
}

/**
 * The payload of the frames in a range of a segment, headers taken out, checksums verified; in `bytes`.
 * `fresh`: this process wrote it a moment ago, and it stands in memory: another thread would cost more, and
 * there was no disk yet that could have changed it.
 */
export async function readRange(
  { path, from, to, fresh }: Pick<SpoolRange, 'path' | 'from' | 'to' | 'fresh'>,
  bytes: Buffer = Buffer.allocUnsafeSlow(to - from),
): Promise<RangeRead> {
  // Names are looked up in memory, mostly; only what may wait for the disk goes to another thread.
  const fd = fs.openSync(path, 'r')
  try {
    let done = 0
    while (done < bytes.length) {
      const place = [done, bytes.length - done, from + done] as const
      const bytesRead = fresh ? fs.readSync(fd, bytes, ...place) : (await read(fd, bytes, ...place)).bytesRead
      if (bytesRead === 0) break
      done += bytesRead
    }
    return unframe(bytes.subarray(0, done), from, to, !fresh)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Moves payloads together over their headers, in place: no second copy of the batch. The first one stays
 * where it is, and what is made of the batch has room before it.
 */
function unframe(bytes: Buffer, from: number, to: number, verify: boolean): RangeRead {
  const corrupt: FrameMeta[] = []
  let items = 0
  let filled = FRAME_HEADER
  let at = 0
  while (at < bytes.length) {
    const frame = parseFrameHeader(bytes, at)
    if (frame === null || at + frame.length > bytes.length) break
    const payload = bytes.subarray(at + FRAME_HEADER, at + frame.length)
    if (!verify || crc32(payload) === frame.crc) {
      if (filled !== at + FRAME_HEADER) bytes.copyWithin(filled, at + FRAME_HEADER, at + frame.length)
      filled += payload.length
      items += frame.items
    } else {
      const { offset, length, oldest, newest } = frame
      corrupt.push({ offset: from + offset, length, items: frame.items, oldest, newest })
    }
    at += frame.length
  }
  // Without a header nobody can say how many items the rest held: main knows from its own index.
  if (at < to - from)
    corrupt.push({ offset: from + at, length: to - from - at, items: -1, oldest: 0, newest: 0 })
  return { ndjson: bytes.subarray(FRAME_HEADER, filled), items, corrupt }
}
