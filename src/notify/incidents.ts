/**
 * The book of incidents: each is opened once, changed while it lasts, and closed, in the store and with an
 * entry of the activity log.
 *
 *   raise ──► open ──raise──► open ──resolve──► closed ──retention──► gone
 *              │ entry, notices                  │ entry, notices
 *
 * What is to be told is on the disk before it is sent, and known as sent once that is on the disk: every
 * write of an incident has what the store does not know yet of its notices with it.
 */
import { randomUUID } from 'node:crypto'
import type { Json } from '../contract/activity.ts'
import type { ActivityEvent } from '../contract/activity-events.ts'
import { type Actor, type AuditTrail, type Happening, theGateway } from '../contract/audit-trail.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import type {
  Incident,
  IncidentKind,
  IncidentOutcome,
  Notice,
  NotificationChannel,
  PendingNotice,
} from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import { KnownIncidents } from './known-incidents.ts'
import { Owed } from './owed.ts'

export interface BookParts {
  readonly store: Pick<Store, 'apply' | 'applyDurably' | 'incidents'>
  readonly trail: Pick<AuditTrail, 'entries'>
  readonly log: Logger
  readonly environment: () => EnvironmentName
  /** Which channels are to be told of what happens to an incident. */
  readonly channels: () => readonly NotificationChannel[]
  /** What stands around it now, for the message. */
  readonly facts: (incident: Incident) => PendingNotice['facts']
  /** These are in the store, or will be: they may be sent. */
  readonly queued: (notices: ReadonlyMap<string, PendingNotice>) => void
}

/** What is seen of something that goes wrong; what it says replaces what was known under the same names. */
export interface Sighting {
  readonly kind: IncidentKind
  readonly subject: string
  readonly details?: Readonly<Record<string, Json>>
  readonly legs?: Incident['legs']
  /** 0: known already, only more is known of it. */
  readonly count?: number
}

export const recovered: IncidentOutcome = Object.freeze({
  reason: 'recovered',
  replayed: 0,
  lost: 0,
  purged: 0,
  dead_lettered: 0,
  waiting: 0,
})

export class IncidentBook extends KnownIncidents {
  readonly #parts: BookParts
  readonly #owed = new Owed()
  #writing: Promise<unknown> = Promise.resolve()

  constructor(parts: BookParts) {
    super(parts.store.incidents)
    this.#parts = parts
  }

  /** Opens an incident, or adds to the one that is open. */
  raise(sighting: Sighting): void {
    const { kind, subject, details = {}, legs = {}, count = 1 } = sighting
    const known = this.find(kind, subject)
    if (known !== undefined) {
      this.#change({
        ...known,
        occurrences: known.occurrences + count,
        details: bounded({ ...known.details, ...details }),
        legs: { ...known.legs, ...legs },
      })
      return
    }
    if (this.open().length >= limits.incidents_open_max) {
      this.#parts.log.error({ kind, subject }, 'too many incidents are open: this one is not kept')
      return
    }
    const now = Date.now()
    this.lastId += 1
    this.#parts.log.warn({ incident: this.lastId, kind, subject, ...bounded(details) }, 'incident opened')
    this.#tell('opened', 'incident_opened', {
      id: this.lastId,
      uid: randomUUID(),
      kind,
      subject: cut(subject),
      environment: this.#parts.environment(),
      state: 'open',
      opened_at: now,
      updated_at: now,
      recovered_at: null,
      closed_at: null,
      occurrences: Math.max(1, count),
      details: bounded(details),
      legs,
      outcome: null,
      acknowledged: null,
      notices: [],
    })
  }

  /** More is known of an open incident: nothing new happened. */
  update(
    incident: Incident,
    change: Partial<Pick<Incident, 'details' | 'legs' | 'occurrences' | 'recovered_at'>>,
  ): void {
    const known = this.get(incident.id)
    if (known?.state !== 'open') return
    const details = bounded({ ...known.details, ...change.details })
    this.#change({ ...known, ...change, details })
  }

  #change(incident: Incident): void {
    this.changed.add(incident.id)
    this.keep({ ...incident, updated_at: Date.now() })
  }

  /** Closes an incident, if it is open. */
  resolve(kind: IncidentKind, subject: string, outcome: IncidentOutcome = recovered): void {
    const known = this.find(kind, subject)
    if (known === undefined) return
    const now = Date.now()
    const durationMs = (known.recovered_at ?? now) - known.opened_at
    this.#parts.log.info(
      { incident: known.id, kind, subject, duration_ms: durationMs, ...outcome },
      'incident closed',
    )
    this.#tell('closed', 'incident_closed', {
      ...known,
      state: 'closed',
      updated_at: now,
      recovered_at: known.recovered_at ?? now,
      closed_at: now,
      outcome,
    })
  }

  /** Null for an unknown one. Acknowledging twice changes nothing. */
  async acknowledge(id: number, actor: Actor): Promise<Incident | null> {
    const known = this.get(id)
    if (known === undefined || known.acknowledged !== null) return known ?? null
    const happening = happeningOf('incident_acknowledged', known, actor)
    const acknowledged = { at: Date.now(), by: actor.name }
    await this.#inTurn(async () => {
      const now = this.get(id)
      if (now === undefined || now.acknowledged !== null) return
      const writing = this.#owed.writing(id, { ...now, acknowledged })
      const entries = this.#parts.trail.entries(...writing.happenings, happening)
      await this.#parts.store.apply(writing.commands, entries)
      this.#owed.paid(writing)
      const latest = this.get(id)
      if (latest !== undefined) this.#change({ ...latest, acknowledged })
    })
    return this.get(id) ?? null
  }

  /** Tells of an open incident once more. */
  remind(incident: Incident, number: number): void {
    this.#tell(`reminder-${number}`, null, incident)
  }

  /** The incident, the entry and what channels are to be told are there together. */
  #tell(event: string, activity: ActivityEvent | null, incident: Incident): void {
    const channels = this.#parts.channels()
    const notices = channels.map((channel): Notice => {
      return { channel, event, state: 'pending', attempts: 0, last_error: null, sent_at: null }
    })
    const record = { ...incident, notices: [...incident.notices, ...notices].slice(-NOTICES_KEPT) }
    const { notices: _told, ...then } = record
    const facts = channels.length === 0 ? null : this.#parts.facts(record)
    const at = Date.now()
    const pending = new Map(
      channels.map((channel): [string, PendingNotice] => [
        noticeKey(incident.id, event, channel),
        {
          ...{ channel, event, at, attempts: 0, last_error: null, next_at: 0, incident: then },
          facts: facts as PendingNotice['facts'],
        },
      ]),
    )
    for (const [key, notice] of pending) this.#owed.notice(incident.id, key, notice)
    if (activity !== null) this.#owed.entry(incident.id, happeningOf(activity, record, theGateway))
    this.changed.delete(incident.id)
    const written = this.#writeInTurn([incident.id])
    this.keep(record)
    void written.then(() => this.#parts.queued(pending))
  }

  /** What came of notices, of one message: known here once it is on the disk, all at once. */
  async settle(settled: ReadonlyMap<string, PendingNotice>, state: Notice['state']): Promise<void> {
    const ids = [...new Set([...settled.values()].map(({ incident }) => incident.id))]
    const sent_at = state === 'sent' ? Date.now() : null
    const as = (notice: Notice, id: number): Notice => {
      const { channel, event } = notice
      const now = settled.get(noticeKey(id, event, channel))
      if (now === undefined) return notice
      return { channel, event, state, attempts: now.attempts, last_error: now.last_error, sent_at }
    }
    const after = ({ id, ...known }: Incident): Incident => {
      return { id, ...known, notices: known.notices.map((notice) => as(notice, id)) }
    }
    const write = async () => {
      for (const [key, notice] of settled)
        this.#owed.notice(notice.incident.id, key, state === 'pending' ? notice : null)
      await this.#write(ids, after)
      for (const id of ids) {
        const known = this.get(id)
        if (known !== undefined) this.keep(after(known))
      }
    }
    await this.holding(ids, this.#inTurn(write))
  }

  #writeInTurn(ids: readonly number[]): Promise<void> {
    return this.holding(
      ids,
      this.#inTurn(() => this.#write(ids)),
    )
  }

  /** Writes incidents with all that is owed of them, in one transaction; tried again later where it fails. */
  async #write(ids: readonly number[], as = (known: Incident): Incident => known): Promise<void> {
    const { store, trail, log } = this.#parts
    const writings = ids.map((id) => {
      const known = this.get(id)
      return this.#owed.writing(id, known && as(known))
    })
    const commands = writings.flatMap((writing) => writing.commands)
    const happenings = writings.flatMap((writing) => writing.happenings)
    const paid = () => {
      for (const writing of writings) this.#owed.paid(writing)
    }
    try {
      if (happenings.length > 0) {
        await store.apply(commands, trail.entries(...happenings))
        return paid()
      }
    } catch (error) {
      // A disk that takes no entry must not keep people from hearing of it.
      log.error({ err: error, incidents: ids }, 'the entry of an incident cannot be written')
      for (const writing of writings) this.#owed.paid({ ...writing, commands: [] })
    }
    try {
      await store.applyDurably(commands)
      paid()
    } catch (error) {
      log.error({ err: error, incidents: ids }, 'incidents cannot be written: tried again')
      for (const id of ids) this.changed.add(id)
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#writing.then(work)
    this.#writing = done.catch(() => {})
    return done
  }

  /** Writes what changed, and forgets what is old or too many. Never rejects. */
  async flush(keepMs: number): Promise<void> {
    if (this.changed.size > 0) {
      const ids = [...this.changed]
      this.changed.clear()
      await this.#writeInTurn(ids)
    }
    const gone = this.outdated(Date.now() - keepMs)
    if (gone.length === 0) return
    await this.#inTurn(async () => {
      const commands = gone.map((id) => ({ type: 'incident' as const, id, record: null }))
      try {
        await this.#parts.store.apply(commands)
        this.forget(gone)
      } catch (error) {
        this.#parts.log.error({ err: error }, 'old incidents cannot be removed: tried again')
      }
    })
  }

  /** Resolves when nothing is on its way to the store any more. */
  async settled(): Promise<void> {
    await this.#writing
  }
}

/** Reminders go on for months, maybe: the first ones of an incident are of no interest then. */
const NOTICES_KEPT = 20

const cut = (text: string): string => text.slice(0, limits.incident_text_chars_max)

export function noticeKey(id: number, event: string, channel: NotificationChannel): string {
  return `${String(id).padStart(12, '0')} ${event} ${channel}`
}

function happeningOf(event: ActivityEvent, incident: Incident, actor: Actor): Happening {
  const { id, kind, subject, occurrences, details, outcome, opened_at, recovered_at } = incident
  const known: Record<string, Json> = { kind, subject, occurrences }
  if (recovered_at !== null) known['duration_ms'] = recovered_at - opened_at
  if (outcome === null) known['about'] = details
  else known['outcome'] = { ...outcome }
  return { event, actor, resource: { id, name: `${kind} ${subject}` }, details: known }
}

/** Error messages and answers come from outside. */
function bounded(details: Readonly<Record<string, Json>>): Record<string, Json> {
  const within = (value: Json): Json => {
    if (typeof value === 'string') return cut(value)
    if (Array.isArray(value)) return value.slice(0, limits.incident_list_max).map(within)
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value).slice(0, limits.incident_list_max)
    return Object.fromEntries(entries.map(([key, inner]) => [key, within(inner)]))
  }
  return within(details) as Record<string, Json>
}
