/** What the activity log is told when the configuration is read: loaded, rejected, or what changed. */
import { type Change, changesBetween } from '../config/changes.ts'
import type { Problem } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import type { Json } from '../contract/activity.ts'
import type { ActivityEvent } from '../contract/activity-events.ts'
import type { Actor, Happening } from '../contract/audit-trail.ts'
import { limits } from '../contract/limits.ts'

interface Read {
  readonly actor: Actor
  /** As the user named it. */
  readonly file: string
}

interface Reread extends Read {
  /** Texts that stand for references, before and after. */
  readonly referenced: ReadonlySet<string>
}

export function configurationLoaded({ hash, ...config }: Config, { actor, file }: Read): Happening {
  const { collections, connections, mirrors, streams } = config
  return {
    event: 'configuration_loaded',
    actor,
    resource: { id: hash, name: file },
    details: {
      collections: collections.length,
      connections: connections.length,
      mirrors: mirrors.length,
      streams: streams.length,
    },
  }
}

export function configurationRejected(problems: readonly Problem[], { actor, file }: Read): Happening {
  const named = problems.slice(0, limits.activity_changes_max)
  return {
    event: 'configuration_rejected',
    actor,
    resource: { name: file },
    details: {
      problems: named.map(({ file: place, line, path, message }) => ({ file: place, line, path, message })),
      problems_total: problems.length,
    },
  }
}

/** One entry for the whole, and one for each thing that came, went or was changed by it. */
export function configurationChanged(before: Config, after: Config, read: Reread): Happening[] {
  const { actor, file, referenced } = read
  const changes = changesBetween(before, after, referenced)
  if (changes.length === 0) return [configurationLoaded(after, { actor, file })]
  const whole: Happening = {
    event: 'configuration_changed',
    actor,
    resource: { id: after.hash, name: file },
    details: bounded(changes),
  }
  return [whole, ...things.flatMap((thing) => thingsChanged(thing, [before, after], read))]
}

interface Things {
  readonly section: 'collections' | 'connections' | 'mirrors' | 'streams'
  readonly created: ActivityEvent
  readonly updated: ActivityEvent
  readonly deleted: ActivityEvent
}

const things: readonly Things[] = [
  {
    section: 'collections',
    created: 'collection_created',
    updated: 'collection_updated',
    deleted: 'collection_deleted',
  },
  {
    section: 'connections',
    created: 'connection_created',
    updated: 'connection_updated',
    deleted: 'connection_deleted',
  },
  { section: 'mirrors', created: 'mirror_created', updated: 'mirror_updated', deleted: 'mirror_deleted' },
  { section: 'streams', created: 'stream_created', updated: 'stream_updated', deleted: 'stream_deleted' },
]

function thingsChanged(
  { section, created, updated, deleted }: Things,
  [before, after]: readonly [Config, Config],
  { actor, referenced }: Reread,
): Happening[] {
  const [old, now] = [named(before[section]), named(after[section])]
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((name): Happening[] => {
    const [was, is] = [old.get(name), now.get(name)]
    const resource = { name }
    if (was === undefined) return [{ event: created, actor, resource }]
    if (is === undefined) return [{ event: deleted, actor, resource }]
    const changes = changesBetween(was, is, referenced, section)
    return changes.length === 0 ? [] : [{ event: updated, actor, resource, details: bounded(changes) }]
  })
}

function named(things: readonly { readonly name: string }[]): Map<string, object> {
  return new Map(things.map((thing) => [thing.name, thing]))
}

function bounded(changes: readonly Change[]): Record<string, Json> {
  return {
    changes: changes.slice(0, limits.activity_changes_max).map((change) => ({ ...change })),
    changes_total: changes.length,
  }
}
