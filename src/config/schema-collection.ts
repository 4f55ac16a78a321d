/** The schema of an API collection. */
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { count, DAY, entry, flag, HOUR, later, name, section, tagHandles, text } from './fields.ts'
import { ClientTls } from './schema-tls.ts'

const Upstream = entry(
  {
    url: text('Where it is: http or https with host and port, or unix: and a path.', {
      format: 'upstream-url',
    }),
    weight: count(1, 1, 1000, 'Share of requests.'),
    http2: Type.Boolean({ default: false, later: true, description: 'HTTP/2 to this upstream.' }),
  },
  'One upstream.',
)

export const Collection = entry(
  {
    name: name('Name of the collection.'),
    hosts: Type.Array(Type.String({ format: 'host-pattern' }), {
      default: [],
      maxItems: 1000,
      description: 'Exact names or *.example.com; empty = any host.',
    }),
    prefix: Type.String({
      default: '/',
      pattern: '^/[^?#\\s]*$',
      maxLength: 1024,
      rule: 'must be a path that begins with / and holds no spaces, ? or #',
      description: 'Path prefix; the longest wins, on segment borders.',
    }),
    strip_prefix: flag(false, 'Whether the prefix is removed before forwarding.'),
    upstreams: Type.Array(Upstream, { minItems: 1, maxItems: 256, description: 'Where requests go.' }),
    tags: tagHandles('Handles of tags that it bears, besides those given to it by API; for match rules.'),
    balance: Type.Enum(['round_robin', 'least_requests', 'hash'], {
      default: 'round_robin',
      later: true,
      description: 'How an upstream is chosen.',
    }),
    hash_key: Type.Optional(later('client_ip or header:<name>, for balance: hash.')),
    host_header: Type.Enum(['client', 'upstream'], {
      default: 'client',
      description: 'Which Host the upstream sees.',
    }),
    health_check: Type.Optional(later('Active health checks.')),
    eject: section(
      {
        after_failures: count(5, 1, 1000, 'Failures in a row after which an upstream is left out.'),
        for_ms: count(30_000, 100, DAY, 'For how long.'),
      },
      'Passive health: an upstream that fails is left out for a while; never the last one standing.',
    ),
    slow_start_ms: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: HOUR,
      later: true,
      description: 'Ramp-up of an upstream that is back.',
    }),
    retry: section(
      {
        attempts: count(
          1,
          0,
          5,
          'Further tries on the next upstream, for what was never sent or is idempotent without a body.',
        ),
        budget: Type.Number({
          default: 0.2,
          minimum: 0,
          maximum: 1,
          description: 'Retries may be at most this share of requests.',
        }),
      },
      'Retries towards upstreams.',
    ),
    tls: Type.Optional(ClientTls),
    timeouts: section(
      {
        connect_ms: count(2000, 10, HOUR, 'Time to connect to the upstream.'),
        response_ms: count(60_000, 10, DAY, 'Time from the request being sent to the response head.'),
        idle_ms: count(300_000, 10, DAY, 'Time between two pieces of a response body.'),
      },
      'Time-outs of the upstream side.',
    ),
    limits: section(
      {
        body_bytes: count(0, 0, Number.MAX_SAFE_INTEGER, 'Bytes of a request body; 0 = no limit.'),
        connections_per_upstream: count(256, 1, 65_535, 'Connections to one upstream, per data thread.'),
        pending: count(
          1024,
          0,
          1_000_000,
          'Requests that may wait for a connection, per data thread; one more is answered 503 overloaded.',
        ),
      },
      'Limits of the upstream side.',
    ),
    mirrors: Type.Array(Type.String(), {
      default: [],
      maxItems: limits.mirrors_per_collection_max,
      uniqueItems: true,
      description: 'Names of the mirrors that see this collection.',
    }),
  },
  'One API collection.',
)
