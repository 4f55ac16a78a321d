/**
 * What channels are to be told, in the order in which it happened, each once: a channel that does not take
 * it is tried again with growing waits, also by the next process. Beyond so many mails an hour the rest
 * waits and comes as one digest.
 */
import type { Notice, NotificationChannel, PendingNotice } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import type { Logger } from '../telemetry/log.ts'

/**
 * Why something was not sent. `channel`: nothing can be sent now (no connection, no sign-in). `message`: this
 * one was refused, others may pass.
 */
export class ChannelError extends Error {
  override readonly name = 'ChannelError'
  readonly scope: 'channel' | 'message'

  constructor(scope: 'channel' | 'message', message: string) {
    super(message.slice(0, limits.incident_text_chars_max))
    this.scope = scope
  }
}

export interface Channel {
  /** Tells of one event, or of several at once; throws a `ChannelError`. */
  send(notices: readonly PendingNotice[]): Promise<void>
  /** Messages an hour, beyond which the rest is told as one; infinite where machines read it. */
  readonly perHourMax: number
}

export interface OutboxParts {
  /** Null: it is not configured. */
  readonly channel: (name: NotificationChannel) => Channel | null
  readonly retry: () => { readonly min_wait_ms: number; readonly max_wait_ms: number }
  /** What came of the notices of one message; resolves once that is on the disk. */
  readonly settle: (settled: ReadonlyMap<string, PendingNotice>, state: Notice['state']) => Promise<void>
  readonly count: (channel: NotificationChannel, outcome: SendOutcome) => void
  readonly log: Logger
  /** Another one only in tests. */
  readonly hourMs?: number
}

export const sendOutcomes = ['sent', 'failed', 'dropped'] as const
export type SendOutcome = (typeof sendOutcomes)[number]

const HOUR_MS = 3_600_000

/** One channel's queue. */
class Lane {
  readonly pending = new Map<string, PendingNotice>()
  /** On the monotonic clock, as every time here. */
  heldUntil = 0
  failures = 0
  /** When the messages of the last hour went out. */
  sentAt: number[] = []
  /** More came than may be told one by one. */
  gathers = false
  running: Promise<void> | null = null
  timer: NodeJS.Timeout | null = null
}

export class Outbox {
  readonly #parts: OutboxParts
  readonly #lanes: Readonly<Record<NotificationChannel, Lane>> = { email: new Lane(), webhook: new Lane() }
  readonly #hourMs: number
  #closed = false

  constructor(parts: OutboxParts) {
    this.#parts = parts
    this.#hourMs = parts.hourMs ?? HOUR_MS
  }

  add(notices: ReadonlyMap<string, PendingNotice>): void {
    for (const [key, notice] of notices) this.#lanes[notice.channel].pending.set(key, notice)
    for (const name of ['email', 'webhook'] as const) this.#wake(name)
  }

  pending(channel: NotificationChannel): number {
    return this.#lanes[channel].pending.size
  }

  /** The channels may be others now: what waited for its next try is tried. */
  reconfigured(): void {
    for (const name of ['email', 'webhook'] as const) {
      this.#lanes[name].heldUntil = 0
      this.#wake(name)
    }
  }

  #wake(name: NotificationChannel): void {
    const lane = this.#lanes[name]
    if (lane.timer !== null) clearTimeout(lane.timer)
    lane.timer = null
    if (this.#closed || lane.running !== null) return
    lane.running = this.#run(name, lane)
  }

  async #run(name: NotificationChannel, lane: Lane): Promise<void> {
    await this.#dropOld(lane)
    while (!this.#closed && lane.pending.size > 0) {
      const channel = this.#parts.channel(name)
      if (channel === null) {
        // One at a time: the channel may be configured by then, and the rest is for it.
        const [first] = lane.pending
        if (first !== undefined) await this.#drop(lane, ...first, 'is not configured')
        continue
      }
      const next = this.#next(lane, channel)
      if (typeof next === 'number') {
        lane.timer = setTimeout(() => this.#wake(name), Math.min(next, HOUR_MS))
        lane.timer.unref()
        break
      }
      await this.#send(lane, channel, next)
    }
    // At once: what is added from now on wakes it again.
    lane.running = null
  }

  /** What to send now, or how long to wait. */
  #next(lane: Lane, { perHourMax }: Channel): [string, PendingNotice][] | number {
    const now = performance.now()
    if (lane.heldUntil > now) return lane.heldUntil - now
    lane.sentAt = lane.sentAt.filter((at) => at > now - this.#hourMs)
    const [oldest] = lane.sentAt
    if (lane.sentAt.length >= perHourMax && oldest !== undefined) {
      lane.gathers = true
      return oldest + this.#hourMs - now
    }
    return this.#due(lane)
  }

  /** The first that is due, or all of them; one that was refused holds up only what follows of its own. */
  #due(lane: Lane): [string, PendingNotice][] | number {
    const now = Date.now()
    // A clock that was set back must not hold a message for longer than its wait.
    const { max_wait_ms: most } = this.#parts.retry()
    const held = new Set<number>()
    const due: [string, PendingNotice][] = []
    let wait = Number.POSITIVE_INFINITY
    for (const [key, notice] of lane.pending) {
      const { id } = notice.incident
      if (held.has(id)) continue
      const left = Math.min(notice.next_at - now, most)
      if (left <= 0) due.push([key, notice])
      else {
        held.add(id)
        wait = Math.min(wait, left)
      }
      if (due.length > 0 && !lane.gathers) break
    }
    return due.length > 0 ? due : wait
  }

  async #send(lane: Lane, channel: Channel, batch: readonly [string, PendingNotice][]): Promise<void> {
    const { count, log } = this.#parts
    const name = (batch[0] as [string, PendingNotice])[1].channel
    try {
      await channel.send(batch.map(([, notice]) => notice))
    } catch (error) {
      if (this.#closed) return
      count(name, 'failed')
      await this.#failed(lane, batch, error)
      return
    }
    lane.failures = 0
    lane.gathers = false
    if (channel.perHourMax !== Number.POSITIVE_INFINITY) lane.sentAt.push(performance.now())
    count(name, 'sent')
    log.info({ channel: name, incidents: batch.map(([, { incident }]) => incident.id) }, 'notification sent')
    const sent = new Map<string, PendingNotice>()
    for (const [key, notice] of batch) {
      lane.pending.delete(key)
      sent.set(key, { ...notice, attempts: notice.attempts + 1, last_error: null })
    }
    // All of one message at once: a kill before it has the whole message sent again, not a part of it.
    await this.#parts.settle(sent, 'sent')
  }

  async #failed(lane: Lane, batch: readonly [string, PendingNotice][], error: unknown): Promise<void> {
    const { retry, log, settle } = this.#parts
    const known = error instanceof ChannelError
    // Anything else is a bug, and its text may quote a secret.
    const message = known ? error.message : 'the message could not be made'
    const isOfChannel = !known || error.scope === 'channel'
    if (isOfChannel) lane.failures += 1
    const waiting = new Map<string, PendingNotice>()
    for (const [key, notice] of batch) {
      const attempts = notice.attempts + 1
      const wait = backoff(retry(), isOfChannel ? lane.failures : attempts)
      const next_at = isOfChannel ? 0 : Date.now() + wait
      if (isOfChannel) lane.heldUntil = performance.now() + wait
      const tried = { ...notice, attempts, last_error: message, next_at }
      lane.pending.set(key, tried)
      const { id } = notice.incident
      log.warn(
        { channel: notice.channel, incident: id, attempts, error: message, retry_ms: wait },
        'not notified',
      )
      waiting.set(key, tried)
    }
    await settle(waiting, 'pending')
    if (!known) log.error({ err: error }, 'a notification failed for an unknown reason')
  }

  async #dropOld(lane: Lane): Promise<void> {
    const before = Date.now() - limits.notice_age_ms_max
    let tooMany = lane.pending.size - limits.notices_pending_max
    for (const [key, notice] of lane.pending) {
      if (tooMany <= 0 && notice.at >= before) continue
      tooMany -= 1
      await this.#drop(lane, key, notice, notice.at < before ? 'waited for too long' : 'gave way to others')
    }
  }

  async #drop(lane: Lane, key: string, notice: PendingNotice, reason: string): Promise<void> {
    const { channel, incident } = notice
    this.#parts.log.error({ channel, incident: incident.id, reason }, 'notification dropped')
    this.#parts.count(channel, 'dropped')
    lane.pending.delete(key)
    const last_error = notice.last_error ?? `the channel ${reason}`
    await this.#parts.settle(new Map([[key, { ...notice, last_error }]]), 'dropped')
  }

  /**
   * What was not sent stays in the store for the next process. What is on its way is waited for, for a while:
   * it would come twice otherwise.
   */
  async close(): Promise<void> {
    this.#closed = true
    const lanes = Object.values(this.#lanes)
    for (const lane of lanes) if (lane.timer !== null) clearTimeout(lane.timer)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, limits.notice_at_stop_ms_max)
    })
    await Promise.race([Promise.all(lanes.map(({ running }) => running)), late])
    clearTimeout(timer)
  }
}

function backoff({ min_wait_ms: min, max_wait_ms: max }: ReturnType<OutboxParts['retry']>, tries: number) {
  return Math.min(max, min * 2 ** Math.min(tries - 1, 20))
}
