/** Targets for tests: how to reach a collector, with everything at its default. */
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
    compression: 'none',
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
