/** The kinds of events that a stream may ask for, and where each of them comes from. */
import type { ActivityEvent } from './activity-events.ts'

/** Read from the activity log. */
const activityKinds = ['activity', 'authentication', 'configuration'] as const
/** Captured from traffic. */
export const apiKinds = ['api_summary', 'api_details'] as const
/** Posted by systems around the gateway; so is every other name. */
export const jobKinds = ['job_summary', 'job_details'] as const

export const streamKinds: readonly string[] = [...activityKinds, ...apiKinds, ...jobKinds]

/** One leg each: the audit log, captured exchanges, posted events. */
export const streamSources = ['activity', 'api', 'events'] as const
export type StreamSource = (typeof streamSources)[number]

function sourceOf(kind: string): StreamSource {
  if ((activityKinds as readonly string[]).includes(kind)) return 'activity'
  return (apiKinds as readonly string[]).includes(kind) ? 'api' : 'events'
}

/** Where the events of these kinds come from, in the order of the legs. */
export function sourcesOf(kinds: readonly string[]): StreamSource[] {
  return streamSources.filter((source) => kinds.some((kind) => sourceOf(kind) === source))
}

/** Kinds of these that are posted: what `POST /api/events` may bring. */
export function postedKinds(kinds: readonly string[]): string[] {
  return kinds.filter((kind) => sourceOf(kind) === 'events')
}

const authentication: readonly ActivityEvent[] = [
  'user_login',
  'user_login_failed',
  'user_logout',
  'client_locked_out',
]

const configuration: readonly ActivityEvent[] = [
  'configuration_loaded',
  'configuration_rejected',
  'configuration_changed',
  'capture_paused',
  'capture_resumed',
  'log_level_changed',
  'collection_created',
  'collection_updated',
  'collection_deleted',
  'connection_created',
  'connection_updated',
  'connection_deleted',
  'connection_disconnected',
  'connection_connected',
  'mirror_created',
  'mirror_updated',
  'mirror_deleted',
  'mirror_paused',
  'mirror_resumed',
  'stream_created',
  'stream_updated',
  'stream_deleted',
  'stream_paused',
  'stream_resumed',
  'client_created',
  'client_updated',
  'client_rotated',
  'client_deleted',
  'tag_created',
  'tag_updated',
  'tag_deleted',
  'tags_assigned',
]

/** Types of the entries that these kinds ask the log for; null for all of them. */
export function activityTypes(kinds: readonly string[]): readonly string[] | null {
  if (kinds.includes('activity')) return null
  return [
    ...(kinds.includes('authentication') ? authentication : []),
    ...(kinds.includes('configuration') ? configuration : []),
  ]
}
