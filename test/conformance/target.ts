/** Targets for tests: how to reach a collector, with everything at its default. */
import type { SinkContext, SinkHttp } from '../../src/contract/plugin.ts'
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
