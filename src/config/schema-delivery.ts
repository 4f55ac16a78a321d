/** Keys of everything that delivers, mirrors and streams: batches, retries, the backlog on disk. */
import { Type } from '../contract/schema.ts'
import { limits } from '../contract/limits.ts'
import { count, DAY, flag, HOUR, MIB, optionalCount, section, strings, text, token } from './fields.ts'

export const sinkName = text('Plugin that writes to the destination.')
export const connectionName = Type.Optional(text('Name of a connection.'))
export const timeoutMs = count(10_000, 100, HOUR, 'Time for one delivery attempt.')
export const maxBytesPerSecond = count(
  0,
  0,
  Number.MAX_SAFE_INTEGER,
  'Delivery speed of one leg; 0 = no limit.',
)

export const statuses = Type.Array(
  Type.String({
    pattern: '^([1-5]xx|[1-5][0-9][0-9])$',
    rule: 'must be a status like "404" or a class like "5xx", in quotes',
  }),
  { default: [], maxItems: 100, description: 'Statuses like "404" or "5xx"; empty = all.' },
)

export const Retry = section(
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

export const Capture = section(
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
)

export const Redact = section(
  {
    defaults: flag(true, 'Whether the built-in names of credentials are redacted.'),
    mode: Type.Enum(['mask', 'remove', 'hash'], {
      default: 'mask',
      description:
        'mask replaces the value, remove takes the field away, hash leaves a token: one value, one token.',
    }),
    hash_secret: Type.Optional(
      text('Key of the tokens of mode hash. Default: data_dir/redaction-key, made at first use.', {
        minLength: 16,
        secret: true,
      }),
    ),
    headers: strings('More header names.', token),
    query: strings('More query and form parameter names.'),
    json_fields: strings('More JSON field names, or JSON pointers that begin with /.'),
    detect: Type.Array(Type.Enum(['card_number', 'ssn', 'email', 'jwt']), {
      default: [],
      uniqueItems: true,
      description: 'Values that are redacted by what they look like, whatever their field is called.',
    }),
  },
  'What is taken out of items before they leave the process.',
)

export const Batch = section(
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
)

export const Spool = section(
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
)
