/**
 * The schema of gateway.yaml: one value gives the types, the validation, the defaults, the reference page and the
 * JSON Schema for editors. Names are fixed by users' files: extend, never rename.
 *
 * `later: true` marks a key that is reserved: it accepts only its default, and says so otherwise.
 */
import { type Static, type TObject, type TSchema, Type } from 'typebox'
import { limits } from '../contract/limits.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** A section: an object that refuses unknown keys and fills its own defaults when it is left out. */
function section<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { additionalProperties: false, default: {}, description })
}
/** An element of a list: refuses unknown keys; has no default of its own. */
function entry<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { additionalProperties: false, description })
}
const ms = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum, description })
const count = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum, description })
const flag = (value: boolean, description: string) => Type.Boolean({ default: value, description })
const text = (description: string, extra: object = {}) => Type.String({ minLength: 1, maxLength: 4096, description, ...extra })
const strings = (description: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { default: [], maxItems: 200, description })
const name = (description: string) =>
  Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: `${description} Letters, digits, dot, dash, underscore; at most 64.` })

export const environments = ['dev', 'sandbox', 'test', 'stage', 'uat', 'preprod', 'prod'] as const

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

const Listen = section(
  {
    host: text('Address to listen on.', { default: '0.0.0.0' }),
    port: count(8080, 0, 65_535, '0 takes a free port and prints it.'),
    threads: Type.Optional(count(1, 1, 64, 'Data threads. Default: cores - 1, at least 1.')),
    path: Type.Optional(Type.Any({ later: true, description: 'Unix socket instead of host and port.' })),
    reuse_port: flag(false, 'true lets a second gateway share the port (rolling restarts).'),
    server_header: flag(false, 'Adds `server: mirrorgate` to answers that the gateway makes itself.'),
    http2: Type.Boolean({ default: true, later: true, description: 'HTTP/2 by ALPN, with tls only.' }),
    tls: Type.Optional(Type.Any({ later: true, description: 'Certificates for the listener.' })),
    trusted_proxies: Type.Array(Type.String({ format: 'cidr' }), {
      default: [],
      maxItems: 1000,
      description: 'Addresses (CIDR) whose Forwarded and X-Forwarded-* headers are believed and extended.',
    }),
    proxy_protocol: Type.Boolean({ default: false, later: true, description: 'PROXY protocol v1 and v2.' }),
    limits: section(
      {
        header_bytes: count(32_768, 1024, 1_048_576, 'Bytes of a request head, and of an upstream’s response head.'),
        header_count: count(200, 10, 10_000, 'Header fields of a request.'),
        connections: count(10_000, 1, 1_000_000, 'Open client connections, all threads together.'),
        requests_per_connection: count(0, 0, 1_000_000_000, 'Requests on one connection; 0 = no limit.'),
        pipelined: count(16, 1, 1000, 'Requests of one connection that wait for their turn before reading stops.'),
      },
      'Limits of the client side.',
    ),
    methods: Type.Array(Type.Enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'REPORT', 'SEARCH', 'QUERY', 'LINK', 'UNLINK', 'PURGE']), {
      default: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      minItems: 1,
      uniqueItems: true,
      description: 'Methods that are forwarded; others are answered 405.',
    }),
    timeouts: section(
      {
        header_ms: ms(15_000, 100, HOUR, 'Time for a request head to arrive.'),
        idle_ms: ms(75_000, 1000, DAY, 'Time a kept-alive connection may be idle.'),
        body_idle_ms: ms(60_000, 100, DAY, 'Time between two pieces of a request body, or between two reads of a response.'),
        drain_grace_ms: ms(2000, 0, HOUR, 'After SIGTERM: time in which connections are still accepted and answered with `Connection: close`.'),
        drain_ms: ms(30_000, 100, HOUR, 'After SIGTERM: time for everything, then exit code 4.'),
      },
      'Time-outs of the client side.',
    ),
  },
  'The listener for clients.',
)

const AdminClient = entry(
  {
    name: name('Name of the client.'),
    token: text('Bearer token.', { secret: true, minLength: 8 }),
    role: Type.Enum(['admin', 'operator', 'viewer'], { default: 'viewer', description: 'viewer reads; operator also pauses, replays, tests; admin changes.' }),
    environment: Type.Optional(Type.Enum([...environments], { description: 'Default: the gateway’s.' })),
  },
  'One client of the admin port.',
)

const Admin = section(
  {
    host: text('Address of the admin port.', { default: '127.0.0.1' }),
    port: count(9901, 0, 65_535, '0 takes a free port and prints it.'),
    tls: Type.Optional(Type.Any({ later: true, description: 'Certificates for the admin port.' })),
    metrics_public: flag(true, 'Whether /metrics answers without a token.'),
    clients: Type.Array(AdminClient, { default: [], maxItems: 100, description: 'Who may use the admin port. None: one admin token is generated into data_dir/admin-token.' }),
  },
  'The admin port.',
)

const Upstream = entry(
  {
    url: text('http URL of the upstream: scheme, host, port.', { format: 'upstream-url' }),
    weight: count(1, 1, 1000, 'Share of requests.'),
    http2: Type.Boolean({ default: false, later: true, description: 'HTTP/2 to this upstream.' }),
  },
  'One upstream.',
)

const Collection = entry(
  {
    name: name('Name of the collection.'),
    hosts: Type.Array(Type.String({ format: 'host-pattern' }), { default: [], maxItems: 1000, description: 'Exact names or *.example.com; empty = any host.' }),
    prefix: Type.String({ default: '/', pattern: '^/[^?#\\s]*$', maxLength: 1024, description: 'Path prefix; the longest wins, on segment borders.' }),
    strip_prefix: flag(false, 'Whether the prefix is removed before forwarding.'),
    upstreams: Type.Array(Upstream, { minItems: 1, maxItems: 256, description: 'Where requests go.' }),
    tags: Type.Array(Type.String(), { default: [], later: true, description: 'Handles of tags, for match rules.' }),
    balance: Type.Enum(['round_robin', 'least_requests', 'hash'], { default: 'round_robin', later: true, description: 'How an upstream is chosen.' }),
    hash_key: Type.Optional(Type.Any({ later: true, description: 'client_ip or header:<name>, for balance: hash.' })),
    host_header: Type.Enum(['client', 'upstream'], { default: 'client', description: 'Which Host the upstream sees.' }),
    health_check: Type.Optional(Type.Any({ later: true, description: 'Active health checks.' })),
    eject: section(
      {
        after_failures: count(5, 1, 1000, 'Failures in a row after which an upstream is left out.'),
        for_ms: ms(30_000, 100, DAY, 'For how long.'),
      },
      'Passive health: an upstream that fails is left out for a while; never the last one standing.',
    ),
    slow_start_ms: Type.Integer({ default: 0, minimum: 0, maximum: HOUR, later: true, description: 'Ramp-up of an upstream that is back.' }),
    retry: section(
      {
        attempts: count(1, 0, 5, 'Further tries on the next upstream, for what was never sent or is idempotent without a body.'),
        budget: Type.Number({ default: 0.2, minimum: 0, maximum: 1, description: 'Retries may be at most this share of requests.' }),
      },
      'Retries towards upstreams.',
    ),
    tls: Type.Optional(Type.Any({ later: true, description: 'TLS towards https upstreams.' })),
    timeouts: section(
      {
        connect_ms: ms(2000, 10, HOUR, 'Time to connect to the upstream.'),
        response_ms: ms(60_000, 10, DAY, 'Time from the request being sent to the response head.'),
        idle_ms: ms(300_000, 10, DAY, 'Time between two pieces of a response body.'),
      },
      'Time-outs of the upstream side.',
    ),
    limits: section(
      {
        body_bytes: count(0, 0, Number.MAX_SAFE_INTEGER, 'Bytes of a request body; 0 = no limit.'),
        connections_per_upstream: count(256, 1, 65_535, 'Connections to one upstream, per data thread.'),
        pending: count(1024, 0, 1_000_000, 'Requests that may wait for a connection, per data thread; one more is answered 503 overloaded.'),
      },
      'Limits of the upstream side.',
    ),
    mirrors: Type.Array(Type.String(), { default: [], maxItems: limits.mirrors_per_collection_max, uniqueItems: true, description: 'Names of the mirrors that see this collection.' }),
  },
  'One API collection.',
)

const Connection = entry(
  {
    name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$', description: 'Name of the connection; may hold spaces.' }),
    base_url: Type.Optional(text('When set, destination URLs are paths under it or begin with it.', { format: 'http-url' })),
    headers: Type.Record(Type.String(), Type.String({ secret: true }), { default: {}, description: 'Header authentication: sent verbatim with every delivery.' }),
    case_sensitive_headers: flag(false, 'true: header names on the wire exactly as typed; false: lower-case.'),
    tls: Type.Optional(Tls),
    proxy_url: Type.Optional(text('http proxy for deliveries.', { format: 'http-url' })),
  },
  'A reusable endpoint.',
)

const Retry = section(
  {
    attempts: count(3, 0, 100, 'Retries after the first try.'),
    within_ms: Type.Optional(ms(600_000, 100, DAY, 'Spread the retries over this window, time-outs included. Default 600000.')),
    min_wait_ms: Type.Optional(ms(1000, 10, HOUR, 'Instead of within_ms: the first wait; doubles.')),
    max_wait_ms: Type.Optional(ms(30_000, 10, DAY, 'Instead of within_ms: the longest wait.')),
    probe_ms: ms(5000, 100, HOUR, 'How often a destination that is down is probed; doubles up to 60 s while parked.'),
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
    sample: section(
      {
        rate: Type.Number({ default: 1, minimum: 0, maximum: 1, description: 'Share of exchanges that are captured.' }),
        key: Type.Optional(Type.String({ pattern: '^(client_ip|header:[A-Za-z0-9-]+|cookie:[A-Za-z0-9_-]+)$', description: 'Same key, same decision: client_ip, header:<name>, cookie:<name>.' })),
      },
      'Sampling.',
    ),
    match: section(
      {
        methods: strings('Methods; empty = all.'),
        paths: strings('Paths, * for any run of characters; empty = all.'),
        exclude_paths: strings('Paths that are not mirrored.'),
        statuses: Type.Array(Type.String({ pattern: '^([1-5]xx|[1-5][0-9][0-9])$' }), { default: [], maxItems: 100, description: 'Statuses like "404" or "5xx"; empty = all.' }),
        content_types: strings('Media types of the response, like application/json or text/*; empty = all.'),
        min_duration_ms: count(0, 0, DAY, 'Only exchanges that took at least this long.'),
        tags: Type.Array(Type.String(), { default: [], later: true, description: 'Tags of collections.' }),
      },
      'Which exchanges are mirrored; all rules must hold.',
    ),
    capture: section(
      {
        request_body: flag(true, 'Whether request bodies are captured.'),
        response_body: flag(true, 'Whether response bodies are captured.'),
        body_bytes: count(262_144, 0, limits.body_bytes_max, 'Bytes of each body that are kept; the rest is counted, the item is marked truncated.'),
        decode: flag(true, 'Whether content-encoding is undone.'),
        websocket: Type.Enum(['exchange', 'messages'], { default: 'exchange', later: true, description: 'What of a WebSocket is mirrored.' }),
      },
      'What of an exchange is kept.',
    ),
    redact: section(
      {
        defaults: flag(true, 'Whether the built-in names of credentials are redacted.'),
        mode: Type.Enum(['mask', 'remove', 'hash'], { default: 'mask', laterValues: ['hash'], description: 'mask replaces the value, remove takes the field away.' }),
        headers: strings('More header names.'),
        query: strings('More query and form parameter names.'),
        json_fields: strings('More JSON field names, or JSON pointers that begin with /.'),
        detect: Type.Array(Type.Enum(['card_number', 'ssn', 'email', 'jwt']), { default: [], later: true, description: 'Built-in detectors.' }),
      },
      'What is taken out of items before they leave the process.',
    ),
    batch: section(
      {
        max_items: count(500, 1, 100_000, 'Items of one batch.'),
        max_bytes: count(4_000_000, 1024, 64 * 1024 * 1024, 'Bytes of one batch, uncompressed.'),
        max_wait_ms: ms(1000, 10, HOUR, 'How long an item waits for others.'),
        compression: Type.Enum(['none', 'gzip', 'zstd'], { default: 'none', description: 'Content-Encoding of deliveries.' }),
      },
      'Batches.',
    ),
    retry: Retry,
    timeout_ms: ms(10_000, 100, HOUR, 'Time for one delivery attempt.'),
    concurrency: count(4, 1, 64, 'Deliveries of one leg at a time; 1 keeps order.'),
    max_bytes_per_second: count(0, 0, Number.MAX_SAFE_INTEGER, 'Delivery speed of one leg; 0 = no limit.'),
    spool: section(
      {
        max_bytes: count(1_073_741_824, 1_048_576, Number.MAX_SAFE_INTEGER, 'Disk for the backlog of this mirror, shared evenly by its legs.'),
        retention_ms: ms(604_800_000, 1000, 366 * DAY, 'Age after which waiting items are dropped as expired.'),
        when_full: Type.Enum(['drop_oldest', 'drop_newest'], { default: 'drop_oldest', description: 'What gives way when the spool is full.' }),
        fsync_ms: ms(1000, 0, HOUR, 'How often appended frames are flushed to the disk; 0 = every frame.'),
      },
      'The backlog on disk.',
    ),
  },
  'A mirror: which exchanges, redacted how, to which connection.',
)

export const GatewaySchema = Type.Object(
  {
    environment: Type.Enum([...environments], { default: 'dev', description: 'Environment of this gateway; stamped into items.' }),
    workspace: section(
      {
        id: count(1, 0, Number.MAX_SAFE_INTEGER, 'Id of the workspace.'),
        name: text('Name of the workspace.', { default: 'mirrorgate' }),
        email: text('Address of the workspace.', { default: 'ops@example.com' }),
        time_zone: text('IANA time zone.', { default: 'UTC', format: 'time-zone' }),
      },
      'Stamped into activity entries.',
    ),
    data_dir: text('Folder of the store, the spools and generated keys, relative to this file; locked while in use.', { default: './data' }),
    plugins: Type.Array(Type.String(), { default: [], later: true, description: 'Plugins outside the tree, paths beside this file.' }),
    listen: Listen,
    admin: Admin,
    collections: Type.Array(Collection, { minItems: 1, maxItems: limits.collections_max, description: 'API collections. The only required section.' }),
    connections: Type.Array(Connection, { default: [], maxItems: 1000, description: 'Reusable endpoints.' }),
    mirrors: Type.Array(MirrorCommon, { default: [], maxItems: limits.mirrors_max / 2, description: 'Mirrors.' }),
    capture: section(
      {
        buffer_bytes: count(67_108_864, 4_194_304, Number.MAX_SAFE_INTEGER, 'Memory for captures (open exchanges and slabs), all threads together.'),
        flush_after_ms: ms(200, 10, 10_000, 'How long a captured exchange may stay in memory before it goes to the recorder.'),
      },
      'Memory of the capture path.',
    ),
    logging: section(
      {
        level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info', description: 'Lowest level that is written.' }),
        format: Type.Enum(['auto', 'json', 'pretty'], { default: 'auto', description: 'auto: pretty on a terminal, JSON lines otherwise.' }),
        access_log: Type.Boolean({ default: false, later: true, description: 'One line per request.' }),
      },
      'Logs on stdout.',
    ),
  },
  { additionalProperties: false, description: 'gateway.yaml' },
)

/** The file as validated: defaults filled in, secrets resolved. */
export type GatewayFile = Static<typeof GatewaySchema>
export type CollectionConfig = Static<typeof Collection>
export type ConnectionConfig = Static<typeof Connection>
export type ListenConfig = Static<typeof Listen>
export type AdminConfig = Static<typeof Admin>

/** A mirror whose sink's own keys are split off into `options`, with what its sink fixes. */
export type MirrorConfig = Static<typeof MirrorCommon> & {
  /** The sink's own keys, validated by its schema, URLs made absolute where the connection has a base URL. */
  readonly options: Readonly<Record<string, unknown>>
  /** Item format in use: the mirror's choice or the sink's first. */
  readonly item_format: 'pair' | 'exchange' | 'ndjson'
  /** The mirror's legs, from its sink. */
  readonly legs: readonly { readonly name: string; readonly half: 'request' | 'response' | 'exchange'; readonly url: string }[]
  /** Largest item that its sink takes. */
  readonly item_bytes_max: number
}

/** One frozen configuration: plain data, can be cloned to any thread. */
export type Config = Omit<GatewayFile, 'mirrors' | 'listen'> & {
  /** Increases with each applied configuration; 1 at start. */
  readonly generation: number
  /** First 16 hex digits of the SHA-256 of the effective configuration. */
  readonly hash: string
  readonly listen: ListenConfig & { readonly threads: number }
  readonly mirrors: readonly MirrorConfig[]
}

export type SinkOptions = TObject
