/** Batches that could not be read: what is damaged or gone is lost, the rest waits again. */
import type { FrameMeta, ShipResult } from '../contract/tasks.ts'
import type { Backlog } from './backlog.ts'
import { type Batch, makeBatch, restByFrame } from './batch.ts'
import type { Frame, Segment } from './segment.ts'

type Failure = Extract<ShipResult, { ok: false }>

/** Frames that cannot be read are dropped; the others of the batch wait again, for a batch of their own. */
export function dissolve(leg: Backlog, batch: Batch, failure: Failure): void {
  const bad = batch.segment.log === null ? failure.corrupt : expired(leg, batch, failure)
  if (bad === null) return
  const isBad = (offset: number): boolean =>
    bad.some((frame) => offset >= frame.offset && offset < frame.offset + frame.length)
  const lost = batch.frames.filter(({ offset }) => isBad(offset))
  // Nothing named: the file itself is gone or cannot be opened.
  const dropped = lost.length === 0 ? batch.frames : lost
  const whole: Frame[] = []
  for (const [frame, rest] of restByFrame(batch)) {
    const items = rest.reduce((sum, [from, to]) => sum + to - from, 0)
    const gone = dropped.includes(frame)
    if (gone && items > 0) {
      leg.queue.settleItems(batch.segment, items)
      leg.lost(batch.segment, items)
    }
    if (gone || items === 0) {
      leg.queue.settleRange(batch.segment, frame.offset, frame.offset + frame.length, frame.bytes)
    } else if (items === frame.items) whole.push(frame)
    else leg.batches.fail(batchOfRest(leg, batch.segment, frame, rest))
  }
  leg.queue.putBack(batch.segment, whole)
  leg.forgetBatch(batch)
  leg.noteSegment(batch.segment)
  if (batch.segment.closed) void leg.removeFinished()
}

/** Retention took entries of a batch; null when the others wait again, otherwise nothing else is known. */
function expired(leg: Backlog, batch: Batch, { corrupt }: Failure): readonly FrameMeta[] | null {
  const untouched = batch.parts.length === 1 && batch.parts[0]?.[0] === 0
  const standing = batch.from + (corrupt[0]?.length ?? 0)
  if (!untouched || standing <= batch.from) return []
  leg.queue.putBack(batch.segment, batch.frames)
  if (leg.expireTo(batch.segment, standing) > 0) {
    leg.forgetBatch(batch)
    return null
  }
  // Retention took nothing of it: why items are missing nobody knows, and they are given up as a whole.
  leg.queue.takeRange(batch.segment, batch.from, batch.to)
  return []
}

/** A frame of which some items were delivered under its old batch. */
function batchOfRest(leg: Backlog, segment: Segment, frame: Frame, rest: [number, number][]): Batch {
  const run = { segment, frames: [frame], items: frame.items, bytes: frame.bytes }
  return { ...makeBatch(leg.ledger.key, run), parts: rest }
}
