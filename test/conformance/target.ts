/** What sinks are tried with: targets and contexts with everything at its default, and batches. */
import type { Batch, SinkContext, SinkHttp } from '../../src/contract/plugin.ts'
import type { Target } from '../../src/contract/tasks.ts'

type Connection = Target['connection']

export function target(
  changes: Partial<Omit<Target, 'connection'>> = {},
  connection: Partial<Connection> = {},
): Target {
  return {
    key: 'key-1',
    owner: 'mirror-1',
    mirror: 'mirror-1',
    sink: 'salt',
    format: 'pair',
    options: {},
    secretOptions: [],
    origin: { environment: 'dev', workspaceId: 1 },
    compression: 'none',
    render: null,
    templates: [],
    ...changes,
    connection: {
      baseUrl: null,
      headers: {},
      caseSensitive: false,
      tls: null,
      proxyUrl: null,
      secretValues: [],
      sockets: 4,
      ...connection,
    },
  }
}

/** What a sink is created with, beside its own options, where a test does not care. */
export function sinkContext<Options>(
  options: Options,
  http: SinkHttp,
  changes: Partial<SinkContext<Options>> = {},
): SinkContext<Options> {
  const { mirror, origin, format, compression } = target()
  return { mirror, options, format, compression, origin, http, ...changes }
}

/** A batch of these events, for tests that write it themselves. */
export function eventBatch(mirror: string, events: readonly object[], id = 'batch-1'): Batch {
  const ndjson = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  return { id, mirror, leg: 'events', items: events.length, ndjson }
}

/** An entry of the activity log, and the name of its file where nobody set another one. */
export const signIn = { id: 7, event_type: 'user_login', timestamp: '2026-11-21T08:00:00.123Z' }
export const signInKey = '1/user_login/20261121/1-user_login-7-20261121080000-batch-1-0.json'
