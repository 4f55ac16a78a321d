/** Segments that are written in one go and durable at its end: dead letters that go back, posted events. */
import { constants, type FileHandle, open } from 'node:fs/promises'
import {
  FRAME_HEADER,
  type FrameInfo,
  type SegmentFrame,
  segmentHeader,
  writeFrameHeader,
} from './spool-format.ts'

/** One frame after the other into one file; durable when `close` resolves. */
export class SegmentFile {
  readonly name: string
  readonly #handle: FileHandle
  size: number

  private constructor(name: string, handle: FileHandle, size: number) {
    this.name = name
    this.#handle = handle
    this.size = size
  }

  static async create(file: string, name: string): Promise<SegmentFile> {
    const header = segmentHeader()
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(header)
    } catch (error) {
      await handle.close()
      throw error
    }
    return new SegmentFile(name, handle, header.length)
  }

  /** Goes on behind `size`: what lies there was never accepted. */
  static async goOn(file: string, name: string, size: number): Promise<SegmentFile> {
    const handle = await open(file, constants.O_WRONLY | constants.O_APPEND)
    try {
      await handle.truncate(size)
    } catch (error) {
      await handle.close()
      throw error
    }
    return new SegmentFile(name, handle, size)
  }

  async append(payload: Buffer, info: FrameInfo): Promise<SegmentFrame> {
    const header = Buffer.alloc(FRAME_HEADER)
    writeFrameHeader(header, payload, info)
    await this.#handle.writeFile(header)
    await this.#handle.writeFile(payload)
    const { items, oldest, newest } = info
    const length = header.length + payload.length
    const frame = { segment: this.name, offset: this.size, length, items, oldest, newest }
    this.size += length
    return frame
  }

  async close(): Promise<void> {
    try {
      await this.#handle.datasync()
    } finally {
      await this.#handle.close()
    }
  }

  /** Closes what is not to count. */
  async abandon(): Promise<void> {
    await this.#handle.close()
  }
}

/** A whole segment made at once. Durable when it resolves. */
export async function writeSegment(
  file: string,
  segment: string,
  frames: Iterable<{ readonly payload: Buffer; readonly info: FrameInfo }>,
): Promise<SegmentFrame[]> {
  const made = await SegmentFile.create(file, segment)
  const written: SegmentFrame[] = []
  try {
    for (const { payload, info } of frames) written.push(await made.append(payload, info))
  } catch (error) {
    await made.abandon()
    throw error
  }
  await made.close()
  return written
}
