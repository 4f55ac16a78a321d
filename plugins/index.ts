/** Every plugin: one import and one line each. */
import type { SinkDefinition } from 'mirrorgate/plugin'
import blackhole from './blackhole/sink.ts'
import file from './file/sink.ts'
import http from './http/sink.ts'
import salt from './salt/sink.ts'

export const sinks: readonly SinkDefinition[] = [blackhole, file, http, salt]
