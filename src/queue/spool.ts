/**
 * The disk side of a leg: segments, append-only files of frames. What lies here survives a kill.
 *
 *   segment  ┌ header 16 ┐┌───────── frame ──────────┐┌─ frame ─ …     <created>-<pid>.<thread>-<number>.seg
 *            │ MGSEG v1  ││ header 48 │ NDJSON       ││
 *            └───────────┘└──────────────────────────┘└────────
 *
 *   frame header, little endian
 *     0 u32 magic "MGFR"     16 u32 CRC-32 of the payload     32 f64 start of the newest exchange, Unix ms
 *     4 u32 data thread      20 u32 slab number               40 u32 reserved
 *     8 u32 items            24 f64 start of the oldest       44 u32 CRC-32 of bytes 0..43
 *    12 u32 payload bytes        exchange, Unix ms
 *
 * A segment has one writer: one recorder thread, or whoever has the turn to write posted events. After a
 * restart it is never appended to again.
 */
import fs from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { threadId } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import { limits } from '../contract/limits.ts'
import type { FrameMeta, IndexedFrame, IndexResult, IndexTask } from '../contract/tasks.ts'

const dataSync = promisify(fs.fdatasync)
const read = promisify(fs.read)
const SEGMENT_MAGIC = Buffer.from('MGSEG\0\x01\0')
const SEGMENT_HEADER = 16
const FRAME_MAGIC = 0x5246474d
export const FRAME_HEADER = 48
const FRAME_MAGIC_BYTES = Buffer.from('MGFR')

/** What a frame says of itself beside its payload. */
export interface FrameInfo {
  readonly items: number
  readonly oldest: number
  readonly newest: number
  readonly thread: number
  readonly sequence: number
}

export interface SegmentFrame extends FrameMeta {
  readonly segment: string
}

interface OpenSegment {
  readonly name: string
  readonly fd: number
  readonly openedAt: number
  size: number
  /** As far as this it is on the disk. */
  durable: number
  syncing: Promise<void> | null
  /** Nothing is appended any more; the descriptor is closed, or will be when nobody syncs it. */
  closed: boolean
}

let segmentsMade = 0

/** Name of a new segment: sorts by creation, is unique on this machine. */
export function segmentName(now: number): string {
  segmentsMade += 1
  const created = now.toString(36).padStart(9, '0')
  const number = segmentsMade.toString(36).padStart(6, '0')
  return `${created}-${process.pid.toString(36)}.${threadId}-${number}.seg`
}

/** Appends frames of one leg. Synchronous: its thread has nothing else to do. */
export class SegmentWriter {
  readonly #folder: string
  readonly #segmentBytes: number
  readonly #fsyncMs: number
  #open: OpenSegment | null = null
  #closed: string[] = []
  #timer: NodeJS.Timeout | null = null
  #header = Buffer.alloc(FRAME_HEADER)

  constructor(folder: string, options: { readonly segmentBytes: number; readonly fsyncMs: number }) {
    this.#folder = folder
    this.#segmentBytes = options.segmentBytes
    this.#fsyncMs = options.fsyncMs
  }

  /**
   * Appends one frame; it survives a kill of the process when this returns, a power loss after the next
   * fsync. Throws the file system's error after the file was cut back to its last whole frame.
   */
  append(payload: Buffer, info: FrameInfo, leg: { readonly parked: boolean }): SegmentFrame {
    const segment = this.#segmentFor(FRAME_HEADER + payload.length, leg.parked)
    const offset = segment.size
    writeFrameHeader(this.#header, payload, info)
    try {
      writeAll(segment.fd, [this.#header, payload], offset)
      if (this.#fsyncMs === 0) fs.fdatasyncSync(segment.fd)
    } catch (error) {
      this.#cutBack(segment, offset)
      throw error
    }
    segment.size = offset + FRAME_HEADER + payload.length
    if (this.#fsyncMs === 0) segment.durable = segment.size
    else this.#timer ??= setInterval(() => this.#syncOpen(), this.#fsyncMs).unref()
    const { items, oldest, newest } = info
    return { segment: segment.name, offset, length: FRAME_HEADER + payload.length, items, oldest, newest }
  }

  /** Resolves when everything that was appended is on the disk. */
  async flush(): Promise<void> {
    const segment = this.#open
    if (segment === null) return
    const wanted = segment.size
    while (segment.durable < wanted) {
      if (segment.closed) throw new Error(`segment ${segment.name} was closed before it was on the disk`)
      await syncOf(segment)
    }
  }

  /** Names of the segments that were closed since the last call. */
  takeClosed(): string[] {
    const closed = this.#closed
    this.#closed = []
    return closed
  }

  /** Flushes and closes the open segment. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    const segment = this.#open
    if (segment === null) return
    this.#open = null
    this.#closed.push(segment.name)
    segment.closed = true
    try {
      if (segment.durable < segment.size) fs.fdatasyncSync(segment.fd)
      segment.durable = segment.size
    } finally {
      // Under a sync that runs, the number could become that of another file.
      if (segment.syncing === null) fs.closeSync(segment.fd)
    }
  }

  #segmentFor(bytes: number, parked: boolean): OpenSegment {
    const open = this.#open
    if (open !== null) {
      const ageMax = parked ? limits.segment_age_parked_ms : limits.segment_age_ms
      const full = open.size > SEGMENT_HEADER && open.size + bytes > this.#segmentBytes
      if (!full && Date.now() - open.openedAt < ageMax) return open
      this.close()
    }
    const now = Date.now()
    const name = segmentName(now)
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const fd = fs.openSync(path.join(this.#folder, name), 'wx', 0o600)
    try {
      writeAll(fd, [segmentHeader()], 0)
    } catch (error) {
      fs.closeSync(fd)
      fs.rmSync(path.join(this.#folder, name), { force: true })
      throw error
    }
    const size = SEGMENT_HEADER
    this.#open = { name, fd, openedAt: now, size, durable: size, syncing: null, closed: false }
    return this.#open
  }

  #cutBack(segment: OpenSegment, size: number): void {
    try {
      fs.ftruncateSync(segment.fd, size)
    } catch {
      // The torn tail stays; the next start cuts it. Nothing may follow it, so this segment ends here.
      this.close()
    }
  }

  #syncOpen(): void {
    const segment = this.#open
    // An error leaves it as it is: the next turn tries again.
    if (segment !== null && segment.durable < segment.size) syncOf(segment).catch(() => undefined)
  }
}

/** The sync that runs, or a new one; it may not hold what was appended after it began. */
function syncOf(segment: OpenSegment): Promise<void> {
  const { size } = segment
  segment.syncing ??= dataSync(segment.fd)
    .then(() => {
      segment.durable = Math.max(segment.durable, size)
    })
    .finally(() => {
      segment.syncing = null
      if (segment.closed) fs.closeSync(segment.fd)
    })
  return segment.syncing
}

export function segmentHeader(): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER)
  SEGMENT_MAGIC.copy(header)
  return header
}

export function writeFrameHeader(header: Buffer, payload: Buffer, info: FrameInfo): void {
  header.writeUInt32LE(FRAME_MAGIC, 0)
  header.writeUInt32LE(info.thread, 4)
  header.writeUInt32LE(info.items, 8)
  header.writeUInt32LE(payload.length, 12)
  header.writeUInt32LE(crc32(payload), 16)
  header.writeUInt32LE(info.sequence >>> 0, 20)
  header.writeDoubleLE(info.oldest, 24)
  header.writeDoubleLE(info.newest, 32)
  header.writeUInt32LE(0, 40)
  header.writeUInt32LE(crc32(header.subarray(0, 44)), 44)
}

/** Writes buffers one after the other; a short write (disk nearly full) is continued until it is an error. */
function writeAll(fd: number, buffers: readonly Buffer[], position: number): void {
  let rest = buffers.slice()
  let at = position
  while (rest.length > 0) {
    let written = fs.writevSync(fd, rest, at)
    at += written
    while (rest[0] !== undefined && written >= rest[0].length) {
      written -= rest[0].length
      rest = rest.slice(1)
    }
    if (rest[0] !== undefined && written > 0) rest[0] = rest[0].subarray(written)
  }
}

/** Id of the recorder thread that a segment's name says it was written by. */
export function writerOf(name: string): number {
  return Number(/\.(\d+)-/.exec(name)?.[1] ?? -1)
}

/** Flushes a file to the disk: the last step of a recorder's writer that has already ended. */
export async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

/** Frame header at an offset, or null when there is none. */
function parseFrameHeader(
  bytes: Buffer,
  at: number,
): (FrameMeta & { crc: number; thread: number; sequence: number }) | null {
  if (at + FRAME_HEADER > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return null
  if (crc32(bytes.subarray(at, at + 44)) !== bytes.readUInt32LE(at + 44)) return null
  return {
    offset: at,
    length: FRAME_HEADER + bytes.readUInt32LE(at + 12),
    items: bytes.readUInt32LE(at + 8),
    oldest: bytes.readDoubleLE(at + 24),
    newest: bytes.readDoubleLE(at + 32),
    crc: bytes.readUInt32LE(at + 16),
    thread: bytes.readUInt32LE(at + 4),
    sequence: bytes.readUInt32LE(at + 20),
  }
}

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
  const known = bytes.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)
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

/** The payload of the frames in a range of a segment, headers taken out, checksums verified; in `bytes`. */
export async function readRange(
  file: string,
  from: number,
  to: number,
  bytes: Buffer = Buffer.allocUnsafeSlow(to - from),
): Promise<{ ndjson: Buffer; items: number; corrupt: FrameMeta[] }> {
  // Names are looked up in memory, mostly; only what may wait for the disk goes to another thread.
  const fd = fs.openSync(file, 'r')
  try {
    let done = 0
    while (done < bytes.length) {
      const { bytesRead } = await read(fd, bytes, done, bytes.length - done, from + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return unframe(bytes.subarray(0, done), from, to)
  } finally {
    fs.closeSync(fd)
  }
}

/** Moves payloads together over their headers, in place: no second copy of the batch. */
function unframe(
  bytes: Buffer,
  from: number,
  to: number,
): { ndjson: Buffer; items: number; corrupt: FrameMeta[] } {
  const corrupt: FrameMeta[] = []
  let items = 0
  let filled = 0
  let at = 0
  while (at < bytes.length) {
    const frame = parseFrameHeader(bytes, at)
    if (frame === null || at + frame.length > bytes.length) break
    const payload = bytes.subarray(at + FRAME_HEADER, at + frame.length)
    if (crc32(payload) === frame.crc) {
      bytes.copyWithin(filled, at + FRAME_HEADER, at + frame.length)
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
  return { ndjson: bytes.subarray(0, filled), items, corrupt }
}
