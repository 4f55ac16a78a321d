/**
 * What the gateway sees of itself, as incidents: news of legs and secrets as they come, and once a second a
 * look at backlogs, the disk, certificates and the clock.
 */
import type { Config } from '../config/schema.ts'
import type { Actor } from '../contract/audit-trail.ts'
import { diskSubject, type Incident, type IncidentOutcome } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import { referenceText, type SecretReference } from '../contract/secret-reference.ts'
import type { SecretError } from '../contract/secrets.ts'
import type { ShipResult, ShipTask } from '../contract/tasks.ts'
import type { RunningGateway } from '../gateway.ts'
import { certificatesOf, endOf } from '../notify/certificates.ts'
import { ClockWatch } from '../notify/clock.ts'
import { recovered } from '../notify/incidents.ts'
import { Notifier } from '../notify/notifier.ts'
import type { Leg } from '../shipper/leg.ts'
import type { LegNews } from '../shipper/leg-host.ts'
import { ownerKey } from '../shipper/owners.ts'
import { BacklogWatch } from './backlog-watch.ts'
import { factsOf, referencesOfAll } from './incident-facts.ts'
import { type OutageLeg, Outages } from './outages.ts'

const DAY_MS = 86_400_000
/** Of a secret whose old value is still used: one failed read is no news. */
const FAILED_READS = 3
const CLOCK = 'clock'

export class IncidentWatch {
  readonly notifier: Notifier
  readonly #gateway: RunningGateway
  readonly #outages: Outages
  readonly #backlogs: BacklogWatch
  readonly #legs = new Map<string, Leg>()
  /** What a destination said last when it refused, by leg. */
  readonly #answers = new Map<string, string>()
  /** When a leg lost items last, and when the clock jumped; on the monotonic clock. */
  readonly #seenAt = new Map<string, number>()
  readonly #failedReads = new Map<string, number>()
  readonly #clock = new ClockWatch(limits.clock_jump_ms)
  #certificatesAt = 0
  #ticking = false

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
    const { store, trail, secrets, log } = gateway
    this.notifier = new Notifier({
      ...{ store, trail, secrets, log },
      config: () => gateway.config,
      facts: (incident) => this.factsOf(incident),
    })
    this.#outages = new Outages({
      book: this.notifier.book,
      leg: (key) => this.#leg(key),
      legs: () => this.#allLegs(),
    })
    this.#backlogs = new BacklogWatch({
      book: this.notifier.book,
      config: () => gateway.config,
      view: (owner) => gateway.deliveries.view(owner),
      disk: () => gateway.deliveries.disk.state,
    })
  }

  get #book() {
    return this.notifier.book
  }

  factsOf(incident: Incident) {
    const { deliveries, admin } = this.#gateway
    const view = deliveries.view.bind(deliveries)
    return factsOf(incident, { view, config: () => this.#gateway.config, admin: () => admin })
  }

  /** The gateway serves: what ended with the process before is over, what it could not tell is told. */
  start(): void {
    this.loaded()
    const { store } = this.#gateway
    const disconnected = new Set(store.settingsOn('disconnected:'))
    for (const { kind, subject } of this.#book.open())
      if (kind === 'connection_disconnected' && !disconnected.has(subject)) this.#outages.connected(subject)
    // Killed between the two: the connection is off, and nobody was told.
    for (const { name } of this.#gateway.config.connections)
      if (disconnected.has(name) && this.#book.find('connection_disconnected', name) === undefined)
        this.disconnected(name, 'mirrorgate')
    this.notifier.start()
  }

  legNews(leg: Leg, news: LegNews): void {
    const { key } = leg.ledger
    this.#legs.set(key, leg)
    const seen = this.#leg(key)
    if (news.kind === 'parked' && seen !== null)
      this.#outages.parked(seen, { ...news.failure, answer: this.#answers.get(key) ?? null })
    else if (news.kind === 'recovered') this.#outages.recovered(key)
    else if (news.kind === 'dropped' && news.reason !== 'purged') this.#lost(key, news.reason, news.items)
  }

  /** What came of a delivery. */
  shipped({ target, leg }: ShipTask, result: ShipResult): void {
    const key = `${target.owner}/${leg}`
    if (result.ok || result.answer === null) this.#answers.delete(key)
    else this.#answers.set(key, result.answer)
  }

  #leg(key: string): OutageLeg | null {
    const leg = this.#legs.get(key)
    if (leg === undefined) return null
    const { owner, outage, ledger, queue, settings } = leg
    return {
      ...{ key, owner },
      // Nothing is tried any more for a mirror that is gone.
      outage: outage && settings !== null,
      connection: settings?.delivery.connection ?? null,
      counts: ledger.counts(queue.waitingItems),
      status: ledger.lastResponseCode,
      error: ledger.lastError,
    }
  }

  #allLegs(): OutageLeg[] {
    return [...this.#legs.keys()].flatMap((key) => this.#leg(key) ?? [])
  }

  #lost(key: string, reason: string, items: number): void {
    const before = this.#book.find('data_dropped', key)?.details['reasons'] as
      | Record<string, number>
      | undefined
    const reasons = { ...before, [reason]: (before?.[reason] ?? 0) + items }
    this.#seenAt.set(key, performance.now())
    this.#book.raise({ kind: 'data_dropped', subject: key, details: { reasons } })
  }

  disconnected(connection: string, by: string): void {
    const legs = [...this.#legs.values()].filter(
      ({ settings }) => settings?.delivery.connection === connection,
    )
    const seen = legs.flatMap(({ ledger }) => this.#leg(ledger.key) ?? [])
    this.#outages.disconnected(connection, by, seen)
  }

  connected(connection: string): void {
    this.#outages.connected(connection)
  }

  secretRead(reference: SecretReference): void {
    const name = referenceText(reference)
    this.#failedReads.delete(name)
    this.#book.resolve('secret_unavailable', name)
  }

  /** `usable`: the value that was read before may still be used. */
  secretFailed(reference: SecretReference, { kind, message }: SecretError, usable: boolean): void {
    const name = referenceText(reference)
    const failed = (this.#failedReads.get(name) ?? 0) + 1
    this.#failedReads.set(name, failed)
    if (!usable || failed >= FAILED_READS) this.#unreadable(name, `${kind}: ${message}`)
  }

  #unreadable(name: string, error: string): void {
    const known = this.#book.find('secret_unavailable', name)
    if (known === undefined)
      this.#book.raise({ kind: 'secret_unavailable', subject: name, details: { error } })
    else if (known.details['error'] !== error) this.#book.update(known, { details: { error } })
  }

  rejected(file: string, problems: readonly string[], { name }: Actor): void {
    const details = { by: name, problems: problems.slice(0, limits.incident_list_max) }
    this.#book.raise({ kind: 'config_rejected', subject: file, details })
  }

  /** A configuration is in force: what it no longer names cannot fail any more. */
  loaded(): void {
    const { config } = this.#gateway
    const isKnown = subjectsOf(config)
    for (const incident of this.#book.open()) {
      const { kind, subject } = incident
      if (kind === 'config_rejected') this.#book.resolve(kind, subject)
      else if (!isKnown(incident))
        this.#book.resolve(kind, subject, this.#outages.outcomeOf(incident, 'it is no longer configured'))
    }
    this.#certificatesAt = 0
    this.notifier.reconfigured()
  }

  /** Once a second; never rejects. */
  async tick(): Promise<void> {
    if (this.#ticking) return
    this.#ticking = true
    try {
      this.#outages.tick(this.#allLegs())
      this.#lookAtClock()
      this.#endQuiet()
      this.#backlogs.look()
      await this.#lookAtCertificates()
      await this.notifier.tick()
    } catch (error) {
      this.#gateway.log.error({ err: error }, 'looking for incidents failed')
    }
    this.#ticking = false
  }

  #lookAtClock(): void {
    const moved_ms = this.#clock.look()
    if (moved_ms === 0) return
    this.#seenAt.set(CLOCK, performance.now())
    this.#book.raise({ kind: 'clock_jump', subject: CLOCK, details: { moved_ms } })
  }

  /** What is only seen when it happens is over when it was not seen for a while. */
  #endQuiet(): void {
    const { quiet_ms: quietMs } = this.#gateway.config.notifications
    for (const { kind, subject, details } of this.#book.open()) {
      if (kind !== 'data_dropped' && kind !== 'clock_jump') continue
      // After a restart the silence begins with the process.
      if (performance.now() - (this.#seenAt.get(subject) ?? 0) < quietMs) continue
      this.#seenAt.delete(subject)
      this.#book.resolve(kind, subject, kind === 'clock_jump' ? recovered : lossOf(details['reasons']))
    }
  }

  async #lookAtCertificates(): Promise<void> {
    const now = performance.now()
    if (this.#certificatesAt > now) return
    this.#certificatesAt = now + DAY_MS
    const { config } = this.#gateway
    for (const { place, file } of certificatesOf(config)) {
      const end = await endOf(file)
      if (end === null) continue
      const days_left = Math.floor((end - Date.now()) / DAY_MS)
      if (days_left >= config.notifications.certificate_days) {
        this.#book.resolve('certificate_expiring', place)
        continue
      }
      const details = { file, days_left, expires_at: new Date(end).toISOString() }
      const known = this.#book.find('certificate_expiring', place)
      if (known === undefined) this.#book.raise({ kind: 'certificate_expiring', subject: place, details })
      else this.#book.update(known, { details })
    }
  }

  close(): Promise<void> {
    return this.notifier.close()
  }
}

function lossOf(reasons: unknown): IncidentOutcome {
  const lost = Object.values((reasons ?? {}) as Record<string, number>).reduce((sum, items) => sum + items, 0)
  return { ...recovered, lost }
}

/** Whether what an incident is about is still configured. */
function subjectsOf(config: Config): (incident: Incident) => boolean {
  const mirrors = new Set(config.mirrors.map(({ name }) => name))
  const streams = new Set(config.streams.map(({ name }) => name))
  const owners = new Set([...mirrors, ...[...streams].map((name) => ownerKey({ kind: 'streams', name }))])
  const connections = new Set(config.connections.map(({ name }) => name))
  const references = referencesOfAll(config)
  const places = new Set(certificatesOf(config).map(({ place }) => place))
  return ({ kind, subject }) => {
    if (kind === 'mirroring_error') return mirrors.has(subject)
    if (kind === 'stream_failed') return streams.has(subject)
    if (kind === 'data_dropped') return owners.has(subject.slice(0, subject.lastIndexOf('/')))
    if (kind === 'spool_nearly_full') return subject === diskSubject || owners.has(subject)
    if (kind === 'connection_disconnected') return connections.has(subject)
    // A mirror without a connection stands for its destination itself.
    if (kind === 'connection_lost') return connections.has(subject) || mirrors.has(subject)
    if (kind === 'secret_unavailable') return references.has(subject)
    return kind !== 'certificate_expiring' || places.has(subject)
  }
}
