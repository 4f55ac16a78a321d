/** From the words of a stream to a filter of the activity log. */
import type { Config, StreamConfig } from '../config/schema.ts'
import type { EntryFilter } from '../contract/activity.ts'
import { activityTypes } from '../contract/stream-events.ts'

/** What an activity stream asks the log for. */
export function filterOf({ events, match }: StreamConfig, environment: Config['environment']): EntryFilter {
  const kinds = activityTypes(events)
  const wanted = match.event_types.map((type) => type.toLowerCase())
  const types =
    kinds === null ? wanted : wanted.length === 0 ? kinds : kinds.filter((type) => wanted.includes(type))
  return {
    environment,
    ...((kinds !== null || wanted.length > 0) && { includeEventTypes: types }),
    ...(match.exclude_event_types.length > 0 && { excludeEventTypes: match.exclude_event_types }),
    ...(match.resource_types.length > 0 && { includeResourceTypes: match.resource_types }),
    ...(match.exclude_resource_types.length > 0 && { excludeResourceTypes: match.exclude_resource_types }),
    ...(match.portal_ids.length > 0 && { portals: match.portal_ids }),
  }
}
