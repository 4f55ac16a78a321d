/**
 * What is known of incidents: open ones, and those that are still to be told or written, as they are; of all
 * others a line, the rest of them is in the store.
 */
import { type Incident, type IncidentKind, incidentKindNames } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import type { Store } from '../store/store.ts'

type Line = Pick<Incident, 'id' | 'kind' | 'state'> & { readonly closedAt: number | null }

export class KnownIncidents {
  readonly #stored: Store['incidents']
  readonly #live = new Map<number, Incident>()
  readonly #open = new Map<string, number>()
  /** All of them, by ascending id. */
  readonly #lines = new Map<number, Line>()
  /** On their way to the store: how many writes. Until then it knows older ones. */
  readonly #held = new Map<number, number>()
  /** Not in the store as they are now. */
  protected readonly changed = new Set<number>()
  protected lastId = 0

  constructor(stored: Store['incidents']) {
    this.#stored = stored
    for (const incident of stored.all()) {
      this.keep(incident)
      this.lastId = incident.id
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
    return this.#live.get(id) ?? this.#stored.get(id)
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

  protected keep(incident: Incident): void {
    const { id, kind, subject, state, closed_at: closedAt, notices } = incident
    this.#lines.set(id, { id, kind, state, closedAt })
    const key = keyOf(kind, subject)
    if (state === 'open') this.#open.set(key, id)
    // Another one of its subject may be open by now.
    else if (this.#open.get(key) === id) this.#open.delete(key)
    const isAwaited = notices.some((notice) => notice.state === 'pending')
    if (state === 'open' || isAwaited || this.changed.has(id) || this.#held.has(id))
      this.#live.set(id, incident)
    else this.#live.delete(id)
  }

  protected async holding(ids: readonly number[], work: Promise<void>): Promise<void> {
    for (const id of ids) this.#held.set(id, (this.#held.get(id) ?? 0) + 1)
    await work
    for (const id of ids) {
      const left = (this.#held.get(id) ?? 1) - 1
      if (left > 0) this.#held.set(id, left)
      else this.#held.delete(id)
      const incident = this.#live.get(id)
      if (incident !== undefined && !this.changed.has(id)) this.keep(incident)
    }
  }

  /** Closed ones that are too old, or too many; those that are still to be told stay. */
  protected outdated(before: number): number[] {
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

  protected forget(ids: readonly number[]): void {
    for (const id of ids) this.#lines.delete(id)
  }
}

/** Of a subject as it is seen, or as it is kept. */
function keyOf(kind: IncidentKind, subject: string): string {
  return `${kind} ${subject.slice(0, limits.incident_text_chars_max)}`
}
