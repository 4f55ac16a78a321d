/**
 * Every activity entry that the gateway itself writes: event type → the type of resource it is about, whose
 * environment's log it belongs to, and what it means. docs/activity-events.md is made from it.
 */

interface ActivityEventRow {
  /** `resource.type` of its entries. */
  readonly resource: string
  /**
   * `gateway`: something about this gateway, so it is in the log of the gateway's environment, whoever did
   * it. `actor`: in the log of the client that did it.
   */
  readonly scope: 'gateway' | 'actor'
  readonly meaning: string
}

const about =
  (resource: string, scope: 'gateway' | 'actor') =>
  (meaning: string): ActivityEventRow => ({ resource, scope, meaning })

const workspace = about('Workspace', 'actor')
const client = about('ApiClient', 'actor')
const gateway = about('Gateway', 'gateway')
const configuration = about('Configuration', 'gateway')
const collection = about('Collection', 'gateway')
const connection = about('Connection', 'gateway')
const mirror = about('Mirror', 'gateway')
const stream = about('Stream', 'gateway')
const secret = about('Secret', 'gateway')
const tag = about('Tag', 'actor')
const log = about('ActivityLog', 'actor')
const incident = about('Incident', 'gateway')

export const activityEvents = Object.freeze({
  user_login: workspace(
    'A client signed in: its first request from this address after 60 minutes of silence, a restart of the ' +
      'gateway being none (`token_login`), or a sign-in to the console (`session_login`).',
  ),
  user_login_failed: workspace(
    'A token (`token_login`) or a sign-in to the console (`session_login`) was refused. At most one entry ' +
      'of either per address and minute, with `count`; where too many addresses try at once, one entry for ' +
      'all others.',
  ),
  user_logout: workspace('A client ended its session of the console.'),

  client_created: client('A client of the admin port was created.'),
  client_updated: client('Name, role or expiry of a client were changed.'),
  client_rotated: client('A client got a new token; the old one stays valid for the overlap.'),
  client_deleted: client('A client was deleted: its tokens and sessions are refused from now on.'),
  client_locked_out: workspace('Too many failed sign-ins: the address is refused for a while.'),

  gateway_started: gateway('The gateway accepts requests.'),
  gateway_stopped: gateway('The gateway stopped after a drain; `clean` says whether it was in time.'),
  unclean_shutdown: gateway('The run before this one ended without a stop: it was killed, or crashed.'),
  capture_paused: gateway('All capture was switched off; requests are still forwarded.'),
  capture_resumed: gateway('Capture was switched on again.'),
  log_level_changed: gateway('The log level was changed until the next start or reload.'),

  configuration_loaded: configuration(
    'The configuration was read and applied: at a start, or by a reload that changed nothing.',
  ),
  configuration_rejected: configuration('A reload was refused; the old configuration stays in force.'),
  configuration_changed: configuration(
    'A reload changed the configuration: `changes` names the paths, with old and new values where they ' +
      'cannot be secrets.',
  ),

  collection_created: collection('A collection was added.'),
  collection_updated: collection('A collection was changed; `changes` names the paths.'),
  collection_deleted: collection('A collection was removed.'),
  connection_created: connection('A connection was added.'),
  connection_updated: connection('A connection was changed; `changes` names the paths, never a credential.'),
  connection_deleted: connection('A connection was removed.'),
  connection_disconnected: connection('A person took a connection off: every leg that uses it is paused.'),
  connection_connected: connection('A person put a connection back: its legs deliver again.'),
  connection_lost: connection(
    'The destination of a connection takes no items: the first of its legs is parked. Once per outage.',
  ),
  connection_restored: connection('The destination takes items again: none of its legs is parked any more.'),

  mirror_created: mirror('A mirror was added.'),
  mirror_updated: mirror('A mirror was changed; `changes` names the paths.'),
  mirror_deleted: mirror('A mirror was removed.'),
  mirror_paused: mirror('A person stopped delivery; capture goes on.'),
  mirror_resumed: mirror('A person started delivery again.'),
  mirror_parked: mirror(
    'The destination refuses or does not answer: items wait on disk and a probe goes on. Once per outage.',
  ),
  mirror_recovered: mirror('The destination takes items again: what waited is delivered.'),
  mirror_replayed: mirror('A person had the oldest waiting batches tried at once.'),
  mirror_tested: mirror('A person had a marked sample sent.'),
  mirror_purged: mirror('A person threw the waiting items away; `items` says how many.'),
  mirror_dead_letters_replayed: mirror('A person put the refused items back into the queue.'),
  mirror_dead_letters_deleted: mirror('A person threw the refused items away.'),
  spool_dropped: mirror(
    'Items were lost; `reason` and `items` say why and how many. At most one entry per leg, reason and ' +
      'minute.',
  ),

  stream_created: stream('A stream was added.'),
  stream_updated: stream('A stream was changed; `changes` names the paths.'),
  stream_deleted: stream('A stream was removed.'),
  stream_paused: stream('A person stopped delivery; what it would send waits.'),
  stream_resumed: stream('A person started delivery again.'),
  stream_parked: stream(
    'The destination refuses or does not answer: events wait and a probe goes on. Once per outage.',
  ),
  stream_recovered: stream('The destination takes events again: what waited is delivered.'),
  stream_replayed: stream(
    'A person had the oldest waiting batches tried at once, or a range of the activity log sent again ' +
      '(`from`, `to`).',
  ),
  stream_tested: stream('A person had a marked sample sent.'),
  stream_purged: stream('A person threw the waiting events away; `items` says how many.'),
  stream_dead_letters_replayed: stream('A person put the refused events back into the queue.'),
  stream_dead_letters_deleted: stream('A person threw the refused events away.'),
  stream_dropped: stream(
    'Events were lost; `reason` and `items` say why and how many. At most one entry per leg, reason and ' +
      'minute.',
  ),

  secret_refreshed: secret('A secret was read again and had changed, or was refused by its destination.'),
  secrets_cache_cleared: secret('All cached secrets were forgotten.'),

  incident_opened: incident(
    'Something went wrong that a person should hear of: `kind` and `subject` say what. Once, however long ' +
      'it lasts.',
  ),
  incident_closed: incident('It is over; `outcome` says what was replayed and what was lost meanwhile.'),
  incident_acknowledged: incident('A person has taken notice of it: nobody is reminded of it any more.'),
  notifications_tested: gateway('A person had a test message sent to every channel of notifications.'),

  tag_created: tag('A tag was created.'),
  tag_updated: tag('Title, description or colour of a tag were changed.'),
  tag_deleted: tag('A tag was deleted, and with it its assignments.'),
  tags_assigned: tag('Tags were put on or taken off things.'),

  activity_exported: log('Entries of the activity log were exported.'),
  activity_retention_applied: about(
    'ActivityLog',
    'gateway',
  )('Entries beyond their retention were removed from the activity log.'),
} as const satisfies Record<string, ActivityEventRow>)

export type ActivityEvent = keyof typeof activityEvents
