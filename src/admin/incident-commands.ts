/** What the admin port may ask about incidents and notifications, and how it is answered. */
import type { Json } from '../contract/activity.ts'
import type { Actor } from '../contract/audit-trail.ts'
import type {
  ShownMirror,
  Incident,
  IncidentKind,
  IncidentOutcome,
  NotificationChannel,
} from '../contract/incidents.ts'

export interface IncidentView {
  id: number
  kind: IncidentKind
  subject: string
  title: string
  environment: string
  state: Incident['state']
  opened_at: string
  updated_at: string
  /** When the trouble was over; what waited may have taken longer. */
  recovered_at: string | null
  closed_at: string | null
  /** Up to now while it lasts. */
  duration_ms: number
  occurrences: number
  details: Record<string, Json>
  outcome: IncidentOutcome | null
  acknowledged: { at: string; by: string } | null
  notices: {
    channel: NotificationChannel
    event: string
    state: string
    attempts: number
    last_error: string | null
    sent_at: string | null
  }[]
}

/** One incident with what to do about it, as of now. */
export interface IncidentDetailView extends IncidentView {
  steps: { text: string; command?: string }[]
  mirrors: ShownMirror[]
}

export interface IncidentPage {
  readonly state: Incident['state'] | null
  readonly kind: IncidentKind | null
  /** Ids below it. */
  readonly after: number | null
  readonly size: number
}

export interface NotificationTestView {
  channels: { name: NotificationChannel; ok: boolean; error: string | null; latency_ms: number }[]
}

export interface IncidentCommands {
  /** Newest first. */
  page(page: IncidentPage): { data: IncidentView[]; total: number }
  /** These two answer null for an unknown id. */
  get(id: number): IncidentDetailView | null
  acknowledge(id: number, actor: Actor): Promise<IncidentView | null>
  /** Sends a message to every channel now; throws ConflictError when there is none. */
  test(actor: Actor): Promise<NotificationTestView>
}
