/** Keeps a leg's backlog within its bounds: finished files go, old items expire, a full spool gives way. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import type { MirrorConfig } from '../config/schema.ts'
import type { DropReason } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { FRAME_HEADER, segmentName, writeSegment } from '../queue/spool.ts'
import type { DeadLetter } from '../store/store.ts'
import type { Leg } from './leg.ts'
import { type Segment, segmentBytesFor } from './segments.ts'

/** Deletes the files of finished segments. The record goes after the file, so that a crash between them is noticed. */
export async function removeFinished(leg: Leg): Promise<void> {
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
    await discard(leg, segment)
    leg.ledger.gone += segment.settledItems
    leg.ledger.putSegment(segment.name, null)
    leg.queue.forget(segment)
  }
  await leg.ledger.flush()
}

async function discard(leg: Leg, segment: Segment): Promise<void> {
  const file = path.join(leg.folder, segment.name)
  if (!segment.damaged) return rm(file, { force: true })
  const aside = path.join(leg.folder, 'quarantine')
  try {
    await mkdir(aside, { recursive: true, mode: 0o700 })
    await rename(file, path.join(aside, segment.name))
    const kept = (await readdir(aside)).sort()
    for (const name of kept.slice(0, -limits.quarantined_segments_max)) await rm(path.join(aside, name), { force: true })
  } catch {
    await rm(file, { force: true })
  }
}

/** Bytes that the recorder may still append to a leg. */
export function roomOf(leg: Leg, mirror: MirrorConfig, diskLow: boolean): number {
  if (diskLow || leg.queue.segmentCount > limits.segments_per_leg_max) return 0
  const cap = legSpoolBytes(mirror)
  // With drop_oldest main makes room soon after; until then the leg may stand a little over.
  const over = mirror.spool.when_full === 'drop_oldest' ? 2 * segmentBytesFor(cap) : 0
  return Math.max(0, cap + over - leg.queue.fileBytes)
}

/** The part of a mirror's spool that one leg has. */
export function legSpoolBytes(mirror: MirrorConfig): number {
  return Math.floor(mirror.spool.max_bytes / mirror.legs.length)
}

/** Expires what is too old and, with drop_oldest, gives up the oldest segments of a full spool. */
export function housekeep(leg: Leg, mirror: MirrorConfig, now: number): void {
  const cutoff = now - mirror.spool.retention_ms
  let expired = leg.giveUpBatches((batch) => (batch.frames.at(-1)?.newest ?? now) < cutoff)
  for (const segment of leg.queue.segments) {
    if (segment.pendingItems === 0 || segment.removing) continue
    if (segment.oldest >= cutoff) break
    const whole = segment.newest < cutoff && segment.closed
    if (!whole && segment.pending === null) break
    const items = leg.queue.giveUp(segment, whole ? Number.POSITIVE_INFINITY : cutoff)
    if (items > 0) leg.noteSegment(segment)
    expired += items
  }
  leg.account('expired', expired)
  if (mirror.spool.when_full === 'drop_oldest') makeRoom(leg, legSpoolBytes(mirror))
  if (expired > 0) void removeFinished(leg)
}

function makeRoom(leg: Leg, cap: number): void {
  const tooMuch = (): boolean =>
    leg.queue.fileBytes > cap || leg.queue.segmentCount > limits.segments_per_leg_max
  if (!tooMuch()) return
  let over = Math.max(leg.queue.fileBytes - cap, 1)
  let dropped = 0
  for (const segment of leg.queue.segments) {
    if (over <= 0) break
    if (!segment.closed || segment.flyingItems > 0 || segment.pendingItems === 0 || segment.removing) continue
    dropped += leg.queue.giveUp(segment)
    leg.noteSegment(segment)
    over -= segment.size
  }
  leg.account('spool_full', dropped)
  if (dropped > 0) void removeFinished(leg)
}

/** Gives up everything that waits and is not on its way right now. */
export async function purge(leg: Leg, reason: DropReason): Promise<void> {
  let items = leg.giveUpBatches(() => true)
  for (const segment of leg.queue.segments) {
    if (segment.pendingItems === 0) continue
    items += leg.queue.giveUp(segment)
    leg.noteSegment(segment)
  }
  leg.account(reason, items)
  await leg.ledger.flush()
  await removeFinished(leg)
}

/** Puts all dead letters of a leg back into its backlog, as a segment of their own. */
export async function replayDeadLetters(
  leg: Leg,
  letters: readonly { id: number; letter: DeadLetter }[],
): Promise<void> {
  if (letters.length === 0) return
  const name = segmentName(Date.now())
  const payload = Buffer.from(letters.map(({ letter }) => `${letter.item}\n`).join(''))
  const oldest = letters[0]?.letter.at ?? Date.now()
  const info = { items: letters.length, oldest, newest: Date.now(), thread: 0, sequence: 0 }
  await mkdir(leg.folder, { recursive: true, mode: 0o700 })
  const draft = path.join(leg.folder, `${name}.draft`)
  const size = await writeSegment(draft, payload, info)
  const segment = leg.queue.segment(name)
  segment.closed = true
  leg.queue.add(segment, {
    offset: size - payload.length - FRAME_HEADER,
    length: payload.length + FRAME_HEADER,
    items: info.items,
    oldest,
    newest: info.newest,
    arrivedAt: 0,
  })
  leg.ledger.gone -= info.items
  leg.ledger.deadLettered -= info.items
  for (const { id } of letters) leg.ledger.putDeadLetter(id, null)
  leg.noteSegment(segment)
  await leg.ledger.flush()
  await rename(draft, path.join(leg.folder, name))
  leg.pump()
}

/** Throws dead letters of a leg away. */
export async function deleteDeadLetters(leg: Leg, ids: readonly number[], reason: DropReason): Promise<void> {
  for (const id of ids) leg.ledger.putDeadLetter(id, null)
  leg.ledger.deadLettered -= ids.length
  leg.account(reason, ids.length)
  await leg.ledger.flush()
}
