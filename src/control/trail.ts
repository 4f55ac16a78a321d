/** Turns what happens in the gateway into entries of the activity log. */
import type { ActivityLog, Json, NewActivity } from '../contract/activity.ts'
import { activityEvents } from '../contract/activity-events.ts'
import type { AuditTrail, Happening } from '../contract/audit-trail.ts'
import type { Config } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'
import type { Logger } from '../telemetry/log.ts'

export interface TrailParts {
  readonly activity: Pick<ActivityLog, 'append'>
  /** The configuration in force: whose workspace and environment it is. */
  readonly config: () => Pick<Config, 'workspace' | 'environment'>
  readonly log: Logger
  /** Counts entries that could not be written. */
  readonly countFailed: (entries: number) => void
}

export class GatewayTrail implements AuditTrail {
  readonly #parts: TrailParts
  readonly #pending = new Set<Promise<boolean>>()
  #pendingEntries = 0

  constructor(parts: TrailParts) {
    this.#parts = parts
  }

  entries(...happenings: readonly Happening[]): NewActivity[] {
    const config = this.#parts.config()
    return happenings.map((happening) => toEntry(happening, config))
  }

  record(...happenings: readonly Happening[]): Promise<boolean> {
    const done = this.#append(this.entries(...happenings))
    this.#pending.add(done)
    void done.then(() => this.#pending.delete(done))
    return done
  }

  /** Resolves when nothing that was recorded is still on its way. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  async #append(entries: readonly NewActivity[]): Promise<boolean> {
    const { activity, log, countFailed } = this.#parts
    this.#pendingEntries += entries.length
    try {
      if (this.#pendingEntries > limits.activity_pending_max)
        throw new Error(`must be at most ${limits.activity_pending_max} entries on their way`)
      const most = limits.activity_append_entries_max
      const parts = Array.from({ length: Math.ceil(entries.length / most) }, (_, at) =>
        activity.append(entries.slice(at * most, (at + 1) * most)),
      )
      await Promise.all(parts)
      return true
    } catch (error) {
      countFailed(entries.length)
      const events = entries.map(({ event_type: event }) => event).slice(0, EVENTS_LOGGED)
      log.error({ err: error, events, entries: entries.length }, 'activity entries could not be written')
      return false
    } finally {
      this.#pendingEntries -= entries.length
    }
  }
}

/** A reload can change a thousand things at once: the log names the first. */
const EVENTS_LOGGED = 10

function toEntry(
  { event, actor, resource, details }: Happening,
  { workspace, environment }: ReturnType<TrailParts['config']>,
): NewActivity {
  const { id, name, email } = workspace
  const { resource: type, scope } = activityEvents[event]
  const { request, activity } = actor
  return {
    event_type: event,
    workspace: {
      ...{ id, name, email },
      environment: scope === 'actor' ? (actor.environment ?? environment) : environment,
    },
    user: { id: actor.id, name: actor.name, email },
    details: {
      ...(request === undefined ? {} : { request: cut(request) as typeof request }),
      ...(activity === undefined ? {} : { activity }),
      ...(cut(details ?? {}) as Record<string, Json>),
    },
    resource: resource === undefined ? { id, name, type, email } : { ...subject(resource), type },
  }
}

function subject({ id, name, ...fields }: NonNullable<Happening['resource']>) {
  const known = Object.entries(fields).filter((entry): entry is [string, Json] => entry[1] !== undefined)
  return { id: id ?? null, name, ...Object.fromEntries(known) }
}

/** The same with every text within its bound: error messages and user agents come from outside. */
function cut(value: Json | undefined): Json {
  if (typeof value === 'string') return value.slice(0, limits.activity_text_chars_max)
  if (Array.isArray(value)) return value.map(cut)
  if (typeof value !== 'object' || value === null) return value ?? null
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, cut(inner)]))
}
