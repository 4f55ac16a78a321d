/** Incidents and who is told of them: the book, the outbox and the channels that are configured. */
import { randomUUID } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import {
  type Incident,
  type NotificationChannel,
  notificationChannels,
  type PendingNotice,
} from '../contract/incidents.ts'
import type { AuditTrail } from '../contract/audit-trail.ts'
import type { SecretSource } from '../secrets/secrets.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { IncidentFigures } from '../telemetry/metrics-incidents.ts'
import { IncidentBook } from './incidents.ts'
import { MailChannel } from './mail.ts'
import { testMessage } from './messages.ts'
import { type Channel, ChannelError, Outbox, type SendOutcome, sendOutcomes } from './outbox.ts'
import { WebhookChannel } from './webhook.ts'

export interface NotifierParts {
  readonly store: Store
  readonly trail: Pick<AuditTrail, 'entries'>
  readonly secrets: SecretSource
  readonly log: Logger
  readonly config: () => Pick<Config, 'environment' | 'notifications'>
  readonly facts: (incident: Incident) => PendingNotice['facts']
  /** How long an hour of messages lasts; another one only in tests. */
  readonly hourMs?: number
}

export interface ChannelTest {
  name: NotificationChannel
  ok: boolean
  error: string | null
  latency_ms: number
}

export class Notifier {
  readonly book: IncidentBook
  readonly #parts: NotifierParts
  readonly #outbox: Outbox
  readonly #mail: MailChannel
  readonly #webhook: WebhookChannel
  readonly #counts = new Map<string, number>()

  constructor(parts: NotifierParts) {
    const { store, trail, secrets, log, config, facts } = parts
    this.#parts = parts
    this.#mail = new MailChannel({ secrets, log, settings: () => mailSettings(config()) })
    this.#webhook = new WebhookChannel({ secrets, settings: () => webhookSettings(config()) })
    this.book = new IncidentBook({
      ...{ store, trail, log, facts },
      environment: () => config().environment,
      channels: () => this.channels(),
      queued: (notices) => this.#outbox.add(notices),
    })
    this.#outbox = new Outbox({
      channel: (name) => this.#channel(name),
      retry: () => config().notifications.retry,
      settle: (settled, state) => this.book.settle(settled, state),
      count: (channel, outcome) => this.#count(channel, outcome),
      log,
      ...(parts.hourMs !== undefined && { hourMs: parts.hourMs }),
    })
  }

  /** What an earlier process could not send. */
  start(): void {
    this.#outbox.add(this.#parts.store.incidents.pending())
  }

  /** Those that are configured. */
  channels(): NotificationChannel[] {
    const { notifications } = this.#parts.config()
    return notificationChannels.filter((name) => notifications[name] !== undefined)
  }

  #channel(name: NotificationChannel): Channel | null {
    if (!this.channels().includes(name)) return null
    return name === 'email' ? this.#mail : this.#webhook
  }

  #count(channel: NotificationChannel, outcome: SendOutcome): void {
    const key = `${channel} ${outcome}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  reconfigured(): void {
    this.#outbox.reconfigured()
  }

  /** Once a second: writes what changed, reminds, forgets. */
  async tick(): Promise<void> {
    const { repeat_ms, retention_ms } = this.#parts.config().notifications
    if (repeat_ms > 0 && this.channels().length > 0) {
      for (const incident of this.book.open()) this.#remind(incident, repeat_ms)
    }
    await this.book.flush(retention_ms)
  }

  #remind(incident: Incident, repeatMs: number): void {
    if (incident.acknowledged !== null) return
    const due = Math.floor((Date.now() - incident.opened_at) / repeatMs)
    const last = Math.max(
      0,
      ...incident.notices.map(({ event }) => Number(/^reminder-(\d+)$/.exec(event)?.[1] ?? 0)),
    )
    if (due > last) this.book.remind(incident, due)
  }

  /** Sends a message to every channel now. */
  test(by: string): Promise<ChannelTest[]> {
    const { environment } = this.#parts.config()
    const about = { id: randomUUID(), environment, by }
    return Promise.all(
      this.channels().map(async (name) => {
        const started = performance.now()
        const error = await this.#sendTest(name, about).then(
          () => null,
          (reason: unknown) =>
            // Anything else is a bug, and its text may quote a secret.
            reason instanceof ChannelError ? reason.message : 'the message could not be made',
        )
        const latency = Math.round((performance.now() - started) * 10) / 10
        return { name, ok: error === null, error, latency_ms: latency }
      }),
    )
  }

  #sendTest(
    name: NotificationChannel,
    about: { id: string; environment: string; by: string },
  ): Promise<void> {
    if (name === 'email') return this.#mail.sendMessage(testMessage(about))
    const { id, environment, by } = about
    return this.#webhook.post({ id, type: 'test', at: new Date().toISOString(), environment, by })
  }

  figures(): IncidentFigures {
    return {
      open: [...this.book.openByKind()],
      notifications: notificationChannels.flatMap((channel) =>
        sendOutcomes.map((outcome) => ({
          ...{ channel, outcome },
          count: this.#counts.get(`${channel} ${outcome}`) ?? 0,
        })),
      ),
      pending: notificationChannels.map((channel) => [channel, this.#outbox.pending(channel)] as const),
    }
  }

  /** What was not sent waits in the store. */
  async close(): Promise<void> {
    await this.#outbox.close()
    await this.book.flush(this.#parts.config().notifications.retention_ms)
    await this.book.settled()
  }
}

type Settings = Pick<Config, 'environment' | 'notifications'>

function mailSettings({ environment, notifications: { email, secret_fields } }: Settings) {
  if (email === undefined) throw new ChannelError('channel', 'email is not configured')
  return { environment, email, templates: namesBelow(secret_fields, '/email/smtp/') }
}

function webhookSettings({ notifications: { webhook, secret_fields } }: Settings) {
  if (webhook === undefined) throw new ChannelError('channel', 'webhook is not configured')
  const headers = [...namesBelow(secret_fields, '/webhook/headers/')].map((name) => `header ${name}`)
  const isTemplate = secret_fields.includes('/webhook/url')
  return { webhook, templates: new Set(isTemplate ? ['url', ...headers] : headers) }
}

/** Names of the texts below a pointer (RFC 6901 §4). */
function namesBelow(pointers: readonly string[], place: string): Set<string> {
  return new Set(
    pointers
      .filter((pointer) => pointer.startsWith(place))
      .map((pointer) => pointer.slice(place.length).replaceAll('~1', '/').replaceAll('~0', '~')),
  )
}
