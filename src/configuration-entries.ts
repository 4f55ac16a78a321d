/** What the activity log is told when the configuration is read: loaded, rejected, or what changed. */
import { type Change, changesBetween } from './config/changes.ts'
import type { Problem } from './config/problems.ts'
import type { Config } from './config/schema.ts'
import type { Json } from './contract/activity.ts'
import type { ActivityEvent } from './contract/activity-events.ts'
import type { Actor, Happening } from './contract/audit-trail.ts'
import { limits } from './contract/limits.ts'

interface Read {
  readonly actor: Actor
  /** As the user named it. */
  readonly file: string
}

export function configurationLoaded({ hash, ...config }: Config, { actor, file }: Read): Happening {
  const { collections, connections, mirrors } = config
  return {
    event: 'configuration_loaded',
    actor,
    resource: { id: hash, name: file },
    details: {
      collections: collections.length,
      connections: connections.length,
      mirrors: mirrors.length,
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
export function configurationChanged(
  before: Config,
  after: Config,
  { actor, file, referenced }: Read & { readonly referenced: ReadonlySet<string> },
): Happening[] {
  const changes = changesBetween(before, after, referenced)
  if (changes.length === 0) return [configurationLoaded(after, { actor, file })]
  const whole: Happening = {
    event: 'configuration_changed',
    actor,
    resource: { id: after.hash, name: file },
    details: bounded(changes),
  }
  return [whole, ...things.flatMap((thing) => thingsChanged(thing, changes, actor))]
}

interface Things {
  readonly section: string
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
]

function thingsChanged(thing: Things, changes: readonly Change[], actor: Actor): Happening[] {
  const byName = new Map<string, Change[]>()
  for (const change of changes) {
    const [, name, rest] = /^\w+\[(.*?)\](.*)$/.exec(change.path) ?? []
    if (name === undefined || !change.path.startsWith(`${thing.section}[`)) continue
    const own = { ...change, path: (rest ?? '').replace(/^\./, '') }
    byName.set(name, [...(byName.get(name) ?? []), own])
  }
  return [...byName].map(([name, own]) => {
    const [whole] = own.filter(({ path }) => path === '')
    if (whole === undefined) return { event: thing.updated, actor, resource: { name }, details: bounded(own) }
    return { event: whole.to === undefined ? thing.deleted : thing.created, actor, resource: { name } }
  })
}

function bounded(changes: readonly Change[]): Record<string, Json> {
  return {
    changes: changes.slice(0, limits.activity_changes_max).map((change) => ({ ...change })),
    changes_total: changes.length,
  }
}
