/** Keeps a leg's backlog within its bounds: finished files go, old items expire, a full spool gives way. */
import type { DeliveryConfig } from '../config/schema.ts'
import type { DropReason } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import type { Backlog } from './backlog.ts'
import { segmentBytesFor } from './segment.ts'

/**
 * Deletes the files of finished segments. The record goes after the file, so that a crash between them is
 * noticed. Never rejects: what stays is tried again by the housekeeping. Called by the leg, one at a time.
 */
export async function discardFinished(leg: Backlog): Promise<void> {
  const finished = [...leg.queue.finished()]
  if (finished.length === 0) return
  for (const segment of finished) {
    segment.removing = true
    leg.noteSegment(segment)
  }
  if (!(await leg.ledger.flush())) {
    for (const segment of finished) segment.removing = false
    return
  }
  for (const segment of finished) {
    try {
      await leg.sourceOf(segment).discard(segment)
    } catch (error) {
      leg.logError(error, 'finished segment cannot be removed: tried again')
      segment.removing = false
      continue
    }
    leg.ledger.gone += segment.settledItems
    leg.ledger.putSegment(segment.name, null)
    leg.queue.forget(segment)
  }
  leg.ledger.flushSoon()
}

/** Whether what is finished should go at once, or the recorder may soon have to drop for want of room. */
export function isHalfFull({ queue, settings }: Backlog): boolean {
  return settings !== null && queue.fileBytes * 2 > legSpoolBytes(settings.delivery)
}

/** Bytes that the recorder may still append to a leg. */
export function roomOf(leg: Backlog, mirror: DeliveryConfig, diskLow: boolean): number {
  if (diskLow || leg.queue.fileCount > limits.segments_per_leg_max) return 0
  const cap = legSpoolBytes(mirror)
  // With drop_oldest main makes room soon after; until then the leg may stand a little over.
  const over = mirror.spool.when_full === 'drop_oldest' ? 2 * segmentBytesFor(cap) : 0
  return Math.max(0, cap + over - leg.queue.fileBytes)
}

/** The part of a mirror's spool that one leg has. */
export function legSpoolBytes(mirror: DeliveryConfig): number {
  return Math.floor(mirror.spool.max_bytes / mirror.legs.length)
}

/** Expires what is too old and, with drop_oldest, gives up the oldest segments of a full spool. */
export function housekeep(leg: Backlog, mirror: DeliveryConfig, now: number): void {
  const cutoff = now - mirror.spool.retention_ms
  let expired = leg.giveUpBatches(
    ({ segment, frames }) => segment.log === null && (frames.at(-1)?.newest ?? now) < cutoff,
  )
  for (const segment of leg.queue.segments) {
    // The log has a retention of its own.
    if (segment.pendingItems === 0 || segment.removing || segment.log !== null) continue
    if (segment.oldest >= cutoff) break
    const whole = segment.newest < cutoff && segment.closed
    if (!whole && segment.pending === null) break
    const items = leg.queue.giveUp(segment, whole ? Number.POSITIVE_INFINITY : cutoff)
    if (items > 0) leg.noteSegment(segment)
    expired += items
  }
  leg.account('expired', expired)
  if (mirror.spool.when_full === 'drop_oldest') makeRoom(leg, legSpoolBytes(mirror))
  void leg.removeFinished()
}

/** With drop_oldest: gives up the oldest segments of a full spool. */
export function makeRoom(leg: Backlog, cap: number): void {
  const { fileBytes, fileCount: segmentCount } = leg.queue
  if (fileBytes <= cap && segmentCount <= limits.segments_per_leg_max) return
  let bytes = fileBytes
  let segments = segmentCount
  // What is finished already goes without anyone giving it up.
  for (const segment of leg.queue.segments) {
    if (segment.log !== null || !segment.closed) continue
    if (segment.pendingItems + segment.flyingItems > 0) continue
    bytes -= segment.size
    segments -= 1
  }
  let dropped = 0
  for (const segment of leg.queue.segments) {
    if (bytes <= cap && segments <= limits.segments_per_leg_max) break
    if (segment.log !== null || !segment.closed || segment.removing) continue
    if (segment.flyingItems > 0 || segment.pendingItems === 0) continue
    dropped += leg.queue.giveUp(segment)
    leg.noteSegment(segment)
    bytes -= segment.size
    segments -= 1
  }
  // Told with the next housekeeping: under load this happens often (trap A23).
  leg.ledger.drop('spool_full', dropped)
  if (dropped > 0) void leg.removeFinished()
}

/** Gives up everything that waits and is not on its way right now. The count of items. */
export async function purge(leg: Backlog, reason: DropReason): Promise<number> {
  let items = leg.giveUpBatches(() => true)
  for (const segment of leg.queue.segments) {
    if (segment.pendingItems === 0) continue
    items += leg.queue.giveUp(segment)
    leg.noteSegment(segment)
  }
  leg.account(reason, items)
  await leg.ledger.flush()
  await leg.removeFinished()
  return items
}
