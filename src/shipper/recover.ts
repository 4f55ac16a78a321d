/** Rebuilds a leg from what an earlier process left: its segment files and its records in the store. */
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import type { DeliveryConfig } from '../config/schema.ts'
import { deliveryKinds } from '../contract/resources.ts'
import type { FrameMeta, IndexedFrame, IndexResult } from '../contract/tasks.ts'
import type { BatchRecord, LogRun, SegmentRecord, StoredLeg } from '../store/legs.ts'
import type { Store } from '../store/store.ts'
import { type Batch, makeBatch } from './batch.ts'
import { Leg } from './leg.ts'
import type { LegHost } from './leg-host.ts'
import { LegLedger, type MemoryCounts } from './ledger.ts'
import { type Owner, ownerKey, ownerOf } from './owners.ts'
import { LegQueue } from './leg-queue.ts'
import type { Segment } from './segment.ts'
import { spoolFolders } from './targets.ts'

export interface LegIdentity {
  readonly owner: Owner
  readonly name: string
  readonly folder: string
  /** Bounds of its batches before it is configured: what is read again must fit into them. */
  readonly batch?: DeliveryConfig['batch'] | undefined
}

export function legKey(owner: Owner, name: string): string {
  return `${ownerKey(owner)}/${name}`
}

/** Reads a leg back. After it the counts go on exactly where they stood durably. */
export async function recoverLeg(
  identity: LegIdentity,
  host: LegHost,
  memory: () => MemoryCounts,
): Promise<Leg> {
  const key = legKey(identity.owner, identity.name)
  const stored = host.store.legs.get(key)
  const queue = new LegQueue()
  const ledger = new LegLedger(key, host.store, memory, stored.record)
  const deadLetterId = host.store.legs.lastDeadLetter(key)
  const reopened: Batch[] = []
  const leg = new Leg({ ...identity, deadLetterId }, { queue, ledger, host, reopened })
  for (const name of segmentFiles(identity.folder, stored)) {
    const record = stored.segments.get(name)
    const index = await readable(leg, host, name)
    const segment = recoverSegment(leg, name, { record, partlySettled: partlySettled(stored, name) }, index)
    reopenStored(leg, segment, stored, reopened)
    reopenMarked(leg, segment, index.frames, reopened)
    // Only now: what an open batch has settled stood twice before.
    leg.noteSegment(segment)
    queue.unloadRead(segment)
  }
  for (const [name, { log, ...record }] of stored.segments) {
    if (log === undefined) continue
    const segment = await recoverRun(leg, name, { log, record }, stored)
    reopenStored(leg, segment, stored, reopened)
    leg.noteSegment(segment)
    queue.unloadRead(segment)
  }
  reopened.sort(byPlace)
  for (const [name, record] of stored.segments)
    if (queue.get(name) === undefined) missingFile(leg, name, record)
  for (const batch of stored.batches) if (queue.get(batch.segment) === undefined) ledger.removeBatch(batch.id)
  for (const { settledItems, pendingItems, flyingItems } of queue.segments) {
    ledger.capturedBefore += settledItems + pendingItems + flyingItems
  }
  ledger.capturedBefore += ledger.gone
  await ledger.flush()
  await leg.removeFinished()
  return leg
}

/** What a segment holds; nothing when it cannot be read, so that one bad file never stops a start. */
async function readable(leg: Leg, host: LegHost, name: string): Promise<IndexResult> {
  try {
    return await host.index({ path: path.join(leg.folder, name), from: 0, verify: true })
  } catch (error) {
    leg.logError(error, 'spool unreadable: what the segment held is lost')
    return { frames: [], corrupt: [], end: 0, skipped: 1 }
  }
}

function byPlace(a: Batch, b: Batch): number {
  if (a.segment === b.segment) return a.from - b.from
  return a.segment.name < b.segment.name ? -1 : 1
}

/**
 * Files of the leg, oldest first. A draft whose dead letters were already taken over is finished here, any
 * other one is removed: its dead letters are still where they were.
 */
function segmentFiles(folder: string, stored: StoredLeg): string[] {
  const files = segmentNames(folder)
  for (const draft of namesIn(folder).filter((name) => name.endsWith('.seg.draft'))) {
    const name = draft.slice(0, -'.draft'.length)
    if (!stored.segments.has(name)) {
      rmSync(path.join(folder, draft), { force: true })
      continue
    }
    renameSync(path.join(folder, draft), path.join(folder, name))
    files.push(name)
  }
  return files.sort()
}

function segmentNames(folder: string): string[] {
  return namesIn(folder).filter((name) => name.endsWith('.seg'))
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function recoverSegment(
  leg: Leg,
  name: string,
  known: { readonly record: SegmentRecord | undefined; readonly partlySettled: number },
  index: IndexResult,
): Segment {
  const segment = leg.queue.segment(name, known.record)
  segment.closed = true
  leg.queue.grow(segment, statSync(path.join(leg.folder, name)).size)
  const isSettled = ({ offset }: FrameMeta): boolean =>
    segment.settled.some(([from, to]) => offset >= from && offset < to)
  for (const frame of index.frames)
    if (!isSettled(frame)) leg.queue.add(segment, { ...frame, bytes: frame.length, arrivedAt: 0 })
  const corrupt = index.corrupt.filter((frame) => !isSettled(frame))
  let lost = 0
  for (const frame of corrupt) {
    segment.settledItems += frame.items
    leg.queue.settleRange(segment, frame.offset, frame.offset + frame.length, 0)
    lost += frame.items
  }
  // A damaged header hides its frame; the record of a closed segment still knows how many items there were.
  const found = segment.settledItems + segment.pendingItems - known.partlySettled
  const missing = Math.max(0, (known.record?.items ?? 0) - found)
  segment.settledItems += missing
  if (lost + missing > 0 || index.skipped > 0) segment.damaged = true
  leg.account('spool_corrupt', lost + missing)
  return segment
}

/** A run of the log: what of it waits is read again now where a batch was open, or later. */
async function recoverRun(
  leg: Leg,
  name: string,
  { log, record }: { readonly log: LogRun; readonly record: SegmentRecord },
  stored: StoredLeg,
): Promise<Segment> {
  const segment = leg.queue.segment(name, record, log)
  segment.closed = log.end !== null && log.scanned >= log.end
  const waiting = (record.items ?? 0) - record.settled_items + partlySettled(stored, name)
  const batches = stored.batches.filter((batch) => batch.segment === name)
  if (segment.closed && batches.length === 0) {
    if (waiting > 0) leg.queue.addUnread(segment, waiting, log.bytes)
    segment.oldest = log.oldest
    segment.newest = log.newest
    return segment
  }
  for (const frame of await leg.sourceOf(segment).index(segment, batches))
    leg.queue.add(segment, { ...frame, arrivedAt: 0 })
  const missing = Math.max(0, waiting - segment.pendingItems)
  segment.settledItems += missing
  leg.account('expired', missing)
  return segment
}

/** Settled items of batches whose range is still open: they stand among the settled and in a frame. */
function partlySettled(stored: StoredLeg, segment: string): number {
  return stored.batches
    .filter((batch) => batch.segment === segment)
    .reduce((sum, batch) => sum + settledOf(batch), 0)
}

function settledOf(batch: BatchRecord): number {
  return batch.items - batch.parts.reduce((sum, [from, to]) => sum + to - from, 0)
}

/** A record without its file: deleted by us when everything was settled, by someone else when not. */
function missingFile(leg: Leg, name: string, record: SegmentRecord): void {
  const items = Math.max(record.items ?? 0, record.settled_items)
  leg.ledger.gone += items
  leg.account('spool_corrupt', items - record.settled_items)
  leg.ledger.putSegment(name, null)
}

/** Batches that were on their way, as their segment says: the same ranges under the same ids. */
function reopenMarked(leg: Leg, segment: Segment, frames: readonly IndexedFrame[], reopened: Batch[]): void {
  for (const { offset, batchBytes } of frames) {
    if (batchBytes === 0) continue
    const run = leg.queue.takeRange(segment, offset, offset + batchBytes)
    if (run === null) continue
    // What was damaged since, or is settled, or part of an earlier one, leaves no batch of that range.
    if (run.frames[0]?.offset === offset && run.bytes === batchBytes)
      reopened.push(makeBatch(leg.ledger.key, run))
    else leg.queue.putBack(segment, run.frames)
  }
}

/** Batches that the store knows: the same ranges under the same ids, less the parts that were settled. */
function reopenStored(leg: Leg, segment: Segment, stored: StoredLeg, reopened: Batch[]): void {
  for (const record of stored.batches) {
    if (record.segment !== segment.name) continue
    const run = leg.queue.takeRange(segment, record.from, record.to)
    if (run === null || run.items !== record.items) {
      leg.ledger.removeBatch(record.id)
      if (run !== null) leg.queue.putBack(segment, run.frames)
      continue
    }
    const batch = makeBatch(leg.ledger.key, run)
    batch.parts = record.parts
    batch.stored = true
    batch.recorded = true
    reopened.push(batch)
    const settled = settledOf(record)
    segment.flyingItems -= settled
    leg.queue.waitingItems -= settled
  }
}

/**
 * Takes over frames that a recorder wrote but could not report, because it died; the count of their items.
 */
export async function takeOver(
  leg: Leg,
  host: LegHost,
  slab: { readonly thread: number; readonly sequence: number },
): Promise<number> {
  let items = 0
  for (const name of segmentNames(leg.folder)) {
    const known = leg.queue.get(name)
    if (known?.closed === true) continue
    for (const frame of await framesAfter(leg, host, name, known?.size ?? 0)) {
      if (frame.thread !== slab.thread || frame.sequence !== slab.sequence) continue
      items += frame.items
      leg.frame({ ...frame, leg: 0, segment: name })
    }
  }
  leg.pump()
  return items
}

async function framesAfter(
  leg: Leg,
  host: LegHost,
  name: string,
  from: number,
): Promise<readonly IndexedFrame[]> {
  try {
    return (await host.index({ path: path.join(leg.folder, name), from, verify: true })).frames
  } catch (error) {
    leg.logError(error, 'spool unreadable')
    return []
  }
}

/** Legs that the store or the spool folders know, whether configured or not. */
export function knownLegs(store: Store, dataDir: string): { owner: Owner; name: string }[] {
  const keys = new Set(store.legs.keys())
  for (const kind of deliveryKinds) {
    const root = path.join(dataDir, spoolFolders[kind])
    for (const owner of foldersIn(root))
      for (const name of foldersIn(path.join(root, owner))) keys.add(legKey({ kind, name: owner }, name))
  }
  return [...keys].map((key) => {
    const [owner = '', name = ''] = key.split('/')
    return { owner: ownerOf(owner), name }
  })
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  } catch {
    return []
  }
}
