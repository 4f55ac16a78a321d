/**
 * What a leg holds: its queue, its open batches, its counts, and what becomes of each when items arrive, are
 * settled, or turn out to be lost. When to send is the affair of `leg.ts`.
 */
import type { DeliveryConfig } from '../config/schema.ts'
import type { DropReason } from '../contract/errors.ts'
import { resourceNouns } from '../contract/resources.ts'
import type { RecordedFrame } from '../contract/tasks.ts'
import { writerOf } from '../queue/spool-format.ts'
import { type Batch, batchRecord } from './batch.ts'
import { discardFinished, isHalfFull } from './janitor.ts'
import type { LegLedger } from './ledger.ts'
import type { LegHost, LegNews, LegSettings } from './leg-host.ts'
import { expireRun } from './log-expiry.ts'
import { type FrameBounds, frameBounds } from './log-frames.ts'
import { OpenBatches } from './open-batches.ts'
import type { Owner } from './owners.ts'
import type { LegIdentity } from './recover.ts'
import type { LegQueue } from './leg-queue.ts'
import type { ReadFrame, Segment } from './segment.ts'
import { logSource, type Source, spoolSource } from './sources.ts'

interface LegSources {
  readonly spool: Source
  readonly log: Source
}

export interface BacklogParts {
  readonly queue: LegQueue
  readonly ledger: LegLedger
  readonly host: LegHost
  readonly reopened: Batch[]
}

/**
 * A segment that cannot be read so often is lost: it must not hold up those behind it for good (trap B10).
 */
const LOAD_TRIES = 3
const LOAD_RETRY_MS = 1000

export abstract class Backlog {
  readonly owner: Owner
  readonly name: string
  readonly folder: string
  readonly queue: LegQueue
  readonly ledger: LegLedger
  settings: LegSettings | null = null
  protected readonly host: LegHost
  readonly batches: OpenBatches
  /** Nothing is sent before: the destination asked for it, or what would have been tried was given up. */
  protected heldUntil = 0
  /** When a segment whose read failed is read again. */
  protected loadAt = 0
  readonly #sources: LegSources
  readonly #bounds: Pick<DeliveryConfig['batch'], 'max_items' | 'max_bytes'>
  #loading = false
  /** Failed reads of the segment at the head, one after the other. */
  #loadFailures = 0
  #removal: Promise<void> = Promise.resolve()
  readonly #removeFinished = () => void this.removeFinished()

  constructor(identity: LegIdentity, { queue, ledger, host, reopened }: BacklogParts) {
    this.owner = identity.owner
    this.name = identity.name
    this.folder = identity.folder
    this.#bounds = identity.batch ?? { max_items: Infinity, max_bytes: Infinity }
    this.queue = queue
    this.ledger = ledger
    this.host = host
    this.batches = new OpenBatches(reopened)
    this.#sources = {
      spool: spoolSource(this.folder, host.index),
      log: logSource(host.feed, host.dataDir, () => this.frameBounds),
    }
  }

  protected abstract tell(news: LegNews): void

  /** Something changed: looks what can be sent. */
  abstract pump(): void

  /** For log lines. */
  get labels(): { readonly leg: string; readonly mirror?: string; readonly stream?: string } {
    const { kind, name } = this.owner
    return { [resourceNouns[kind]]: name, leg: this.name }
  }

  protected get noun(): string {
    return resourceNouns[this.owner.kind]
  }

  /** Start of the oldest exchange on disk that is not settled, Unix milliseconds; null when there is none. */
  oldestWaiting(): number | null {
    const oldest = Math.min(this.queue.oldest() ?? Number.POSITIVE_INFINITY, this.batches.oldest())
    return oldest === Number.POSITIVE_INFINITY ? null : oldest
  }

  /** A frame of captured items; whoever has no more of them has them sent by `pump`. */
  frame(recorded: RecordedFrame): void {
    this.ledger.recorded += recorded.items
    const segment = this.queue.segment(recorded.segment)
    this.queue.add(segment, { ...recorded, bytes: recorded.length, arrivedAt: Date.now() })
  }

  /** A frame of posted events. */
  posted(frame: RecordedFrame): void {
    this.ledger.found += frame.items
    const segment = this.queue.segment(frame.segment)
    this.queue.add(segment, { ...frame, bytes: frame.length, arrivedAt: Date.now() })
    this.pump()
  }

  /** A frame of a run of the log. */
  found(segment: Segment, frame: ReadFrame): void {
    const { log } = segment
    if (log !== null) {
      log.framed = frame.offset + frame.length
      log.scanned = Math.max(log.scanned, log.framed)
      log.bytes += frame.bytes
      log.oldest = Math.min(log.oldest, frame.oldest)
      log.newest = Math.max(log.newest, frame.newest)
    }
    this.ledger.found += frame.items
    this.queue.add(segment, { ...frame, arrivedAt: Date.now() })
    // Before it is sent: a batch that the store knows must lie within what it knows of the run.
    this.noteSegment(segment)
    this.pump()
  }

  /** Entries of a run below an id are gone: what waited of them is lost. The count of them. */
  expireTo(segment: Segment, id: number): number {
    let items = this.giveUpBatches((batch) => batch.segment === segment && batch.to <= id)
    items += expireRun(this.queue, this.host.feed, segment, id)
    if (items === 0) return 0
    this.noteSegment(segment)
    this.account('expired', items)
    if (segment.closed) void this.removeFinished()
    return items
  }

  sourceOf({ log }: Segment): Source {
    return log === null ? this.#sources.spool : this.#sources.log
  }

  get frameBounds(): FrameBounds {
    return frameBounds(this.settings?.delivery.batch ?? this.#bounds)
  }

  segmentClosed(name: string): void {
    const segment = this.queue.get(name)
    if (segment === undefined || segment.closed) return
    segment.closed = true
    this.noteSegment(segment)
    this.pump()
    void this.removeFinished()
  }

  /** What only the store can know of a batch: its parts, or its place in the log. */
  protected storeBatch(batch: Batch): void {
    batch.stored = true
    this.ledger.putBatch(batchRecord(batch))
  }

  /** A batch that is over. */
  forgetBatch(batch: Batch): void {
    if (batch.stored) this.ledger.removeBatch(batch.id)
  }

  /** The first part of a batch needs nothing more. */
  protected settlePart(batch: Batch): void {
    const [from, to] = batch.parts.shift() as [number, number]
    this.queue.settleItems(batch.segment, to - from)
    batch.failures = 0
    if (batch.parts.length > 0) {
      this.storeBatch(batch)
      this.noteSegment(batch.segment)
      this.ledger.flushSoon()
      this.batches.fail(batch)
      return
    }
    this.queue.settleRange(batch.segment, batch.from, batch.to, batch.bytes)
    this.forgetBatch(batch)
    this.noteSegment(batch.segment)
    this.ledger.flushSoon()
    if (!batch.segment.closed) return
    if (isHalfFull(this)) this.#removeFinished()
    else this.host.store.withNextLegs(this.#removeFinished)
  }

  protected async load(segment: Segment): Promise<void> {
    if (this.#loading) return
    this.#loading = true
    try {
      const flying = this.batches.of(segment)
      const frames = await this.sourceOf(segment).index(segment, flying)
      this.queue.load(segment, frames, flying)
      this.#checkLoaded(segment)
      this.#loadFailures = 0
    } catch (error) {
      this.logError(error, 'spool unreadable')
      this.#loadFailures += 1
      this.loadAt = Date.now() + LOAD_RETRY_MS
      if (this.#loadFailures === LOAD_TRIES) {
        this.#loadFailures = 0
        this.lost(segment, this.queue.giveUp(segment))
        this.noteSegment(segment)
      }
    } finally {
      this.#loading = false
    }
    this.pump()
  }

  /** What the file no longer holds, although it was counted, is lost. */
  #checkLoaded(segment: Segment): void {
    const found = (segment.pending ?? []).reduce((sum, { items }) => sum + items, 0)
    const missing = segment.pendingItems - found
    if (missing <= 0) return
    this.queue.settlePending(segment, missing)
    this.noteSegment(segment)
    this.lost(segment, missing)
    if (found === 0) void this.removeFinished()
  }

  /** Items of a segment that cannot be read are lost. */
  lost(segment: Segment, items: number): void {
    segment.damaged = true
    this.account(this.sourceOf(segment).loss, items)
  }

  /** Counts items of the backlog that are given up, and says so. */
  account(reason: DropReason, items: number): void {
    if (items === 0) return
    this.ledger.drop(reason, items)
    this.reportDrops()
  }

  logError(error: unknown, what: string): void {
    this.host.log.error({ ...this.labels, err: error }, what)
  }

  #logDrop(reason: DropReason, items: number): void {
    this.host.log.warn({ ...this.labels, reason, items }, 'items dropped')
    this.tell({ kind: 'dropped', reason, items })
  }

  /** Recorders have ended: their segments grow no more. */
  closeSegments(ended: (writer: number) => boolean): void {
    for (const { name, closed, log } of [...this.queue.segments]) {
      if (!closed && log === null && ended(writerOf(name))) this.segmentClosed(name)
    }
  }

  /** Resolves when the files of what is finished now are gone. Begins with a commit. */
  removeFinished(): Promise<void> {
    this.#removal = this.#removal.then(() => discardFinished(this))
    return this.#removal
  }

  /** One line for what was dropped on the way to the disk since the last call (trap A23). */
  reportDrops(): void {
    for (const { reason, items } of this.ledger.unreportedDrops()) this.#logDrop(reason, items)
  }

  /** Gives up batches that wait for their next try; those on their way are left alone. The count of items. */
  giveUpBatches(expired: (batch: Batch) => boolean): number {
    let items = 0
    for (const batch of this.batches.waiting().filter(expired)) {
      this.batches.take(batch)
      // The next one of the queue takes its place, no sooner than it was due.
      this.heldUntil = Math.max(this.heldUntil, batch.nextTryAt)
      const rest = batch.parts.reduce((sum, [from, to]) => sum + to - from, 0)
      this.queue.settleItems(batch.segment, rest)
      this.queue.settleRange(batch.segment, batch.from, batch.to, batch.bytes)
      this.forgetBatch(batch)
      this.noteSegment(batch.segment)
      items += rest
    }
    return items
  }

  noteSegment(segment: Segment): void {
    const items = segment.settledItems + segment.pendingItems + segment.flyingItems
    this.ledger.putSegment(segment.name, {
      items: segment.closed || segment.log !== null ? items : null,
      settled: segment.settled,
      settled_items: segment.settledItems,
      ...(segment.log !== null && { log: { ...segment.log } }),
    })
  }
}
