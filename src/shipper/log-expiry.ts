/** What of a run still waits although retention took the entries: counted exactly, down to the entry. */
import type { ActivityFeed } from '../store/activity/feed.ts'
import { entryTest } from '../store/activity/stored-entry.ts'
import { itemBytes } from './log-frames.ts'
import type { LegQueue } from './leg-queue.ts'
import type { Frame, Segment } from './segment.ts'

/** Gives up waiting frames below an id. A run that is not in memory is counted when it is read. */
export function expireRun(queue: LegQueue, feed: ActivityFeed, segment: Segment, id: number): number {
  const { log, pending } = segment
  if (log === null) return 0
  if (pending === null) return log.end !== null && log.end <= id ? queue.giveUp(segment) : 0
  let items = 0
  for (let frame = pending[0]; frame !== undefined && frame.offset < id; frame = pending[0]) {
    const left = restOf(frame, feed, segment, id)
    items += queue.cutFirst(segment, left)
    if (left !== null) break
  }
  return items
}

/** The part of a frame from an id on; null when nothing of it is left. */
function restOf(frame: Frame, feed: ActivityFeed, { log }: Segment, id: number): Frame | null {
  const end = frame.offset + frame.length
  if (log === null || end <= id) return null
  const matches = entryTest(log.filter)
  let [items, bytes] = [0, 0]
  for (const entry of feed.entries(id, end)) {
    if (!matches(entry)) continue
    items += 1
    bytes += itemBytes(entry)
  }
  return items === 0 ? null : { ...frame, offset: id, length: end - id, items, bytes }
}
