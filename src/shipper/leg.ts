/**
 * The state machine of one leg: takes runs of frames from its queue, sends them, and does with each outcome
 * what the design's table says. Runs on main; every wait is a timer, every send a task of the shipper pool.
 *
 *   delivering ──failure──► retrying ──budget spent──► parked     a success anywhere leads back to delivering
 *        └──── 401, 403, 404, 410, refused ───────────────┘
 */
import type { LegState } from '../admin/commands.ts'
import { limits } from '../contract/limits.ts'
import type { ShipResult } from '../contract/tasks.ts'
import { Backlog, type BacklogParts } from './backlog.ts'
import { type Batch, halve, isMarkable, makeBatch, partId } from './batch.ts'
import { dissolve } from './damage.ts'
import type { LegNews, LegSettings } from './leg-host.ts'
import { ownerKey } from './owners.ts'
import type { LegIdentity } from './recover.ts'
import { probeWait, retryWait } from './retry.ts'

type Failure = Extract<ShipResult, { ok: false }>

const PROBE_TIMEOUT_MS = 2000
export class Leg extends Backlog {
  paused = false
  /** People were told that its destination is gone; ends with what it takes next. */
  outage = false
  #mode: 'normal' | 'retrying' | 'parked' = 'normal'
  #probes = 0
  #timer: NodeJS.Timeout | null = null
  /** Somebody asked for a try while one was on its way. */
  #again = false
  #hurry = false
  #stopped = false
  #nextSendAt = 0
  #nextConnectProbeAt = 0
  #deadLetterId: number

  constructor(identity: LegIdentity & { readonly deadLetterId: number }, parts: BacklogParts) {
    super(identity, parts)
    this.#deadLetterId = identity.deadLetterId
  }

  protected tell(news: LegNews): void {
    this.host.news(this, news)
  }

  get active(): boolean {
    return this.settings?.delivery.enabled === true && !this.paused && !this.#stopped
  }

  get parked(): boolean {
    return this.#mode === 'parked'
  }

  /** Whether a batch is on its way. */
  get busy(): boolean {
    return this.batches.flying.size > 0
  }

  state(waiting: number): LegState {
    if (this.settings?.delivery.enabled !== true) return 'disabled'
    if (this.paused) return 'paused'
    if (this.#mode !== 'normal') return this.#mode
    return this.batches.flying.size > 0 || waiting > 0 ? 'delivering' : 'idle'
  }

  /** When the next try of a leg that is not delivering is due; null otherwise. */
  nextAttemptAt(): number | null {
    if (this.#mode === 'normal' || !this.active) return null
    return Math.max(this.heldUntil, this.batches.oldestFailed()?.nextTryAt ?? 0) || null
  }

  configure(settings: LegSettings | null): void {
    const before = this.settings
    this.settings = settings
    // Another destination owes nothing to the failures of the last one.
    if (settings !== null && this.#mode !== 'normal' && settings.target.key !== before?.target.key)
      this.replay()
    else this.pump()
  }

  /** `replay`: the oldest waiting batch is tried now, whatever the state. */
  replay(): void {
    const oldest = this.batches.oldestFailed()
    if (oldest !== null) oldest.nextTryAt = 0
    this.heldUntil = 0
    this.#hurry = true
    // What is on its way was begun before it was asked for: should that fail, it is tried once more.
    this.#again = this.busy
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
    while (this.batches.flying.size < settings.delivery.concurrency) {
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
    if (this.heldUntil > now) return this.heldUntil
    if (this.#mode !== 'normal') {
      // One try at a time: it says for all whether the destination is back.
      if (this.batches.flying.size > 0) return Number.POSITIVE_INFINITY
      const oldest = this.batches.oldestFailed()
      if (oldest !== null) return oldest.nextTryAt > now ? oldest.nextTryAt : this.batches.take(oldest)
    }
    const waiting = this.batches.next()
    if (waiting !== null) return waiting
    const { max_items: maxItems, max_bytes: maxBytes, max_wait_ms: maxWaitMs } = settings.delivery.batch
    const taken = this.queue.take({ maxItems, maxBytes, maxWaitMs }, now, this.#hurry)
    if ('run' in taken) return makeBatch(this.ledger.key, taken.run)
    if ('load' in taken) {
      if (this.loadAt > now) return this.loadAt
      void this.load(taken.load)
      return Number.POSITIVE_INFINITY
    }
    if (taken.wakeAt === Number.POSITIVE_INFINITY) this.#hurry = false
    return taken.wakeAt
  }

  async #send(batch: Batch, settings: LegSettings): Promise<void> {
    this.batches.flying.add(batch)
    // Before the first wait: what is pumped meanwhile must see it.
    this.#pace(batch, settings)
    if (!batch.recorded && !isMarkable(batch)) {
      this.storeBatch(batch)
      // A store that refuses (disk full) must not stop deliveries: they are what frees the disk.
      batch.recorded = await this.ledger.flush()
    }
    const part = batch.parts[0] as [number, number]
    this.ledger.attempts += 1
    this.ledger.lastAttemptAt = Date.now()
    const result = await this.host.ship({
      target: settings.target,
      leg: this.name,
      batchId: partId(batch),
      timeoutMs: settings.delivery.timeout_ms,
      source: this.sourceOf(batch.segment).range(batch, part),
      keepItem: true,
    })
    this.batches.flying.delete(batch)
    this.ledger.touch()
    this.host.countAttempt(ownerKey(this.owner), this.name, result.ok ? 'accepted' : result.kind)
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
    this.host.observeDelivery(
      ownerKey(this.owner),
      this.name,
      Math.max(0, Date.now() - oldest) / 1000,
      to - from,
    )
    this.#again = false
    this.settlePart(batch)
    if (this.heldUntil <= Date.now()) this.#recovered()
  }

  /** The destination takes items again: everything that failed is due at once. */
  #recovered(): void {
    if (this.outage) {
      this.outage = false
      this.tell({ kind: 'recovered' })
    }
    if (this.#mode === 'normal') return
    this.host.log.info({ ...this.labels, was: this.#mode }, `${this.noun} recovered`)
    this.#mode = 'normal'
    this.#probes = 0
    this.#nextConnectProbeAt = 0
    this.batches.revive()
  }

  #failedWith(batch: Batch, failure: Failure, settings: LegSettings): void {
    this.ledger.lastResponseCode = failure.status
    this.ledger.lastError = failure.message
    if (failure.kind === 'corrupt') return dissolve(this, batch, failure)
    if (failure.kind === 'too_large' || failure.kind === 'rejected') return this.#refusedItems(batch, failure)
    const now = Date.now()
    if (batch.failures === 0) batch.firstFailedAt = now
    batch.failures += 1
    batch.unreachable = failure.network
    batch.unanswered = failure.status === null
    this.heldUntil = Math.max(this.heldUntil, now + (failure.retryAfterMs ?? 0))
    this.batches.fail(batch)
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
      if (this.#mode === 'parked' && this.batches.flying.size === 0) this.#probes += 1
      batch.nextTryAt =
        now + Math.max(probeWait(settings.delivery.retry, this.#probes), failure.retryAfterMs ?? 0)
      this.#enter('parked', failure)
    }
    if (this.#again) batch.nextTryAt = 0
    this.#again = false
  }

  #enter(mode: 'retrying' | 'parked', failure: Failure): void {
    if (this.#mode === mode || (mode === 'retrying' && this.#mode === 'parked')) return
    this.#mode = mode
    const { kind, status, message } = failure
    const what = mode === 'parked' ? `${this.noun} parked: items wait on disk` : `${this.noun} retrying`
    this.host.log.warn({ ...this.labels, kind, status, error: message }, what)
    if (mode !== 'parked' || this.outage) return
    this.outage = true
    this.tell({ kind: 'parked', failure: { kind, status, message } })
  }

  /** 413 and 400: half by half down to the item that is refused, which goes to the dead letters. */
  #refusedItems(batch: Batch, failure: Failure): void {
    this.#recovered()
    const [from, to] = batch.parts[0] as [number, number]
    if (to - from > 1) {
      halve(batch)
      this.storeBatch(batch)
      this.batches.fail(batch)
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
    this.settlePart(batch)
  }

  /** Whether more will be delivered without waiting for a retry. */
  willDeliver(): boolean {
    if (!this.active || this.#mode !== 'normal') return false
    return this.batches.flying.size > 0 || this.queue.waitingItems > 0
  }

  /**
   * A destination that could not be reached, and now can, is tried at once. One that takes connections but
   * does not answer (hung, resetting) is not: the policy's clock stands.
   */
  #connectProbe(settings: LegSettings): number {
    const oldest = this.batches.oldestFailed()
    const wanted = this.#mode === 'retrying' && oldest?.unanswered === true && settings.url.startsWith('http')
    if (!wanted || oldest === null) return Number.POSITIVE_INFINITY
    const now = Date.now()
    if (this.#nextConnectProbeAt === 0) this.#nextConnectProbeAt = now + settings.delivery.retry.probe_ms
    if (this.#nextConnectProbeAt > now) return this.#nextConnectProbeAt
    this.#nextConnectProbeAt = now + settings.delivery.retry.probe_ms
    const timeoutMs = Math.min(PROBE_TIMEOUT_MS, settings.delivery.timeout_ms)
    void this.host.probe({ url: settings.url, timeoutMs }).then((reachable) => {
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
