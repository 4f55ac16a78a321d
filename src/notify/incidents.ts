/**
 * The book of incidents: each is opened once, changed while it lasts, and closed, in the store and with an
 * entry of the activity log. Open ones are in memory; so are closed ones that are still to be told.
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
import {
  type Incident,
  type IncidentKind,
  incidentKindNames,
  type IncidentOutcome,
  type Notice,
  type NotificationChannel,
  type PendingNotice,
} from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
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

type Line = Pick<Incident, 'id' | 'kind' | 'state'> & { readonly closedAt: number | null }

export class IncidentBook {
  readonly #parts: BookParts
  /** Open ones, and those that somebody is still to be told of. */
  readonly #live = new Map<number, Incident>()
  readonly #open = new Map<string, number>()
  /** All of them, by ascending id. */
  readonly #lines = new Map<number, Line>()
  /** Not in the store as they are now. */
  readonly #changed = new Set<number>()
  readonly #owed = new Owed()
  /** On their way there: how many writes. */
  readonly #pinned = new Map<number, number>()
  #lastId = 0
  #writing: Promise<unknown> = Promise.resolve()

  constructor(parts: BookParts) {
    this.#parts = parts
    for (const incident of parts.store.incidents.all()) {
      this.#keep(incident)
      this.#lastId = incident.id
    }
  }

  #keep(incident: Incident): void {
    const { id, kind, subject, state, closed_at: closedAt, notices } = incident
    this.#lines.set(id, { id, kind, state, closedAt })
    if (state === 'open') this.#open.set(keyOf(kind, subject), id)
    else this.#open.delete(keyOf(kind, subject))
    const isAwaited = notices.some((notice) => notice.state === 'pending')
    if (state === 'open' || isAwaited || this.#changed.has(id) || this.#pinned.has(id))
      this.#live.set(id, incident)
    else this.#live.delete(id)
  }

  /** Until they are written, the store knows older ones. */
  async #pin(ids: readonly number[], work: () => Promise<void>): Promise<void> {
    for (const id of ids) this.#pinned.set(id, (this.#pinned.get(id) ?? 0) + 1)
    await this.#inTurn(work)
    for (const id of ids) {
      const left = (this.#pinned.get(id) ?? 1) - 1
      if (left > 0) this.#pinned.set(id, left)
      else this.#pinned.delete(id)
      this.#letGo(id)
    }
  }

  /** The open incidents, as they are now. */
  open(): Incident[] {
    return [...this.#open.values()].flatMap((id) => this.#live.get(id) ?? [])
  }

  find(kind: IncidentKind, subject: string): Incident | undefined {
    return this.#live.get(this.#open.get(keyOf(kind, subject)) ?? 0)
  }

  get(id: number): Incident | undefined {
    return this.#live.get(id) ?? this.#parts.store.incidents.get(id)
  }

  openByKind(): Map<IncidentKind, number> {
    const counts = new Map(incidentKindNames.map((kind) => [kind, 0]))
    for (const { kind } of this.open()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
    return counts
  }

  /** Newest first, below an id; `total` counts all that fit. */
  page(filter: {
    readonly state: Incident['state'] | null
    readonly kind: IncidentKind | null
    readonly below: number
    readonly size: number
  }): { data: Incident[]; total: number } {
    const fitting = [...this.#lines.values()].filter(
      ({ kind, state }) =>
        (filter.kind === null || kind === filter.kind) && (filter.state === null || state === filter.state),
    )
    const ids = fitting.filter(({ id }) => id < filter.below).reverse()
    const data = ids.slice(0, filter.size).flatMap(({ id }) => this.get(id) ?? [])
    return { data, total: fitting.length }
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
    if (this.#open.size >= limits.incidents_open_max) {
      this.#parts.log.error({ kind, subject }, 'too many incidents are open: this one is not kept')
      return
    }
    const now = Date.now()
    this.#lastId += 1
    this.#parts.log.warn({ incident: this.#lastId, kind, subject, ...bounded(details) }, 'incident opened')
    this.#tell('opened', 'incident_opened', {
      id: this.#lastId,
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
    const known = this.#live.get(incident.id)
    if (known?.state !== 'open') return
    const details = bounded({ ...known.details, ...change.details })
    this.#change({ ...known, ...change, details })
  }

  #change(incident: Incident): void {
    this.#changed.add(incident.id)
    this.#keep({ ...incident, updated_at: Date.now() })
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
    this.#changed.delete(incident.id)
    const written = this.#pin([incident.id], () => this.#write([incident.id]))
    this.#keep(record)
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
    await this.#pin(ids, async () => {
      for (const [key, notice] of settled)
        this.#owed.notice(notice.incident.id, key, state === 'pending' ? notice : null)
      await this.#write(ids, after)
      for (const id of ids) {
        const known = this.get(id)
        if (known !== undefined) this.#live.set(id, after(known))
      }
    })
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
      for (const id of ids) this.#changed.add(id)
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#writing.then(work)
    this.#writing = done.catch(() => {})
    return done
  }

  /** Writes what changed, and forgets what is old or too many. Never rejects. */
  async flush(keepMs: number): Promise<void> {
    if (this.#changed.size > 0) {
      const ids = [...this.#changed]
      this.#changed.clear()
      await this.#pin(ids, () => this.#write(ids))
    }
    const gone = this.#outdated(Date.now() - keepMs)
    if (gone.length === 0) return
    await this.#inTurn(async () => {
      const commands = gone.map((id) => ({ type: 'incident' as const, id, record: null }))
      try {
        await this.#parts.store.apply(commands)
        for (const id of gone) this.#lines.delete(id)
      } catch (error) {
        this.#parts.log.error({ err: error }, 'old incidents cannot be removed: tried again')
      }
    })
  }

  #letGo(id: number): void {
    const incident = this.#live.get(id)
    if (incident !== undefined && !this.#changed.has(id)) this.#keep(incident)
  }

  #outdated(before: number): number[] {
    let tooMany = this.#lines.size - limits.incidents_max
    const gone: number[] = []
    for (const { id, closedAt } of this.#lines.values()) {
      if (gone.length >= limits.incidents_removed_at_once_max) break
      if (closedAt === null || this.#live.has(id)) continue
      if (tooMany <= 0 && closedAt >= before) continue
      gone.push(id)
      tooMany -= 1
    }
    return gone
  }

  /** Resolves when nothing is on its way to the store any more. */
  async settled(): Promise<void> {
    await this.#writing
  }
}

/** Reminders go on for months, maybe: the first ones of an incident are of no interest then. */
const NOTICES_KEPT = 20

/** Of a subject as it is seen, or as it is kept. */
function keyOf(kind: IncidentKind, subject: string): string {
  return `${kind} ${cut(subject)}`
}

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
