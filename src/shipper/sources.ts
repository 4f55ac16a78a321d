/** What the segments of a leg stand on: files in its folder, or runs of ids of the activity log. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import type { DropReason } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import type { IndexResult, IndexTask, ShipTask } from '../contract/tasks.ts'
import type { ActivityFeed } from '../store/activity/feed.ts'
import type { LogRun } from '../store/legs.ts'
import { type Batch, isMarkable } from './batch.ts'
import { type FrameBounds, indexRun } from './log-frames.ts'
import type { ReadFrame, Segment } from './segment.ts'

/** Ranges of a segment that must not be cut through when it is read again. */
interface Busy {
  readonly from: number
  readonly to: number
}

export interface Source {
  /** Why items are missing that were counted. */
  readonly loss: DropReason
  /** Reads the frames of a segment again; rejects when it cannot. */
  index(segment: Segment, busy: readonly Busy[]): Promise<readonly ReadFrame[]>
  /** Where a delivery finds the items of a batch, counted from its first. */
  range(batch: Batch, items: readonly [from: number, to: number]): ShipTask['source']
  /** Takes away what a finished segment stood on. */
  discard(segment: Segment): Promise<void>
}

type Index = (task: IndexTask) => Promise<IndexResult>

export function spoolSource(folder: string, index: Index): Source {
  const file = ({ name }: Segment): string => path.join(folder, name)
  return {
    loss: 'spool_corrupt',
    async index(segment) {
      const { frames } = await index({ path: file(segment), from: 0, verify: false })
      return frames.map((frame) => ({ ...frame, bytes: frame.length }))
    },
    range: (batch, [itemFrom, itemTo]) => ({
      path: file(batch.segment),
      ...{ from: batch.from, to: batch.to, itemFrom, itemTo, mark: isMarkable(batch) },
      fresh: isFresh(batch),
    }),
    async discard(segment) {
      if (segment.damaged) await putAside(folder, segment.name)
      else await rm(file(segment), { force: true })
    },
  }
}

function isFresh({ frames }: Batch): boolean {
  const age = Date.now() - (frames[0]?.arrivedAt ?? 0)
  // Below zero the clock was set back, and nobody knows how old it is.
  return age >= 0 && age < limits.frame_fresh_ms
}

/** A damaged file is kept for people, as long as there are not too many of them. */
async function putAside(folder: string, name: string): Promise<void> {
  const file = path.join(folder, name)
  const aside = path.join(folder, 'quarantine')
  try {
    await mkdir(aside, { recursive: true, mode: 0o700 })
    await rename(file, path.join(aside, name))
    const kept = (await readdir(aside)).sort()
    for (const old of kept.slice(0, -limits.quarantined_segments_max))
      await rm(path.join(aside, old), { force: true })
  } catch {
    await rm(file, { force: true })
  }
}

/** What a finished run stood on is the log's own. */
export function logSource(feed: ActivityFeed, dataDir: string, bounds: () => FrameBounds): Source {
  return {
    loss: 'expired',
    index: (segment, busy) =>
      indexRun(feed, runOf(segment), bounds(), {
        settled: segment.settled,
        batches: busy.map(({ from, to }) => [from, to] as const),
      }),
    range: ({ segment, from, to, items, bytes }, [itemFrom, itemTo]) => ({
      log: { dataDir, filter: runOf(segment).filter },
      ...{ from, to, itemFrom, itemTo, items, bytes },
    }),
    discard: () => Promise.resolve(),
  }
}

function runOf({ name, log }: Segment): LogRun {
  if (log === null) throw new Error(`segment ${name} is no run of the log`)
  return log
}
