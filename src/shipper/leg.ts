/**
 * The state machine of one leg: takes runs of frames from its queue, sends them, and does with each outcome
 * what the
 * design's table says. Runs on main; every wait is a timer, every send a task of the shipper pool.
 *
 *   delivering ──failure──► retrying ──budget spent──► parked     a success anywhere leads back to delivering
 *        └──── 401, 403, 404, 410, refused ───────────────┘
 */
import type { LegState } from '../admin/commands.ts'
import type { DeliveryConfig } from '../config/schema.ts'
import type { DropReason } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { resourceNouns } from '../contract/resources.ts'
import type {
  FrameMeta,
  IndexResult,
  IndexTask,
  ProbeTask,
  RecordedFrame,
  ShipResult,
  ShipTask,
  Target,
} from '../contract/tasks.ts'
import { writerOf } from '../queue/spool.ts'
import type { ActivityFeed } from '../store/activity/feed.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { AttemptOutcome } from '../telemetry/metrics-delivery.ts'
import { type Batch, batchRecord, halve, makeBatch, partId, restByFrame } from './batch.ts'
import { discardFinished } from './janitor.ts'
import type { LegLedger } from './ledger.ts'
import { probeWait, retryWait } from './retry.ts'
import { expireRun } from './log-expiry.ts'
import { type FrameBounds, frameBounds } from './log-frames.ts'
import { type Owner, ownerKey } from './owners.ts'
import type { LegIdentity } from './recover.ts'
import type { Frame, LegQueue, ReadFrame, Segment } from './segments.ts'
import { logSource, type Source, spoolSource } from './sources.ts'

/** What people should hear of. */
export type LegNews =
  | { readonly kind: 'begun' }
  | {
      readonly kind: 'parked'
      readonly failure: { readonly kind: string; readonly status: number | null; readonly message: string }
    }
  | { readonly kind: 'recovered' }
  | { readonly kind: 'dropped'; readonly reason: DropReason; readonly items: number }

/** What a leg needs from outside. */
export interface LegHost {
  ship(task: ShipTask): Promise<ShipResult>
  index(task: IndexTask): Promise<IndexResult>
  probe(task: ProbeTask): Promise<boolean>
  readonly store: Store
  readonly dataDir: string
  readonly feed: ActivityFeed
  readonly log: Logger
  countAttempt(owner: string, leg: string, outcome: AttemptOutcome): void
  observeDelivery(owner: string, leg: string, seconds: number, items: number): void
  news(leg: Leg, news: LegNews): void
}

/** A leg's part of the configuration; null while no mirror of that name is configured. */
export interface LegSettings {
  readonly delivery: DeliveryConfig
  readonly url: string
  readonly target: Target
}

interface LegSources {
  readonly spool: Source
  readonly log: Source
}

type Failure = Extract<ShipResult, { ok: false }>

const PROBE_TIMEOUT_MS = 2000
/**
 * A segment that cannot be read so often is lost: it must not hold up those behind it for good (trap B10).
 */
const LOAD_TRIES = 3
const LOAD_RETRY_MS = 1000

export class Leg {
  readonly owner: Owner
  readonly name: string
  readonly folder: string
  readonly #sources: LegSources
  readonly queue: LegQueue
  readonly ledger: LegLedger
  readonly #host: LegHost
  readonly #bounds: Pick<DeliveryConfig['batch'], 'max_items' | 'max_bytes'>
  settings: LegSettings | null = null
  paused = false
  /** People were told that its destination is gone; ends with what it takes next. */
  outage = false
  #mode: 'normal' | 'retrying' | 'parked' = 'normal'
  readonly #flying = new Set<Batch>()
  /** Failed batches that wait for their next try. */
  #failed: Batch[] = []
  /** Batches that an earlier process had opened: they go first, under their old ids. */
  #reopened: Batch[] = []
  #probes = 0
  #timer: NodeJS.Timeout | null = null
  #loading = false
  /** Failed reads of the segment at the head, one after the other. */
  #loadFailures = 0
  #loadAt = 0
  #hurry = false
  #stopped = false
  #nextSendAt = 0
  /** Nothing is sent before: the destination asked for it, or what would have been tried was given up. */
  #heldUntil = 0
  #nextConnectProbeAt = 0
  #deadLetterId: number
  #removal: Promise<void> = Promise.resolve()

  constructor(
    identity: LegIdentity & { readonly deadLetterId: number },
    parts: { queue: LegQueue; ledger: LegLedger; host: LegHost; reopened: Batch[] },
  ) {
    this.owner = identity.owner
    this.#bounds = identity.batch ?? { max_items: Infinity, max_bytes: Infinity }
    this.name = identity.name
    this.folder = identity.folder
    this.#deadLetterId = identity.deadLetterId
    this.queue = parts.queue
    this.ledger = parts.ledger
    this.#host = parts.host
    const { feed, dataDir, index } = parts.host
    this.#sources = {
      spool: spoolSource(this.folder, index),
      log: logSource(feed, dataDir, () => this.frameBounds),
    }
    this.#reopened = parts.reopened
  }

  /** For log lines. */
  get labels(): { readonly leg: string; readonly mirror?: string; readonly stream?: string } {
    const { kind, name } = this.owner
    return { [resourceNouns[kind]]: name, leg: this.name }
  }

  get #noun(): string {
    return resourceNouns[this.owner.kind]
  }

  get active(): boolean {
    return this.settings?.delivery.enabled === true && !this.paused && !this.#stopped
  }

  get parked(): boolean {
    return this.#mode === 'parked'
  }

  /** Whether a batch is on its way. */
  get busy(): boolean {
    return this.#flying.size > 0
  }

  state(waiting: number): LegState {
    if (this.settings?.delivery.enabled !== true) return 'disabled'
    if (this.paused) return 'paused'
    if (this.#mode !== 'normal') return this.#mode
    return this.#flying.size > 0 || waiting > 0 ? 'delivering' : 'idle'
  }

  /** When the next try of a leg that is not delivering is due; null otherwise. */
  nextAttemptAt(): number | null {
    if (this.#mode === 'normal' || !this.active) return null
    return Math.max(this.#heldUntil, this.#oldestFailed()?.nextTryAt ?? 0) || null
  }

  /** Start of the oldest exchange on disk that is not settled, Unix milliseconds; null when there is none. */
  oldestWaiting(): number | null {
    let oldest = this.queue.oldest() ?? Number.POSITIVE_INFINITY
    for (const batches of [this.#flying, this.#failed, this.#reopened]) {
      for (const { frames } of batches) oldest = Math.min(oldest, frames[0]?.oldest ?? oldest)
    }
    return oldest === Number.POSITIVE_INFINITY ? null : oldest
  }

  configure(settings: LegSettings | null): void {
    const before = this.settings
    this.settings = settings
    // Another destination owes nothing to the failures of the last one.
    if (settings !== null && this.#mode !== 'normal' && settings.target.key !== before?.target.key)
      this.replay()
    else this.pump()
  }

  frame(recorded: RecordedFrame): void {
    this.ledger.recorded += recorded.items
    const segment = this.queue.segment(recorded.segment)
    this.queue.add(segment, { ...recorded, bytes: recorded.length, arrivedAt: Date.now() })
    this.pump()
  }

  /** A frame of a run of the log. */
  found(segment: Segment, frame: ReadFrame): void {
    const { log } = segment
    if (log !== null) {
      log.framed = frame.offset + frame.length
      log.bytes += frame.bytes
      log.oldest = Math.min(log.oldest, frame.oldest)
      log.newest = Math.max(log.newest, frame.newest)
    }
    this.ledger.found += frame.items
    this.queue.add(segment, { ...frame, arrivedAt: Date.now() })
    this.pump()
  }

  /** Entries of a run below an id are gone: what waited of them is lost. The count of them. */
  expireTo(segment: Segment, id: number): number {
    let items = this.giveUpBatches((batch) => batch.segment === segment && batch.to <= id)
    items += expireRun(this.queue, this.#host.feed, segment, id)
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

  /** `replay`: the oldest waiting batch is tried now, whatever the state. */
  replay(): void {
    const oldest = this.#oldestFailed()
    if (oldest !== null) oldest.nextTryAt = 0
    this.#heldUntil = 0
    this.#hurry = true
    this.pump()
  }

  /** Sends what waits without waiting for more, as long as the destination takes it. */
  hurry(): void {
    this.#hurry = true
    this.pump()
  }

  stop(): void {
    this.#stopped = true
    this.#clearTimer()
  }

  /** Starts every send that may start now, and sets the timer for the next one. */
  pump(): void {
    this.#clearTimer()
    const settings = this.settings
    if (settings === null || !this.active) return
    let wakeAt = Number.POSITIVE_INFINITY
    while (this.#flying.size < settings.delivery.concurrency) {
      const now = Date.now()
      if (this.#nextSendAt > now) {
        wakeAt = this.#nextSendAt
        break
      }
      const next = this.#next(settings, now)
      if (typeof next === 'number') {
        wakeAt = next
        break
      }
      void this.#send(next, settings)
      if (this.#mode !== 'normal') break
    }
    this.#wake(Math.min(wakeAt, this.#connectProbe(settings)))
  }

  /** The batch to send now, or when to look again. */
  #next(settings: LegSettings, now: number): Batch | number {
    if (this.#heldUntil > now) return this.#heldUntil
    if (this.#mode !== 'normal') {
      // One try at a time: it says for all whether the destination is back.
      if (this.#flying.size > 0) return Number.POSITIVE_INFINITY
      const oldest = this.#oldestFailed()
      if (oldest !== null) return oldest.nextTryAt > now ? oldest.nextTryAt : this.#takeFailed(oldest)
    }
    const waiting = this.#reopened.shift() ?? this.#oldestFailed()
    if (waiting !== null && waiting !== undefined) return this.#takeFailed(waiting)
    const { max_items: maxItems, max_bytes: maxBytes, max_wait_ms: maxWaitMs } = settings.delivery.batch
    const taken = this.queue.take({ maxItems, maxBytes, maxWaitMs }, now, this.#hurry)
    if ('run' in taken) return makeBatch(this.ledger.key, taken.run)
    if ('load' in taken) {
      if (this.#loadAt > now) return this.#loadAt
      void this.#load(taken.load)
      return Number.POSITIVE_INFINITY
    }
    if (taken.wakeAt === Number.POSITIVE_INFINITY) this.#hurry = false
    return taken.wakeAt
  }

  #oldestFailed(): Batch | null {
    let oldest: Batch | null = null
    for (const batch of this.#failed) {
      const before = oldest === null || batch.segment.name < oldest.segment.name
      if (before || (batch.segment === oldest?.segment && batch.from < oldest.from)) oldest = batch
    }
    return oldest
  }

  #takeFailed(batch: Batch): Batch {
    this.#failed = this.#failed.filter((other) => other !== batch)
    return batch
  }

  async #load(segment: Segment): Promise<void> {
    if (this.#loading) return
    this.#loading = true
    try {
      const flying = [...this.#flying, ...this.#failed, ...this.#reopened].filter(
        (batch) => batch.segment === segment,
      )
      const frames = await this.sourceOf(segment).index(segment, flying)
      this.queue.load(segment, frames, flying)
      this.#checkLoaded(segment)
      this.#loadFailures = 0
    } catch (error) {
      this.logError(error, 'spool unreadable')
      this.#loadFailures += 1
      this.#loadAt = Date.now() + LOAD_RETRY_MS
      if (this.#loadFailures === LOAD_TRIES) {
        this.#loadFailures = 0
        this.#lost(segment, this.queue.giveUp(segment))
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
    this.#lost(segment, missing)
    if (found === 0) void this.removeFinished()
  }

  #lost(segment: Segment, items: number): void {
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
    this.#host.log.error({ ...this.labels, err: error }, what)
  }

  #logDrop(reason: DropReason, items: number): void {
    this.#host.log.warn({ ...this.labels, reason, items }, 'items dropped')
    this.#host.news(this, { kind: 'dropped', reason, items })
  }

  async #send(batch: Batch, settings: LegSettings): Promise<void> {
    this.#flying.add(batch)
    // Before the first wait: what is pumped meanwhile must see it.
    this.#pace(batch, settings)
    if (!batch.recorded) {
      this.ledger.putBatch(batchRecord(batch))
      // A store that refuses (disk full) must not stop deliveries: they are what frees the disk.
      batch.recorded = await this.ledger.flush()
    }
    const part = batch.parts[0] as [number, number]
    this.ledger.attempts += 1
    this.ledger.lastAttemptAt = Date.now()
    const result = await this.#host.ship({
      target: settings.target,
      leg: this.name,
      batchId: partId(batch),
      timeoutMs: settings.delivery.timeout_ms,
      source: this.sourceOf(batch.segment).range(batch, part),
      keepItem: true,
    })
    this.#flying.delete(batch)
    this.ledger.touch()
    this.#host.countAttempt(ownerKey(this.owner), this.name, result.ok ? 'accepted' : result.kind)
    if (result.ok) this.#delivered(batch, result.status)
    else this.#failedWith(batch, result, settings)
    this.pump()
  }

  #pace(batch: Batch, settings: LegSettings): void {
    const rate = settings.delivery.max_bytes_per_second
    if (rate === 0) return
    this.#nextSendAt = Math.max(Date.now(), this.#nextSendAt) + (batch.bytes / rate) * 1000
  }

  #delivered(batch: Batch, status: number | null): void {
    this.ledger.lastResponseCode = status
    this.ledger.lastError = null
    const [from, to] = batch.parts[0] as [number, number]
    this.ledger.delivered += to - from
    const oldest = (batch.frames[0]?.oldest ?? Date.now()) as number
    this.#host.observeDelivery(
      ownerKey(this.owner),
      this.name,
      Math.max(0, Date.now() - oldest) / 1000,
      to - from,
    )
    this.#settlePart(batch)
    if (this.#heldUntil <= Date.now()) this.#recovered()
  }

  /** The destination takes items again: everything that failed is due at once. */
  #recovered(): void {
    if (this.outage) {
      this.outage = false
      this.#host.news(this, { kind: 'recovered' })
    }
    if (this.#mode === 'normal') return
    this.#host.log.info({ ...this.labels, was: this.#mode }, `${this.#noun} recovered`)
    this.#mode = 'normal'
    this.#probes = 0
    this.#nextConnectProbeAt = 0
    for (const batch of this.#failed) Object.assign(batch, { failures: 0, nextTryAt: 0 })
  }

  /** The first part of a batch needs nothing more. */
  #settlePart(batch: Batch): void {
    const [from, to] = batch.parts.shift() as [number, number]
    this.queue.settleItems(batch.segment, to - from)
    batch.failures = 0
    if (batch.parts.length > 0) {
      this.ledger.putBatch(batchRecord(batch))
      this.noteSegment(batch.segment)
      void this.ledger.flush()
      this.#failed.push(batch)
      return
    }
    this.queue.settleRange(batch.segment, batch.from, batch.to, batch.bytes)
    this.ledger.removeBatch(batch.id)
    this.noteSegment(batch.segment)
    void this.ledger.flush()
    if (batch.segment.closed) void this.removeFinished()
  }

  #failedWith(batch: Batch, failure: Failure, settings: LegSettings): void {
    this.ledger.lastResponseCode = failure.status
    this.ledger.lastError = failure.message
    if (failure.kind === 'corrupt') return this.#corrupt(batch, failure)
    if (failure.kind === 'too_large' || failure.kind === 'rejected') return this.#refusedItems(batch, failure)
    const now = Date.now()
    if (batch.failures === 0) batch.firstFailedAt = now
    batch.failures += 1
    batch.unreachable = failure.network
    batch.unanswered = failure.status === null
    this.#heldUntil = Math.max(this.#heldUntil, now + (failure.retryAfterMs ?? 0))
    this.#failed.push(batch)
    const retryable = failure.kind === 'retry' || failure.kind === 'bug'
    if (retryable && batch.failures <= settings.delivery.retry.attempts && this.#mode !== 'parked') {
      const clock = {
        now,
        firstFailedAt: batch.firstFailedAt,
        timeoutMs: settings.delivery.timeout_ms,
        retryAfterMs: failure.retryAfterMs,
      }
      batch.nextTryAt = now + retryWait(settings.delivery.retry, batch.failures, clock)
      this.#enter('retrying', failure)
    } else {
      // Batches that were on their way when the leg parked are no probes of their own.
      if (this.#mode === 'parked' && this.#flying.size === 0) this.#probes += 1
      batch.nextTryAt =
        now + Math.max(probeWait(settings.delivery.retry, this.#probes), failure.retryAfterMs ?? 0)
      this.#enter('parked', failure)
    }
  }

  #enter(mode: 'retrying' | 'parked', failure: Failure): void {
    if (this.#mode === mode || (mode === 'retrying' && this.#mode === 'parked')) return
    this.#mode = mode
    const { kind, status, message } = failure
    const what = mode === 'parked' ? `${this.#noun} parked: items wait on disk` : `${this.#noun} retrying`
    this.#host.log.warn({ ...this.labels, kind, status, error: message }, what)
    if (mode !== 'parked' || this.outage) return
    this.outage = true
    this.#host.news(this, { kind: 'parked', failure: { kind, status, message } })
  }

  /** 413 and 400: half by half down to the item that is refused, which goes to the dead letters. */
  #refusedItems(batch: Batch, failure: Failure): void {
    this.#recovered()
    const [from, to] = batch.parts[0] as [number, number]
    if (to - from > 1) {
      halve(batch)
      this.ledger.putBatch(batchRecord(batch))
      this.#failed.push(batch)
      return
    }
    this.#deadLetterId += 1
    this.ledger.deadLettered += 1
    this.ledger.putDeadLetter(this.#deadLetterId, {
      at: Date.now(),
      reason: failure.kind,
      status: failure.status,
      answer: failure.answer,
      batch_id: partId(batch),
      item: failure.item ?? '',
    })
    this.#settlePart(batch)
  }

  /** Frames that cannot be read are dropped; the others of the batch wait again, for a batch of their own. */
  #corrupt(batch: Batch, failure: Failure): void {
    const bad = batch.segment.log === null ? failure.corrupt : this.#expired(batch, failure)
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
        this.queue.settleItems(batch.segment, items)
        this.#lost(batch.segment, items)
      }
      if (gone || items === 0) {
        this.queue.settleRange(batch.segment, frame.offset, frame.offset + frame.length, frame.bytes)
      } else if (items === frame.items) whole.push(frame)
      else this.#failed.push(this.#batchOfRest(batch.segment, frame, rest))
    }
    this.queue.putBack(batch.segment, whole)
    this.ledger.removeBatch(batch.id)
    this.noteSegment(batch.segment)
    if (batch.segment.closed) void this.removeFinished()
  }

  /** Retention took entries of a batch; null when the others wait again, otherwise nothing else is known. */
  #expired(batch: Batch, { corrupt }: Failure): readonly FrameMeta[] | null {
    const untouched = batch.parts.length === 1 && batch.parts[0]?.[0] === 0
    const standing = batch.from + (corrupt[0]?.length ?? 0)
    if (!untouched || standing <= batch.from) return []
    this.ledger.removeBatch(batch.id)
    this.queue.putBack(batch.segment, batch.frames)
    this.expireTo(batch.segment, standing)
    return null
  }

  /** A frame of which some items were delivered under its old batch. */
  #batchOfRest(segment: Segment, frame: Frame, rest: [number, number][]): Batch {
    const run = { segment, frames: [frame], items: frame.items, bytes: frame.bytes }
    return { ...makeBatch(this.ledger.key, run), parts: rest }
  }

  /** Recorders have ended: their segments grow no more. */
  closeSegments(ended: (writer: number) => boolean): void {
    for (const { name, closed, log } of [...this.queue.segments]) {
      if (!closed && log === null && ended(writerOf(name))) this.segmentClosed(name)
    }
  }

  /** Whether more will be delivered without waiting for a retry. */
  willDeliver(): boolean {
    if (!this.active || this.#mode !== 'normal') return false
    return this.#flying.size > 0 || this.queue.waitingItems > 0
  }

  /** Resolves when the files of what is finished now are gone. */
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
    for (const batch of [...this.#failed, ...this.#reopened].filter(expired)) {
      this.#takeFailed(batch)
      // The next one of the queue takes its place, no sooner than it was due.
      this.#heldUntil = Math.max(this.#heldUntil, batch.nextTryAt)
      this.#reopened = this.#reopened.filter((other) => other !== batch)
      const rest = batch.parts.reduce((sum, [from, to]) => sum + to - from, 0)
      this.queue.settleItems(batch.segment, rest)
      this.queue.settleRange(batch.segment, batch.from, batch.to, batch.bytes)
      this.ledger.removeBatch(batch.id)
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

  /**
   * A destination that could not be reached, and now can, is tried at once. One that takes connections but
   * does not
   * answer (hung, resetting) is not: the policy's clock stands.
   */
  #connectProbe(settings: LegSettings): number {
    const oldest = this.#oldestFailed()
    const wanted = this.#mode === 'retrying' && oldest?.unanswered === true && settings.url.startsWith('http')
    if (!wanted || oldest === null) return Number.POSITIVE_INFINITY
    const now = Date.now()
    if (this.#nextConnectProbeAt === 0) this.#nextConnectProbeAt = now + settings.delivery.retry.probe_ms
    if (this.#nextConnectProbeAt > now) return this.#nextConnectProbeAt
    this.#nextConnectProbeAt = now + settings.delivery.retry.probe_ms
    const timeoutMs = Math.min(PROBE_TIMEOUT_MS, settings.delivery.timeout_ms)
    void this.#host.probe({ url: settings.url, timeoutMs }).then((reachable) => {
      const back = reachable && oldest.unreachable
      if (!reachable) oldest.unreachable = true
      if (!back || this.#mode !== 'retrying') return
      oldest.nextTryAt = 0
      this.pump()
    })
    return this.#nextConnectProbeAt
  }

  #wake(at: number): void {
    if (at === Number.POSITIVE_INFINITY || this.#stopped) return
    const delay = Math.min(Math.max(0, at - Date.now()), limits.retry_after_ms_max)
    this.#timer = setTimeout(() => this.pump(), delay)
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}
