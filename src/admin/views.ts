/** The schemas of the admin port's answers, by name, as they stand in the OpenAPI document. */
import type { TSchema, TUnsafe } from 'typebox'
import type { Problem } from '../config/problems.ts'
import { dropReasons } from '../contract/errors.ts'
import { Type } from '../contract/schema.ts'
import {
  type CollectionView,
  type DeadLetterView,
  legStates,
  type DeliveryView,
  type StatusView,
  type TestResult,
} from './commands.ts'
import { type ConnectionView, managers, type ResourceChangeView } from './resource-commands.ts'

const items = (description: string) => Type.Integer({ minimum: 0, description })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const moment = (description: string) => Type.String({ format: 'date-time', description })
const State = Type.Enum([...legStates], { description: 'Of a mirror or stream: the worst of its legs.' })
const ManagedBy = Type.Enum([...managers], {
  description: 'Where the definition lives; none: nowhere any more, only a backlog is left.',
})

const countFields = {
  captured: items('Items that matched and were sampled.'),
  delivered: items('Items that the destination acknowledged.'),
  waiting: items('Items in memory and on disk.'),
  dead_lettered: items('Items that the destination refused one by one.'),
  dropped: Type.Partial(
    Type.Object(Object.fromEntries(dropReasons.map((reason) => [reason, items('Items.')])), {
      description: 'Items given up, by reason.',
    }),
  ),
}
const Counts = Type.Object(countFields, {
  description: 'captured = delivered + waiting + dead_lettered + the sum of dropped',
})

const Leg = Type.Object({
  name: Type.String(),
  url: Type.String({ description: 'Where it delivers to.' }),
  state: State,
  counts: Counts,
  waiting_bytes: items('Bytes on disk.'),
  oldest_waiting_at: nullable(moment('Start of the oldest exchange that waits.')),
  durable_items: items('Items that would survive a kill now.'),
  attempts: items('Delivery attempts.'),
  last_attempt_at: nullable(moment('Last attempt.')),
  last_response_code: nullable(Type.Integer()),
  last_error: nullable(Type.String()),
  next_attempt_at: nullable(moment('Next attempt, while retrying or parked.')),
})

const author = (what: string) => nullable(Type.String({ description: `Client that ${what} it by API.` }))
const Definition = Type.Record(Type.String(), Type.Unknown(), {
  description: 'As it was written: references as references, without defaults, secrets covered.',
})
const definedFields = {
  defined_at: nullable(Type.String({ description: 'File and line of what the file defines.' })),
  definition: Definition,
  created_at: nullable(moment('When it was created by API.')),
  created_by: author('created'),
  updated_at: nullable(moment('When it was last changed by API.')),
  updated_by: author('last changed'),
}

const Delivery = Type.Object({
  name: Type.String(),
  sink: Type.String(),
  enabled: Type.Boolean(),
  state: State,
  managed_by: ManagedBy,
  ...Type.Partial(Type.Object(definedFields)).properties,
  counts: Counts,
  legs: Type.Array(Leg),
})

const ResourceChange = Type.Object({
  name: Type.String(),
  managed_by: ManagedBy,
  ...definedFields,
  dry_run: Type.Boolean({ description: 'Whether it was only tried.' }),
  changes: Type.Array(
    Type.Object({
      path: Type.String(),
      from: Type.Optional(Type.Unknown()),
      to: Type.Optional(Type.Unknown()),
    }),
    { description: 'What differs from before; long values are left out, secrets covered.' },
  ),
  warnings: Type.Array(Type.String()),
})

const Connection = Type.Object({
  name: Type.String(),
  managed_by: ManagedBy,
  ...definedFields,
  connected: Type.Boolean({ description: 'false: a person took it off, its legs are paused.' }),
  base_url: nullable(Type.String()),
  headers: Type.Record(Type.String(), Type.String(), { description: 'Values covered, references shown.' }),
  case_sensitive_headers: Type.Boolean(),
  proxy_url: nullable(Type.String()),
  used_by: Type.Array(Type.String(), { description: 'Mirrors that deliver through it.' }),
  used_by_streams: Type.Array(Type.String(), { description: 'Streams that deliver through it.' }),
})

const Collection = Type.Object({
  name: Type.String(),
  ...Type.Partial(Type.Object(definedFields)).properties,
  hosts: Type.Array(Type.String()),
  prefix: Type.String(),
  mirrors: Type.Array(Type.String()),
  managed_by: ManagedBy,
  upstreams: Type.Array(
    Type.Object({
      url: Type.String(),
      weight: Type.Integer(),
      healthy: Type.Boolean(),
      requests_in_flight: items('Requests being answered by it.'),
      requests: items('Requests sent to it.'),
      failures: items('Requests that it failed.'),
    }),
  ),
})

const DeadLetter = Type.Object({
  id: Type.String({ description: 'Opaque; for page[after].' }),
  leg: Type.String(),
  at: moment('When it was given up.'),
  reason: Type.String(),
  status: nullable(Type.Integer({ description: 'Status of the destination’s answer.' })),
  answer: nullable(Type.String({ description: 'First 1 KiB of the destination’s answer.' })),
  batch_id: Type.String(),
  item: Type.Unknown({ description: 'The item as it would have been delivered.' }),
})

const TestAnswer = Type.Object({
  legs: Type.Array(
    Type.Object({
      name: Type.String(),
      ok: Type.Boolean(),
      status: nullable(Type.Integer()),
      latency_ms: Type.Number(),
      error: nullable(Type.String()),
    }),
  ),
})

const ProblemShape = Type.Object({
  file: Type.String(),
  line: Type.Integer(),
  column: Type.Integer(),
  path: Type.String({ description: 'Like mirrors[0].batch.max_wait_ms; empty for the file as a whole.' }),
  message: Type.String(),
})

const Status = Type.Object({
  version: Type.String(),
  node: Type.String(),
  state: Type.Enum(['starting', 'ready', 'draining']),
  uptime_seconds: Type.Number(),
  started_at: moment('Start of the gateway.'),
  environment: Type.String(),
  unclean_shutdown: Type.Boolean({ description: 'Whether the last run ended without a clean stop.' }),
  threads: Type.Object({ data: Type.Integer(), recorder: Type.Integer(), shipper: Type.Integer() }),
  config: Type.Object({
    file: Type.String(),
    loaded_at: moment('When the configuration in use was loaded.'),
    generation: Type.Integer(),
    hash: Type.String(),
    last_rejected: nullable(Type.Object({ at: moment('When.'), problems: Type.Array(ProblemShape) })),
  }),
  capture: Type.Object({
    paused: Type.Boolean(),
    buffer_used_bytes: items('Memory that captures use.'),
    buffer_limit_bytes: items('Memory that captures may use.'),
  }),
  totals: Type.Object({
    ...countFields,
    streams: Counts,
    requests: items('Requests.'),
    rejected: items('Requests that the gateway answered itself.'),
    connections_open: items('Open client connections.'),
  }),
  listen: Type.Object({ host: Type.String(), port: Type.Integer() }),
  secrets: Type.Object({
    entries: items('Secrets in the cache.'),
    providers: Type.Array(
      Type.Object({
        name: Type.String(),
        provider: Type.String(),
        state: Type.Enum(['unused', 'ok', 'failing']),
        since: nullable(moment('Since when it is in this state.')),
        last_error: nullable(Type.String()),
      }),
    ),
  }),
})

const ErrorShape = Type.Object({
  message: Type.String(),
  errors: Type.Record(Type.String(), Type.Array(Type.String()), { description: 'Sentences by field.' }),
})

const Rejected = Type.Object({
  message: Type.String(),
  errors: Type.Record(Type.String(), Type.Array(Type.String()), { description: 'Sentences by path.' }),
  problems: Type.Optional(
    Type.Array(ProblemShape, { description: 'Of a configuration: the same, each with its place.' }),
  ),
})

/** Every named schema, for the server to know. */
export const namedSchemas = Object.entries({
  Mirror: Delivery,
  Stream: Delivery,
  Collection,
  Connection,
  ResourceChange,
  DeadLetter,
  TestResult: TestAnswer,
  Status,
  Error: ErrorShape,
  Rejected,
}).map(([$id, schema]) => ({ $id, ...schema }))

/** A reference to a named schema. The type is the interface that the gateway answers with. */
function named<T>(name: string): TUnsafe<T> {
  return Type.Unsafe<T>({ $ref: `${name}#` })
}

export const MirrorAnswer = named<DeliveryView>('Mirror')
export const StreamAnswer = named<DeliveryView>('Stream')
export const CollectionAnswer = named<CollectionView>('Collection')
export const ConnectionAnswer = named<ConnectionView>('Connection')
export const ResourceChangeAnswer = named<ResourceChangeView>('ResourceChange')
export const DeadLetterAnswer = named<DeadLetterView>('DeadLetter')
export const TestResultAnswer = named<TestResult>('TestResult')
export const StatusAnswer = named<StatusView>('Status')
export const RejectedAnswer = named<{
  message: string
  errors: Record<string, string[]>
  problems?: Problem[]
}>('Rejected')
export const ErrorAnswer = named<{ message: string; errors: Record<string, string[]> }>('Error')

/** A list of things. */
export function list<T extends TSchema>(item: T) {
  return Type.Object({
    data: Type.Array(item),
    total: Type.Integer({ description: 'All of them, on every page.' }),
  })
}
