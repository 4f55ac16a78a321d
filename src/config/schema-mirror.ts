/** The schema of connections and of what every mirror has; a sink's own keys stand beside these. */
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { count, DAY, entry, flag, name, section, strings, tagHandles, text } from './fields.ts'
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
import { ClientTls } from './schema-tls.ts'

const connectionNameRule =
  'must begin with a letter or digit and hold only letters, digits, spaces, dot, dash, underscore, at most 64'
const path = { pattern: '^[/*]', rule: 'must be a path that begins with / or *' }
const mediaType = {
  pattern: '^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/(\\*|[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*)$',
  rule: 'must be a media type like application/json or text/*',
}

export const Connection = entry(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$',
      rule: connectionNameRule,
      description: 'Name of the connection; may hold spaces.',
    }),
    base_url: Type.Optional(
      text('When set, destination URLs are paths under it or begin with it.', { format: 'base-url' }),
    ),
    headers: Type.Record(Type.String(), Type.String({ secret: true }), {
      default: {},
      description: 'Header authentication: sent verbatim with every delivery.',
    }),
    case_sensitive_headers: flag(
      false,
      'true: header names on the wire exactly as typed; false: lower-case.',
    ),
    tls: Type.Optional(ClientTls),
    proxy_url: Type.Optional(text('http proxy for deliveries.', { format: 'proxy-url' })),
  },
  'A reusable endpoint.',
)

/** Keys that every mirror has; a sink's own keys stand beside them. */
export const MirrorCommon = entry(
  {
    name: name('Name of the mirror.'),
    enabled: flag(true, 'false stops capture.'),
    sink: sinkName,
    connection: connectionName,
    format: Type.Optional(text('Item format, where the sink has a choice.')),
    template: Type.Optional(
      text(
        'With format template: JSON with {{{placeholders}}}, filled in for each item (docs/messages.md).',
        {
          maxLength: limits.template_chars_max,
        },
      ),
    ),
    sample: section(
      {
        rate: Type.Number({
          default: 1,
          minimum: 0,
          maximum: 1,
          description: 'Share of exchanges that are captured.',
        }),
        key: Type.Optional(
          Type.String({
            pattern: '^(client_ip|header:[A-Za-z0-9-]+|cookie:[A-Za-z0-9_-]+)$',
            rule: 'must be client_ip, header:<name> or cookie:<name>',
            description: 'Same key, same decision: client_ip, header:<name>, cookie:<name>.',
          }),
        ),
      },
      'Sampling.',
    ),
    match: section(
      {
        methods: strings('Methods; empty = all.', {
          pattern: '^[A-Z][A-Z-]*$',
          rule: 'must be a method in capitals',
        }),
        paths: strings('Paths, * for any run of characters; empty = all.', path),
        exclude_paths: strings('Paths that are not mirrored.', path),
        statuses,
        content_types: strings(
          'Media types of the response, like application/json or text/*; empty = all.',
          mediaType,
        ),
        min_duration_ms: count(0, 0, DAY, 'Only exchanges that took at least this long.'),
        tags: tagHandles('Handles of tags: only collections that bear one of them, by this file or by API.'),
      },
      'Which exchanges are mirrored; all rules must hold.',
    ),
    capture: Capture,
    redact: Redact,
    batch: Batch,
    retry: Retry,
    timeout_ms: timeoutMs,
    concurrency: count(4, 1, 64, 'Deliveries of one leg at a time; 1 keeps order.'),
    max_bytes_per_second: maxBytesPerSecond,
    spool: Spool,
  },
  'A mirror: which exchanges, redacted how, to which connection.',
)
