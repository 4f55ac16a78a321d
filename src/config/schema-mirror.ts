/** The schema of connections and of what every mirror has; a sink's own keys stand beside these. */
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import {
  count,
  DAY,
  entry,
  flag,
  HOUR,
  MIB,
  name,
  optionalCount,
  section,
  strings,
  tagHandles,
  text,
  token,
} from './fields.ts'

const connectionNameRule =
  'must begin with a letter or digit and hold only letters, digits, spaces, dot, dash, underscore, at most 64'
const path = { pattern: '^[/*]', rule: 'must be a path that begins with / or *' }
const mediaType = {
  pattern: '^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/(\\*|[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*)$',
  rule: 'must be a media type like application/json or text/*',
}

const Tls = entry(
  {
    ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    cert_file: Type.Optional(text('PEM file with the client certificate.')),
    key_file: Type.Optional(text('PEM file with its key.')),
    verify: flag(true, 'Whether the certificate is verified; false is for tests only.'),
    server_name: Type.Optional(text('Server name (SNI) to ask for and to verify.')),
  },
  'TLS options.',
)

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
    tls: Type.Optional(Tls),
    proxy_url: Type.Optional(text('http proxy for deliveries.', { format: 'proxy-url' })),
  },
  'A reusable endpoint.',
)

const Retry = section(
  {
    attempts: count(3, 0, 100, 'Retries after the first try.'),
    within_ms: optionalCount(
      100,
      DAY,
      'The retries are spread over this window, time-outs included. Default: 600000, where no wait is set.',
    ),
    min_wait_ms: optionalCount(
      10,
      HOUR,
      'Instead of within_ms: the first wait; doubles. Default: 1000, where max_wait_ms is set.',
    ),
    max_wait_ms: optionalCount(
      10,
      DAY,
      'Instead of within_ms: the longest wait. Default: 30000, where min_wait_ms is set.',
    ),
    probe_ms: count(
      5000,
      100,
      HOUR,
      'How often a destination that is down is probed; doubles up to 60 s while parked.',
    ),
  },
  'Retry policy of a batch.',
)

/** Keys that every mirror has; a sink's own keys stand beside them. */
export const MirrorCommon = entry(
  {
    name: name('Name of the mirror.'),
    enabled: flag(true, 'false stops capture.'),
    sink: text('Plugin that writes to the destination.'),
    connection: Type.Optional(text('Name of a connection.')),
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
        statuses: Type.Array(
          Type.String({
            pattern: '^([1-5]xx|[1-5][0-9][0-9])$',
            rule: 'must be a status like "404" or a class like "5xx", in quotes',
          }),
          { default: [], maxItems: 100, description: 'Statuses like "404" or "5xx"; empty = all.' },
        ),
        content_types: strings(
          'Media types of the response, like application/json or text/*; empty = all.',
          mediaType,
        ),
        min_duration_ms: count(0, 0, DAY, 'Only exchanges that took at least this long.'),
        tags: tagHandles('Handles of tags: only collections that bear one of them, by this file or by API.'),
      },
      'Which exchanges are mirrored; all rules must hold.',
    ),
    capture: section(
      {
        request_body: flag(true, 'Whether request bodies are captured.'),
        response_body: flag(true, 'Whether response bodies are captured.'),
        body_bytes: count(
          262_144,
          0,
          limits.body_bytes_max,
          'Bytes of each body that are kept; the rest is counted, the item is marked truncated.',
        ),
        decode: flag(true, 'Whether content-encoding is undone.'),
        websocket: Type.Enum(['exchange', 'messages'], {
          default: 'exchange',
          later: true,
          description: 'What of a WebSocket is mirrored.',
        }),
      },
      'What of an exchange is kept.',
    ),
    redact: section(
      {
        defaults: flag(true, 'Whether the built-in names of credentials are redacted.'),
        mode: Type.Enum(['mask', 'remove', 'hash'], {
          default: 'mask',
          laterValues: ['hash'],
          description: 'mask replaces the value, remove takes the field away.',
        }),
        headers: strings('More header names.', token),
        query: strings('More query and form parameter names.'),
        json_fields: strings('More JSON field names, or JSON pointers that begin with /.'),
        detect: Type.Array(Type.Enum(['card_number', 'ssn', 'email', 'jwt']), {
          default: [],
          later: true,
          description: 'Built-in detectors.',
        }),
      },
      'What is taken out of items before they leave the process.',
    ),
    batch: section(
      {
        max_items: count(500, 1, 100_000, 'Items of one batch.'),
        max_bytes: count(4_000_000, 1024, 64 * MIB, 'Bytes of one batch, uncompressed.'),
        max_wait_ms: count(1000, 10, HOUR, 'How long an item waits for others.'),
        compression: Type.Enum(['none', 'gzip', 'zstd'], {
          default: 'none',
          description: 'Content-Encoding of deliveries.',
        }),
      },
      'Batches.',
    ),
    retry: Retry,
    timeout_ms: count(10_000, 100, HOUR, 'Time for one delivery attempt.'),
    concurrency: count(4, 1, 64, 'Deliveries of one leg at a time; 1 keeps order.'),
    max_bytes_per_second: count(0, 0, Number.MAX_SAFE_INTEGER, 'Delivery speed of one leg; 0 = no limit.'),
    spool: section(
      {
        max_bytes: count(
          1_073_741_824,
          1_048_576,
          Number.MAX_SAFE_INTEGER,
          'Disk for the backlog of this mirror, shared evenly by its legs.',
        ),
        retention_ms: count(
          604_800_000,
          1000,
          366 * DAY,
          'Age after which waiting items are dropped as expired.',
        ),
        when_full: Type.Enum(['drop_oldest', 'drop_newest'], {
          default: 'drop_oldest',
          description: 'What gives way when the spool is full.',
        }),
        fsync_ms: count(1000, 0, HOUR, 'How often appended frames are flushed to the disk; 0 = every frame.'),
      },
      'The backlog on disk.',
    ),
  },
  'A mirror: which exchanges, redacted how, to which connection.',
)
