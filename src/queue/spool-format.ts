/**
 * The format of a segment, which is the disk side of a leg: an append-only file of frames.
 *
 *   segment  ┌ header 16 ┐┌───────── frame ──────────┐┌─ frame ─ …     <created>-<pid>.<thread>-<number>.seg
 *            │ MGSEG v2  ││ header 48 │ NDJSON       ││
 *            └───────────┘└──────────────────────────┘└────────
 *
 *   frame header, little endian
 *     0 u32 magic "MGFR"     16 u32 CRC-32 of the payload     32 f64 start of the newest exchange, Unix ms
 *     4 u32 data thread      20 u32 slab number               40 u32 batch mark
 *     8 u32 items            24 f64 start of the oldest       44 u32 CRC-32 of bytes 0..43, the mark
 *    12 u32 payload bytes        exchange, Unix ms                as zero
 *
 * The batch mark is a zero until the batch that begins with this frame is about to be sent, then the bytes of
 * that, headers included. After a crash the same frames go out under the same id.
 *
 * A segment has one writer: one recorder thread, or whoever has the turn to write posted events. After a
 * restart it is never appended to again.
 */
import { threadId } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import type { FrameMeta, IndexedFrame } from '../contract/tasks.ts'

const SEGMENT_MAGIC = Buffer.from('MGSEG\0\x02\0')
/** Version 1 had no marks, and zeros in their place. */
const SEGMENT_MAGIC_1 = Buffer.from('MGSEG\0\x01\0')
export const SEGMENT_HEADER = 16
const FRAME_MAGIC = 0x5246474d
export const FRAME_HEADER = 48
const CRC_AT = 44
export const MARK_AT = 40
export const FRAME_MAGIC_BYTES = Buffer.from('MGFR')

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

let segmentsMade = 0

/** Name of a new segment: sorts by creation, is unique on this machine. */
export function segmentName(now: number): string {
  segmentsMade += 1
  const created = now.toString(36).padStart(9, '0')
  const number = segmentsMade.toString(36).padStart(6, '0')
  return `${created}-${process.pid.toString(36)}.${threadId}-${number}.seg`
}

/** Id of the recorder thread that a segment's name says it was written by. */
export function writerOf(name: string): number {
  return Number(/\.(\d+)-/.exec(name)?.[1] ?? -1)
}

export function segmentHeader(): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER)
  SEGMENT_MAGIC.copy(header)
  return header
}

/** Whether what begins a file is the header of a segment that can be read. */
export function isSegment(bytes: Buffer): boolean {
  return [SEGMENT_MAGIC, SEGMENT_MAGIC_1].some((magic) => bytes.subarray(0, magic.length).equals(magic))
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
  header.writeUInt32LE(0, MARK_AT)
  header.writeUInt32LE(headerCrc(header), CRC_AT)
}

const noMark = Buffer.alloc(CRC_AT - MARK_AT)

function headerCrc(header: Buffer): number {
  return crc32(noMark, crc32(header.subarray(0, MARK_AT)))
}

/** Frame header at an offset, or null when there is none. */
export function parseFrameHeader(bytes: Buffer, at: number): (IndexedFrame & { crc: number }) | null {
  if (at + FRAME_HEADER > bytes.length || bytes.readUInt32LE(at) !== FRAME_MAGIC) return null
  if (headerCrc(bytes.subarray(at, at + FRAME_HEADER)) !== bytes.readUInt32LE(at + CRC_AT)) return null
  return {
    offset: at,
    length: FRAME_HEADER + bytes.readUInt32LE(at + 12),
    items: bytes.readUInt32LE(at + 8),
    oldest: bytes.readDoubleLE(at + 24),
    newest: bytes.readDoubleLE(at + 32),
    crc: bytes.readUInt32LE(at + 16),
    thread: bytes.readUInt32LE(at + 4),
    sequence: bytes.readUInt32LE(at + 20),
    batchBytes: bytes.readUInt32LE(at + MARK_AT),
  }
}
