/** Sinks of the fixtures: their limits, formats and options do not change when a plugin does. */
import { defineSink, type SinkDefinition, Type } from 'mirrorgate/plugin'

const MIB = 1024 * 1024
const nothing = () => ({ write: async () => {}, close: () => {} })

const salt = defineSink({
  name: 'salt',
  summary: 'Two URLs.',
  options: Type.Object({ request_url: Type.String(), response_url: Type.String() }),
  formats: ['pair'],
  urls: ['request_url', 'response_url'],
  limits: { batch_bytes: 16 * MIB, batch_items: 10_000, item_bytes: 16 * MIB },
  legs: ({ request_url, response_url }) => [
    { name: 'requests', half: 'request', url: request_url },
    { name: 'responses', half: 'response', url: response_url },
  ],
  create: nothing,
})

const http = defineSink({
  name: 'http',
  summary: 'One URL.',
  options: Type.Object({ url: Type.String({ minLength: 1 }) }),
  formats: ['exchange', 'ndjson', 'template'],
  urls: ['url'],
  limits: { batch_bytes: 64 * MIB, batch_items: 100_000, item_bytes: 16 * MIB },
  legs: ({ url }) => [{ name: 'exchanges', half: 'exchange', url }],
  create: nothing,
})

/** Small limits, a secret, a number, a list of choices. */
const narrow = defineSink({
  name: 'narrow',
  summary: 'Takes little.',
  options: Type.Object({
    token: Type.String({ minLength: 12, secret: true }),
    shards: Type.Integer({ default: 1, minimum: 1, maximum: 8 }),
    level: Type.Optional(Type.Enum(['low', 'high'])),
  }),
  formats: ['ndjson'],
  urls: [],
  limits: { batch_bytes: 100_000, batch_items: 100, item_bytes: 50_000 },
  legs: () => [{ name: 'exchanges', half: 'exchange', url: 'narrow:' }],
  create: nothing,
})

export const sinks: readonly SinkDefinition[] = [salt, http, narrow]
