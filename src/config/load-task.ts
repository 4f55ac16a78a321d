/** The task of a configuration thread: read and judge a configuration, as plain data in both directions. */
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import type { ApiResource } from '../contract/resources.ts'
import { freeze } from './freeze.ts'
import { type Loaded, loadConfig, type Usable } from './load.ts'
import { type PlainPlaces, Places } from './places.ts'
import type { Problem } from './problems.ts'
import type { PluginModule } from './schema.ts'

export interface LoadTask {
  readonly file: string
  /** Text to use instead of the content of `file`. */
  readonly text?: string
  readonly resources: readonly ApiResource[]
  readonly generation: number
  /** Plugins of the gateway, which no text can change. */
  readonly running: readonly PluginModule[]
  /** Whether the verdict is all that is asked for: the configuration itself then stays in its thread. */
  readonly verdictOnly: boolean
}

/** What main needs to know of a configuration that is not to be applied. */
export type Verdict =
  | {
      readonly ok: true
      readonly generation: number
      readonly hash: string
      readonly warnings: readonly Problem[]
    }
  | { readonly ok: false; readonly problems: Problem[] }

type Plain = Omit<Usable, 'places'> & { readonly places: PlainPlaces }
type Refused = Extract<Loaded, { ok: false }>

/** To a task that is not for the verdict only, what can be used or why not. */
export type LoadAnswer = Plain | Refused | Verdict

interface Plugins {
  readonly sinks: readonly SinkDefinition[]
  readonly providers: readonly ProviderDefinition[]
}

/** In the thread. */
export async function answerLoad(task: LoadTask, plugins: Plugins): Promise<LoadAnswer> {
  const { verdictOnly, ...options } = task
  const loaded = await loadConfig({ ...options, ...plugins })
  if (!loaded.ok) return loaded
  if (!verdictOnly) return { ...loaded, places: loaded.places.plain() }
  const { generation, hash } = loaded.config
  return { ok: true, generation, hash, warnings: loaded.warnings }
}

/** On main: what a thread answered to a task that is not for the verdict only. */
export function loadedFrom(answer: Plain | Refused): Loaded {
  if (!answer.ok) return answer
  return { ...answer, config: freeze(answer.config), places: new Places(answer.places) } satisfies Usable
}
