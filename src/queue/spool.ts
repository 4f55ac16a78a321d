/** Appends frames to the segments of a leg (`spool-format.ts`). What lies here survives a kill. */
import fs from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { limits } from '../contract/limits.ts'
import {
  FRAME_HEADER,
  type FrameInfo,
  MARK_AT,
  SEGMENT_HEADER,
  type SegmentFrame,
  segmentHeader,
  segmentName,
  writeFrameHeader,
} from './spool-format.ts'

const dataSync = promisify(fs.fdatasync)

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

/** Appends frames of one leg. Synchronous: its thread has nothing else to do. */
export class SegmentWriter {
  readonly #folder: string
  readonly #segmentBytes: number
  readonly #fsyncMs: number
  #open: OpenSegment | null = null
  /** Full, and flushed at the next turn of the timer, unless they were delivered and removed by then. */
  readonly #full: OpenSegment[] = []
  #closed: string[] = []
  #syncError: unknown = null
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
    else this.#timer ??= setInterval(() => this.#flushDue(), this.#fsyncMs).unref()
    const { items, oldest, newest } = info
    return { segment: segment.name, offset, length: FRAME_HEADER + payload.length, items, oldest, newest }
  }

  /** Names of the segments that were closed since the last call. */
  takeClosed(): string[] {
    const closed = this.#closed
    this.#closed = []
    return closed
  }

  /** The first error of a flush since the last call; null when there was none. */
  takeSyncError(): unknown {
    const error = this.#syncError
    this.#syncError = null
    return error
  }

  /** Flushes what it wrote, and closes the open segment. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#endOpen()
    while (this.#full.length > 0) this.#flushOldest()
  }

  #endOpen(): void {
    const segment = this.#open
    if (segment === null) return
    this.#open = null
    this.#closed.push(segment.name)
    this.#full.push(segment)
  }

  /** Closes what need not be flushed, and what there is no room for. */
  #letGo(): void {
    const full = this.#full
    while (full[0] !== undefined && (full.length > limits.segments_unflushed_max || isSettled(full[0])))
      this.#flushOldest()
  }

  #flushOldest(): void {
    const segment = this.#full.shift()
    if (segment === undefined) return
    segment.closed = true
    try {
      if (!isSettled(segment)) fs.fdatasyncSync(segment.fd)
    } catch (error) {
      // What is appended next is not to be lost for it.
      this.#syncError ??= error
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
      this.#endOpen()
      this.#letGo()
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
      this.#endOpen()
    }
  }

  #flushDue(): void {
    this.#letGo()
    for (const segment of this.#open === null ? this.#full : [...this.#full, this.#open]) {
      if (segment.durable === segment.size) continue
      // It stays as it is: the next turn tries again.
      syncOf(segment).catch((error: unknown) => {
        this.#syncError ??= error
      })
    }
  }
}

/** Whether it need not be flushed: it was, or it is delivered and removed, and nobody will read it. */
function isSettled({ fd, durable, size }: OpenSegment): boolean {
  return durable === size || fs.fstatSync(fd).nlink === 0
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

/**
 * Writes into a segment that a batch of so many bytes, beginning with the frame at `offset`, is about to be
 * sent. Throws the file system's error. Synchronous: four bytes over what is in memory, mostly.
 */
export function markBatch(file: string, offset: number, bytes: number): void {
  const mark = Buffer.alloc(4)
  mark.writeUInt32LE(bytes)
  const fd = fs.openSync(file, 'r+')
  try {
    fs.writeSync(fd, mark, 0, mark.length, offset + MARK_AT)
  } finally {
    fs.closeSync(fd)
  }
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
