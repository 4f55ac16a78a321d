/** What the admin port asks about incidents, answered from the book. */
import { ConflictError } from '../admin/commands.ts'
import type {
  IncidentCommands,
  IncidentDetailView,
  IncidentPage,
  IncidentView,
  NotificationTestView,
} from '../admin/incident-commands.ts'
import type { Actor } from '../contract/audit-trail.ts'
import { type Incident, incidentKinds } from '../contract/incidents.ts'
import type { RunningGateway } from '../gateway.ts'
import { stepsFor } from '../notify/advice.ts'
import { shownMirrors } from '../notify/messages.ts'

export class IncidentDesk implements IncidentCommands {
  readonly #gateway: RunningGateway

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
  }

  get #book() {
    return this.#gateway.incidents.notifier.book
  }

  page({ state, kind, after, size }: IncidentPage): { data: IncidentView[]; total: number } {
    const below = after ?? Number.POSITIVE_INFINITY
    const { data, total } = this.#book.page({ state, kind, below, size })
    return { data: data.map(viewOf), total }
  }

  get(id: number): IncidentDetailView | null {
    const incident = this.#book.get(id)
    if (incident === undefined) return null
    const facts = this.#gateway.incidents.factsOf(incident)
    const steps = incident.state === 'open' ? stepsFor(incident, facts) : []
    return { ...viewOf(incident), steps, mirrors: shownMirrors(facts.mirrors) }
  }

  async acknowledge(id: number, actor: Actor): Promise<IncidentView | null> {
    const incident = await this.#book.acknowledge(id, actor)
    return incident === null ? null : viewOf(incident)
  }

  async test(actor: Actor): Promise<NotificationTestView> {
    const { incidents, trail } = this.#gateway
    if (incidents.notifier.channels().length === 0)
      throw new ConflictError(
        'no channel of notifications is configured: set notifications.email or .webhook',
      )
    const channels = await incidents.notifier.test(actor.name)
    const details = { channels: channels.map(({ name, ok }) => ({ name, ok })) }
    await trail.record({ event: 'notifications_tested', actor, details })
    return { channels }
  }
}

function viewOf(incident: Incident): IncidentView {
  const { opened_at, updated_at, recovered_at, closed_at, acknowledged, notices } = incident
  const { id, kind, subject, environment, state, occurrences, details, outcome } = incident
  return {
    ...{ id, kind, subject, environment, state, occurrences, outcome },
    title: incidentKinds[kind].title,
    opened_at: iso(opened_at),
    updated_at: iso(updated_at),
    recovered_at: recovered_at === null ? null : iso(recovered_at),
    closed_at: closed_at === null ? null : iso(closed_at),
    duration_ms: Math.max(0, (recovered_at ?? Date.now()) - opened_at),
    details: { ...details },
    acknowledged: acknowledged === null ? null : { at: iso(acknowledged.at), by: acknowledged.by },
    notices: notices.map(({ sent_at, ...notice }) => ({
      ...notice,
      sent_at: sent_at === null ? null : iso(sent_at),
    })),
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
