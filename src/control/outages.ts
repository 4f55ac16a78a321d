/**
 * Outages as incidents: opened when the first leg parks, joined by others, over when the last one takes items
 * again, and closed once what had waited is delivered, so that the last message can say how much that was.
 */
import type { Counts } from '../admin/commands.ts'
import type { Json } from '../contract/activity.ts'
import { outcomeOfStatus } from '../contract/errors.ts'
import type { Incident, IncidentKind, IncidentOutcome, LegBaseline } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import type { IncidentBook } from '../notify/incidents.ts'
import { isSame, type Owner } from '../shipper/owners.ts'

/** What an outage needs to know of a leg. */
export interface OutageLeg {
  /** `mirror/leg`. */
  readonly key: string
  readonly owner: Owner
  readonly connection: string | null
  /** People were told that its destination is gone. */
  readonly outage: boolean
  readonly counts: Counts
  readonly status: number | null
  readonly error: string | null
}

export interface LegFailure {
  readonly kind: string
  readonly status: number | null
  readonly message: string
  readonly answer: string | null
}

export interface OutageParts {
  readonly book: IncidentBook
  readonly leg: (key: string) => OutageLeg | null
  readonly legs: () => readonly OutageLeg[]
}

/** Whose destination answers, and does not take what is sent. */
const failing = { mirrors: 'mirroring_error', streams: 'stream_failed' } as const

const outageKinds: readonly IncidentKind[] = ['connection_lost', 'mirroring_error', 'stream_failed']

export class Outages {
  readonly #parts: OutageParts

  constructor(parts: OutageParts) {
    this.#parts = parts
  }

  parked(leg: OutageLeg, failure: LegFailure): void {
    const { book } = this.#parts
    if (waitsForSecret(failure.message)) return
    // Nothing came back: the way there is broken, or nobody answers. A refusal is another thing to mend.
    const isLost =
      failure.kind === 'retry' &&
      failure.status === null &&
      (leg.connection !== null || leg.owner.kind === 'mirrors')
    const kind = isLost ? 'connection_lost' : failing[leg.owner.kind]
    const subject = isLost ? (leg.connection ?? leg.owner.name) : leg.owner.name
    const known = book.find(kind, subject)
    // Others whose last try failed wait for the same, although their own retries are not spent yet.
    const beside = this.#parts
      .legs()
      .filter(
        (other) =>
          other.error !== null && (isLost ? other.connection === subject : isSame(other.owner, leg.owner)),
      )
    const legs = { ...known?.legs }
    for (const { key, counts } of beside) legs[key] ??= baselineOf(counts)
    legs[leg.key] = { ...(legs[leg.key] ?? baselineOf(leg.counts)), goal: null }
    const { status, message: error, answer } = failure
    const details: Record<string, Json> = { reason: failure.kind, status, error, legs: Object.keys(legs) }
    if (answer !== null) details['answer'] = answer
    book.raise({ kind, subject, details, legs })
    const now = book.find(kind, subject)
    // It was over, and is not.
    if (now !== undefined && now.recovered_at !== null) book.update(now, { recovered_at: null })
  }

  recovered(key: string): void {
    for (const incident of this.#covering(key)) this.#over(incident, [key])
  }

  disconnected(connection: string, by: string, legs: readonly OutageLeg[]): void {
    const baselines = Object.fromEntries(legs.map(({ key, counts }) => [key, baselineOf(counts)]))
    const details = { by, legs: Object.keys(baselines) }
    this.#parts.book.raise({ kind: 'connection_disconnected', subject: connection, details, legs: baselines })
  }

  connected(connection: string): void {
    const incident = this.#parts.book.find('connection_disconnected', connection)
    if (incident === undefined) return
    this.#over(incident, Object.keys(incident.legs))
  }

  /** These legs have only to work off what waits now. */
  #over(incident: Incident, keys: readonly string[]): void {
    const legs = { ...incident.legs }
    for (const key of keys) {
      const before = legs[key]
      const counts = this.#parts.leg(key)?.counts
      if (before === undefined) continue
      legs[key] = {
        ...before,
        goal: counts === undefined ? 0 : counts.waiting + doneSince(before, counts).all,
      }
    }
    const isOver = Object.values(legs).every(({ goal }) => goal !== null)
    this.#parts.book.update(incident, {
      legs,
      ...(isOver && { recovered_at: incident.recovered_at ?? Date.now() }),
    })
  }

  #covering(key: string): Incident[] {
    return this.#parts.book
      .open()
      .filter(({ kind, legs }) => outageKinds.includes(kind) && legs[key] !== undefined)
  }

  /** Once a second: `legs` are all there are. */
  tick(legs: readonly OutageLeg[]): void {
    for (const leg of legs) if (leg.outage) this.#noticeChanged(leg)
    for (const incident of this.#parts.book.open()) {
      if (incident.recovered_at !== null) this.#settle(incident, incident.recovered_at)
      else if (outageKinds.includes(incident.kind)) this.#noticeOver(incident)
    }
  }

  /** After a restart, or when a destination fails in another way than when it was told of. */
  #noticeChanged(leg: OutageLeg): void {
    const { status, error } = leg
    const [known] = this.#covering(leg.key)
    if (error === null || waitsForSecret(error)) return
    const kind = status === null ? 'retry' : (outcomeOfStatus(status) ?? 'retry')
    const isRefused = status !== null && kind !== 'retry'
    if (known === undefined) {
      this.parked(leg, { kind, status, message: error, answer: null })
    } else if (known.kind === 'connection_lost' && isRefused) {
      // It answers again, and refuses: that is another thing to mend.
      this.#over(known, [leg.key])
      const refused = this.#parts.book.find(failing[leg.owner.kind], leg.owner.name)
      if (refused?.legs[leg.key] === undefined)
        this.parked(leg, { kind, status, message: error, answer: null })
    } else if (known.details['error'] !== error && Object.keys(known.legs)[0] === leg.key) {
      this.#parts.book.update(known, { details: { status, error } })
    }
  }

  /** Its legs took items again without having been told of as parked, or before a restart. */
  #noticeOver(incident: Incident): void {
    const over = Object.entries(incident.legs)
      .filter(([key, { goal }]) => goal === null && !isFailing(this.#parts.leg(key)))
      .map(([key]) => key)
    if (over.length > 0) this.#over(incident, over)
  }

  #settle(incident: Incident, recoveredAt: number): void {
    const isDone = Object.entries(incident.legs).every(([key, before]) => {
      const counts = this.#parts.leg(key)?.counts
      return counts === undefined || doneSince(before, counts).all >= (before.goal ?? 0)
    })
    const failsAgain = Object.keys(incident.legs).some((key) => this.#parts.leg(key)?.outage === true)
    const isLate = Date.now() - recoveredAt >= limits.incident_drain_ms
    if (isDone || failsAgain || isLate)
      this.#parts.book.resolve(incident.kind, incident.subject, this.outcomeOf(incident, 'recovered'))
  }

  /** What became of the items of an incident's legs since it was opened. */
  outcomeOf({ legs }: Incident, reason: string): IncidentOutcome {
    const outcome = { reason, replayed: 0, lost: 0, purged: 0, dead_lettered: 0, waiting: 0 }
    for (const [key, before] of Object.entries(legs)) {
      const counts = this.#parts.leg(key)?.counts
      if (counts === undefined) continue
      const { delivered, lost, purged, deadLettered, all } = doneSince(before, counts)
      // What came after the end of the outage was not replayed.
      const later = Math.max(0, all - (before.goal ?? all))
      outcome.replayed += Math.max(0, delivered - later)
      outcome.lost += lost
      outcome.purged += purged
      outcome.dead_lettered += deadLettered
      outcome.waiting += counts.waiting
    }
    return outcome
  }
}

/** Parked, or on its way there. */
function isFailing(leg: OutageLeg | null): boolean {
  if (leg === null) return false
  return leg.outage || (leg.error !== null && leg.counts.waiting > 0)
}

/** Nothing was sent: the secret has an incident of its own. */
function waitsForSecret(error: string): boolean {
  return error.startsWith('reading ${secret:')
}

function baselineOf({ delivered, dead_lettered, dropped }: Counts): LegBaseline {
  return { delivered, dead_lettered, dropped: lostOf(dropped), purged: dropped.purged ?? 0, goal: null }
}

function lostOf(dropped: Counts['dropped']): number {
  const all = Object.values(dropped).reduce((sum, items) => sum + items, 0)
  return all - (dropped.purged ?? 0)
}

function doneSince(before: LegBaseline, { delivered, dead_lettered, dropped }: Counts) {
  const since = {
    delivered: delivered - before.delivered,
    // Dead letters that a person replays count back.
    deadLettered: Math.max(0, dead_lettered - before.dead_lettered),
    lost: lostOf(dropped) - before.dropped,
    purged: (dropped.purged ?? 0) - before.purged,
  }
  return { ...since, all: since.delivered + since.deadLettered + since.lost + since.purged }
}
