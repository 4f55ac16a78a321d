/** What the data threads need of a configuration, slots resolved. */
import type { CollectionConfig, Config, StreamConfig } from '../config/schema.ts'
import { NamesSpentError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { Slots } from '../telemetry/counters.ts'
import { clientConnectionsMax } from './descriptors.ts'
import type { DataPlan } from './thread-messages.ts'

/** Slots of collections, upstreams and mirrors: given out once, kept for the life of the process. */
export class PlanSlots {
  readonly collections: Slots
  readonly upstreams: Slots
  readonly mirrors: Slots

  /** With what another one has given out: to see whether a configuration would fit. */
  constructor(like?: PlanSlots) {
    this.collections = new Slots(limits.collections_max, like?.collections)
    this.upstreams = new Slots(limits.upstreams_max, like?.upstreams)
    this.mirrors = new Slots(limits.mirrors_max, like?.mirrors)
  }

  mirror({ name, legs }: Config['mirrors'][number]): number {
    // Mirrors of one name share a slot only while they have the same legs: the cells count for each of them.
    return this.mirrors.take(`${name}|${legs.map((leg) => leg.name).join(',')}`)
  }
  /** Of a stream that takes exchanges. */
  stream({ name }: Pick<StreamConfig, 'name'>): number {
    return this.mirrors.take(`${streamRule(name)}|api`)
  }
  collection(name: string): number {
    return this.collections.take(name)
  }
  upstream(collection: string, url: string): number {
    return this.upstreams.take(`${collection}|${url}`)
  }
}

/** No mirror has such a name. */
const streamRule = (name: string): string => `stream:${name}`

/** Streams that take exchanges. */
export function apiStreams(config: Config): StreamConfig[] {
  return config.streams.filter(({ legs }) => legs.some(({ name }) => name === 'api'))
}

interface PlanParts {
  readonly slots: PlanSlots
  readonly capturing: boolean
  /** That the process may have open; null = unknown. */
  readonly descriptors: number | null
  /** Names of the collections that bear a tag by assignment. */
  readonly taggedCollections: (handle: string) => readonly string[]
}

/** Throws a NamesSpentError when a process has seen more names than there are slots: a restart frees them. */
export function dataPlan(config: Config, parts: PlanParts): DataPlan {
  const { slots, capturing, descriptors, taggedCollections } = parts
  const taken = (slot: number, what: string): number => {
    if (slot === -1)
      throw new NamesSpentError(`too many different ${what} since the start: restart the gateway`)
    return slot
  }
  // Resolved here, so that tags cost no request anything.
  const bearers = new Map<string, ReadonlySet<string>>()
  const isSelected = ({ name, tags }: CollectionConfig, wanted: readonly string[]): boolean =>
    wanted.length === 0 || wanted.some((tag) => tags.includes(tag) || bearers.get(tag)?.has(name) === true)
  const matched = new Map(config.mirrors.map(({ name, match }) => [name, match.tags]))
  const streams = apiStreams(config)
  const asked = [...matched.values(), ...streams.map(({ match }) => match.tags)].flat()
  for (const tag of asked) bearers.set(tag, new Set(taggedCollections(tag)))
  return {
    generation: config.generation,
    listen: {
      ...config.listen,
      limits: { ...config.listen.limits, connections: clientConnectionsMax(config, descriptors) },
    },
    capture: config.capture,
    capturing,
    collections: config.collections.map((collection) => ({
      ...collection,
      mirrors: [
        ...collection.mirrors.filter((name) => isSelected(collection, matched.get(name) ?? [])),
        ...streams
          .filter(({ match: { collections, tags } }) => {
            const isNamed = collections.length === 0 || collections.includes(collection.name)
            return isNamed && isSelected(collection, tags)
          })
          .map(({ name }) => streamRule(name)),
      ],
      slot: taken(slots.collection(collection.name), 'collections'),
      upstreamSlots: collection.upstreams.map(({ url }) =>
        taken(slots.upstream(collection.name, url), 'upstreams'),
      ),
    })),
    mirrors: [
      ...config.mirrors
        .filter(({ enabled }) => enabled)
        .map((mirror) => ({
          name: mirror.name,
          slot: taken(slots.mirror(mirror), 'mirrors'),
          sample: mirror.sample,
          match: mirror.match,
          capture: mirror.capture,
        })),
      ...streams
        .filter(({ enabled }) => enabled)
        .map((stream) => ({
          name: streamRule(stream.name),
          slot: taken(slots.stream(stream), 'mirrors and streams'),
          ...ruleOf(stream),
        })),
    ],
  }
}

/** A stream of exchanges as the rule of a mirror. */
function ruleOf({
  events,
  match,
  capture,
}: StreamConfig): Omit<DataPlan['mirrors'][number], 'name' | 'slot'> {
  const { methods, statuses } = match
  // A summary has no bodies: none is kept for it.
  const bodies = events.includes('api_details') ? {} : { request_body: false, response_body: false }
  return {
    sample: { rate: 1 },
    match: { methods, statuses, paths: [], exclude_paths: [], content_types: [], min_duration_ms: 0 },
    capture: { ...capture, ...bodies },
  }
}
