/** The schema of the two listening sides: clients and the admin port. */
import { environments } from '../contract/environments.ts'
import { Type } from '../contract/schema.ts'
import { count, DAY, entry, flag, HOUR, later, name, optionalCount, section, text } from './fields.ts'

/** What Node's parser knows; CONNECT and TRACE are never forwarded (RFC 9110 §9.3.6, §9.3.8). */
const methods = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY'],
  ...['MOVE', 'LOCK', 'UNLOCK', 'REPORT', 'SEARCH', 'QUERY', 'LINK', 'UNLINK', 'PURGE'],
] as const

export const Listen = section(
  {
    host: text('Address to listen on.', { default: '0.0.0.0' }),
    port: count(8080, 0, 65_535, '0 takes a free port and prints it.'),
    threads: optionalCount(
      1,
      64,
      'Data threads. Default: cores - 1, at least 1, at most one for each 4 MiB of capture.buffer_bytes.',
    ),
    path: Type.Optional(later('Unix socket instead of host and port.')),
    reuse_port: flag(false, 'true lets a second gateway share the port (rolling restarts).'),
    server_header: flag(false, 'Adds `server: mirrorgate` to answers that the gateway makes itself.'),
    http2: Type.Boolean({ default: true, later: true, description: 'HTTP/2 by ALPN, with tls only.' }),
    tls: Type.Optional(later('Certificates for the listener.')),
    trusted_proxies: Type.Array(Type.String({ format: 'cidr' }), {
      default: [],
      maxItems: 1000,
      description: 'Addresses (CIDR) whose Forwarded and X-Forwarded-* headers are believed and extended.',
    }),
    proxy_protocol: Type.Boolean({ default: false, later: true, description: 'PROXY protocol v1 and v2.' }),
    limits: section(
      {
        header_bytes: count(
          32_768,
          1024,
          1_048_576,
          'Bytes of a request head, and of an upstream’s response head.',
        ),
        header_count: count(
          200,
          10,
          10_000,
          'Fields of a request head, and of an upstream’s response head or trailers.',
        ),
        connections: count(10_000, 1, 1_000_000, 'Open client connections, all threads together.'),
        requests_per_connection: count(0, 0, 1_000_000_000, 'Requests on one connection; 0 = no limit.'),
        pipelined: count(
          16,
          1,
          1000,
          'Requests of one connection that wait for their turn before reading stops.',
        ),
      },
      'Limits of the client side.',
    ),
    methods: Type.Array(Type.Enum([...methods]), {
      default: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      minItems: 1,
      uniqueItems: true,
      description: 'Methods that are forwarded; others are answered 405.',
    }),
    timeouts: section(
      {
        header_ms: count(15_000, 100, HOUR, 'Time for a request head to arrive.'),
        idle_ms: count(75_000, 1000, DAY, 'Time a kept-alive connection may be idle.'),
        body_idle_ms: count(
          60_000,
          100,
          DAY,
          'Time between two pieces of a request body, or between two reads of a response.',
        ),
        drain_grace_ms: count(
          2000,
          0,
          HOUR,
          'After SIGTERM: time to still accept connections and answer them with `Connection: close`.',
        ),
        drain_ms: count(30_000, 100, HOUR, 'After SIGTERM: time for everything, then exit code 4.'),
      },
      'Time-outs of the client side.',
    ),
  },
  'The listener for clients.',
)

const AdminClient = entry(
  {
    name: name('Name of the client.'),
    token: text('Bearer token.', {
      secret: true,
      minLength: 8,
      pattern: '^[!-~]+$',
      rule: 'must be printable ASCII without spaces',
    }),
    role: Type.Enum(['admin', 'operator', 'viewer'], {
      default: 'viewer',
      description: 'viewer reads; operator also pauses, replays, tests; admin changes.',
    }),
    environment: Type.Optional(Type.Enum([...environments], { description: 'Default: the gateway’s.' })),
  },
  'One client of the admin port.',
)

export const Admin = section(
  {
    host: text('Address of the admin port.', { default: '127.0.0.1' }),
    port: count(9901, 0, 65_535, '0 takes a free port and prints it.'),
    tls: Type.Optional(later('Certificates for the admin port.')),
    metrics_public: flag(true, 'Whether /metrics answers without a token.'),
    rate_limits: section(
      {
        environment_per_minute: count(
          60,
          0,
          1_000_000,
          'For activity logs, tags, tag assignments and the secrets cache; 0 = no limit.',
        ),
        default_per_minute: count(0, 0, 1_000_000, 'For everything else; 0 = no limit.'),
      },
      'Requests that one client may make; beyond it the answer is 429 with Retry-After.',
    ),
    clients: Type.Array(AdminClient, {
      default: [],
      maxItems: 100,
      description:
        'Who may use the admin port. None: one admin token is generated into data_dir/admin-token.',
    }),
  },
  'The admin port.',
)
