/** Which texts may hold references to secrets that each delivery, or message, resolves anew. */
import type { SinkDefinition } from '../contract/plugin.ts'
import { pointerTo } from './places.ts'
import { deliveriesOf } from './validate.ts'

const fixedFields = [
  /^\/connections\/\d+\/(base_url|proxy_url|headers\/[^/]+|tls\/server_name)$/,
  /^\/notifications\/(email\/smtp\/(username|password)|webhook\/(url|headers\/[^/]+))$/,
]

/** Options of a sink that hold secrets, by name. */
export function secretOptionsOf(sink: SinkDefinition): string[] {
  const options = sink.options.properties as Readonly<Record<string, { secret?: boolean }>>
  return Object.keys(options).filter((key) => options[key]?.secret === true)
}

/**
 * Tells of a pointer whether each delivery resolves it: fields of connections and notifications, and sinks'
 * own secrets.
 */
export function deliveryFields(
  tree: unknown,
  sinks: readonly SinkDefinition[],
): (pointer: string) => boolean {
  const options = new Set<string>()
  for (const { value, pointer } of deliveriesOf(tree)) {
    const sink = sinks.find(({ name }) => name === value['sink'])
    for (const key of sink === undefined ? [] : secretOptionsOf(sink)) options.add(pointerTo(pointer, key))
  }
  return (pointer) => fixedFields.some((field) => field.test(pointer)) || options.has(pointer)
}
