/** The schema of what every stream has; a sink's own keys stand beside these. */
import { Type } from '../contract/schema.ts'
import { entry, flag, name, section, strings, tagHandles, text } from './fields.ts'
import {
  Batch,
  Capture,
  connectionName,
  maxBytesPerSecond,
  Redact,
  Retry,
  sinkName,
  Spool,
  statuses,
  timeoutMs,
} from './schema-delivery.ts'

/** Longest template of a message. */
const MESSAGE_CHARS_MAX = 65_536

const eventType = {
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
  rule: 'must begin with a letter or digit and hold only letters, digits, dot, dash, underscore, at most 64',
}

/** Keys that every stream has; a sink's own keys stand beside them. */
export const StreamCommon = entry(
  {
    name: name('Name of the stream.'),
    enabled: flag(
      true,
      'false stops it: the activity log is read on from there once it is true again, all else is not kept.',
    ),
    sink: sinkName,
    connection: connectionName,
    events: Type.Array(Type.String(eventType), {
      minItems: 1,
      maxItems: 50,
      uniqueItems: true,
      description:
        'What it sends: activity, authentication and configuration (entries of the activity log), ' +
        'api_summary or api_details (exchanges), job_summary, job_details and names of your own (posted).',
    }),
    match: section(
      {
        event_types: strings('Types of entries of the activity log, or of posted events; empty = all.'),
        exclude_event_types: strings('Types that are not sent.'),
        resource_types: strings('Types of resources of entries of the activity log; empty = all.'),
        exclude_resource_types: strings('Types of resources that are not sent.'),
        portal_ids: strings('Portals: their sign-ins alone of the activity log; empty = everything.'),
        collections: strings('Names of the collections whose exchanges are sent; empty = all.'),
        methods: strings('Methods of exchanges; empty = all.', {
          pattern: '^[A-Z][A-Z-]*$',
          rule: 'must be a method in capitals',
        }),
        statuses,
        tags: tagHandles('Handles of tags: only exchanges of collections that bear one of them.'),
      },
      'Which events are sent; all rules must hold. A rule says nothing about events that it cannot apply to.',
    ),
    start: text(
      'Where a new stream begins in the activity log: now, beginning, or a time like 2026-11-21T08:00:00Z.',
      {
        default: 'now',
        format: 'stream-start',
      },
    ),
    message: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MESSAGE_CHARS_MAX,
        description: 'Template of the message: JSON with {{{log_message}}}, {{{now_utc}}} and others.',
      }),
    ),
    format: Type.Enum(['json', 'ndjson', 'cef', 'cps'], {
      default: 'json',
      description: 'json: as the sink sends items by default; ndjson: one per line; cef, cps: audit formats.',
    }),
    mask_data: flag(false, 'true: inputs and outputs of jobs, and bodies of exchanges, are masked.'),
    capture: Capture,
    redact: Redact,
    batch: Batch,
    retry: Retry,
    timeout_ms: timeoutMs,
    max_bytes_per_second: maxBytesPerSecond,
    spool: Spool,
  },
  'A stream: which events, in which form, to which connection, in order.',
)
