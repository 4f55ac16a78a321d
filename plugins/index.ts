/** Every plugin: one import and one line each. */
import type { SinkDefinition } from 'mirrorgate/plugin'
import salt from './salt/sink.ts'

export const sinks: readonly SinkDefinition[] = [
  salt,
]
