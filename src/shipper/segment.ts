/** A segment as main knows it, the frames in it, and the runs of them that become batches. */
import { limits } from '../contract/limits.ts'
import type { FrameMeta } from '../contract/tasks.ts'
import type { LogRun } from '../store/legs.ts'

export interface Frame extends FrameMeta {
  /** What it adds to a batch; of a spool the same as `length`, of the log `length` counts ids. */
  readonly bytes: number
  /** When main learned of it, Unix milliseconds; 0 for what an earlier process left. */
  readonly arrivedAt: number
}

/** A frame as it was read again. */
export type ReadFrame = Omit<Frame, 'arrivedAt'>

export interface Segment {
  readonly name: string
  /** Nothing will be appended any more. */
  closed: boolean
  /** Bytes of the file. */
  size: number
  settled: [from: number, to: number][]
  settledItems: number
  /** Waiting frames by offset; null when there are too many to keep: read again when their turn comes. */
  pending: Frame[] | null
  pendingItems: number
  pendingBytes: number
  flyingItems: number
  /** Start of the newest exchange that waits. */
  newest: number
  oldest: number
  /** Some frame could not be read: the file is kept aside instead of deleted. */
  damaged: boolean
  removing: boolean
  /** Null for a file of the spool. */
  readonly log: LogRun | null
}

export interface Run {
  readonly segment: Segment
  readonly frames: readonly Frame[]
  readonly items: number
  readonly bytes: number
}

/** Adds [from, to) to merged ascending ranges. */
export function mergeRange(
  ranges: readonly [number, number][],
  from: number,
  to: number,
): [number, number][] {
  const merged: [number, number][] = []
  let [start, end] = [from, to]
  for (const [a, b] of ranges) {
    if (b < start || a > end) merged.push([a, b])
    else {
      start = Math.min(start, a)
      end = Math.max(end, b)
    }
  }
  merged.push([start, end])
  return merged.sort((x, y) => x[0] - y[0])
}

/**
 * Bytes after which the segments of a leg roll: a small spool has small segments, so that drop_oldest gives
 * up little.
 */
export function segmentBytesFor(spoolBytes: number): number {
  const share = Math.floor(spoolBytes * limits.segment_share_of_spool)
  return Math.max(limits.segment_bytes_min, Math.min(limits.segment_bytes, share))
}
