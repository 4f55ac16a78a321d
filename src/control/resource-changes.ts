/** Changes of the configuration by API: tried like the file, written with their entry, then applied. */
import { ConflictError } from '../admin/commands.ts'
import type {
  ConnectionView,
  ResourceChangeView,
  ResourceCommands,
  ResourceFacts,
  ResourceOutcome,
  ResourceRequest,
} from '../admin/resource-commands.ts'
import { definitionSchema } from '../config/definition-schema.ts'
import { exportText } from '../config/export.ts'
import type { Usable } from '../config/load.ts'
import { changedPointers, mergePatch } from '../config/merge-patch.ts'
import { pathOf, pointerTo } from '../config/places.ts'
import { formatProblem, type Problem } from '../config/problems.ts'
import { type SecretTexts, valueAt, withTexts } from '../config/secret-texts.ts'
import type { Json } from '../contract/activity.ts'
import type { Actor } from '../contract/audit-trail.ts'
import { limits } from '../contract/limits.ts'
import {
  type ApiResource,
  apiPlace,
  type Definition,
  type DeliveryKind,
  deliveryKinds,
  type ResourceKind,
  resourceNouns,
} from '../contract/resources.ts'
import type { RunningGateway } from '../gateway.ts'
import type { OpenResource, ResourceBook } from './resource-book.ts'

const events = Object.freeze({
  collections: ['collection_created', 'collection_updated', 'collection_deleted'],
  connections: ['connection_created', 'connection_updated', 'connection_deleted'],
  mirrors: ['mirror_created', 'mirror_updated', 'mirror_deleted'],
  streams: ['stream_created', 'stream_updated', 'stream_deleted'],
} as const)

/** A change that was tried and can be made. */
interface Tried {
  readonly loaded: Usable
  readonly view: ResourceChangeView
  /** Null when it is deleted. */
  readonly next: OpenResource | null
}

export class Resources implements ResourceCommands {
  readonly #gateway: RunningGateway

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
  }

  get #secrets(): SecretTexts {
    return this.#book.secrets
  }

  get #book(): ResourceBook {
    return this.#gateway.book
  }

  facts(kind: ResourceKind, name: string): ResourceFacts | null {
    const stored = this.#book.find(kind, name)
    if (stored !== null) return this.#factsOf(stored)
    const at = this.#indexOf(kind, name)
    if (at === -1) return null
    const { file, places, source } = this.#gateway.loaded
    const definition = listAt(source.written, kind)[at] as Definition
    return {
      managed_by: 'file',
      defined_at: `${file}:${places.value(pointerTo(`/${kind}`, at)).line}`,
      definition: this.#covered(kind, definition),
      ...{ created_at: null, created_by: null, updated_at: null, updated_by: null },
    }
  }

  #factsOf({ kind, definition, origin }: OpenResource): ResourceFacts {
    const { created_at, created_by, updated_at, updated_by } = origin
    const shown = {
      managed_by: 'api',
      defined_at: null,
      definition: this.#covered(kind, definition),
    } as const
    return { ...shown, created_at, created_by, updated_at, updated_by }
  }

  /** Place in the list of what is in force; -1 for an unknown name. */
  #indexOf(kind: ResourceKind, name: string): number {
    return this.#gateway.config[kind].findIndex((one) => one.name === name)
  }

  #covered(kind: ResourceKind, definition: Definition): Definition {
    return withTexts(definition, this.#secrets.ofDefinition(kind, definition))
  }

  etag(kind: ResourceKind, name: string): string | null {
    return this.#book.find(kind, name)?.origin.etag ?? null
  }

  connections(): ConnectionView[] {
    return this.#gateway.config.connections
      .map(({ name }) => this.connection(name))
      .filter((view) => view !== null)
  }

  connection(name: string): ConnectionView | null {
    const facts = this.facts('connections', name)
    if (facts === null) return null
    const { deliveries, config } = this.#gateway
    const definition = facts.definition ?? {}
    return {
      name,
      ...facts,
      connected: !deliveries.isDisconnected(name),
      base_url: (definition['base_url'] as string | undefined) ?? null,
      headers: (definition['headers'] as Record<string, string> | undefined) ?? {},
      case_sensitive_headers: (definition['case_sensitive_headers'] as boolean | undefined) ?? false,
      proxy_url: (definition['proxy_url'] as string | undefined) ?? null,
      used_by: config.mirrors.filter(({ connection }) => connection === name).map((one) => one.name),
      used_by_streams: config.streams.filter(({ connection }) => connection === name).map((one) => one.name),
    }
  }

  change(request: ResourceRequest, actor: Actor): Promise<ResourceOutcome> {
    return this.#gateway.inTurn(() => this.#change(request, actor))
  }

  async #change(request: ResourceRequest, actor: Actor): Promise<ResourceOutcome> {
    const known = this.#book.find(request.kind, request.name)
    this.#assertOurs(request, known)
    if (request.act !== 'create' && known === null) return { result: 'unknown' }
    if (request.ifMatch !== null && !isMatch(request.ifMatch, known)) return { result: 'stale' }
    const wanted = request.act === 'delete' ? null : this.#wanted(request, known)
    if (wanted !== null && 'problems' in wanted) return { result: 'invalid', problems: wanted.problems }
    const tried = await this.#try(request, wanted?.definition ?? null, actor)
    if ('problems' in tried) return { result: 'invalid', problems: tried.problems }
    const { view, next } = tried
    if (request.dryRun) return { result: 'done', view, etag: null }
    // A change to what it is already: no version of its own, and nothing to tell.
    if (next !== null && view.changes.length === 0) return { result: 'done', view, etag: next.origin.etag }
    await this.#make(request, tried, actor)
    return { result: 'done', view, etag: next?.origin.etag ?? null }
  }

  /** Throws a ConflictError for what the API may not change now. */
  #assertOurs({ kind, name, act }: ResourceRequest, known: OpenResource | null): void {
    const noun = `${resourceNouns[kind]} ${JSON.stringify(name)}`
    const inFile = known === null ? this.facts(kind, name) : null
    if (inFile !== null) {
      const advice = act === 'create' ? 'choose another name' : 'change it there, then reload'
      throw new ConflictError(`${noun} is defined in ${inFile.defined_at}: ${advice}`)
    }
    if (act === 'create' && known !== null)
      throw new ConflictError(
        `${noun} exists already, created by ${known.origin.created_by}: change it with PUT`,
      )
    const users = act === 'delete' ? this.#usersOf(kind, name) : []
    if (users.length > 0)
      throw new ConflictError(`${noun} is in use by ${users.join(', ')}: change that first`)
  }

  /** What would break without it. */
  #usersOf(kind: ResourceKind, name: string): string[] {
    if (kind === 'connections') {
      const { config } = this.#gateway
      return deliveryKinds.flatMap((users) =>
        config[users]
          .filter(({ connection }) => connection === name)
          .map((one) => `${resourceNouns[users]} ${one.name}`),
      )
    }
    if (kind === 'streams') return []
    const [other, key] =
      kind === 'mirrors' ? (['collections', 'mirrors'] as const) : (['mirrors', 'collections'] as const)
    const users = this.#book
      .list()
      .filter((one) => one.kind === other && listAt(one.definition, key).includes(name))
    return users.map((one) => `${resourceNouns[other]} ${one.name}`)
  }

  /** The whole definition that is asked for, covered texts put back. */
  #wanted(
    { kind, name, act, body }: ResourceRequest,
    known: OpenResource | null,
  ): { definition: Definition } | { problems: Problem[] } {
    const merged = act === 'merge' ? (mergePatch(known?.definition, body) as Definition) : body
    const named = { ...merged, name: merged['name'] ?? name }
    const { definition, unknown } = this.#secrets.uncover(kind, named, known?.definition ?? null)
    const problems = unknown.map((pointer) =>
      this.#problem(
        kind,
        name,
        pathOf(pointer),
        'must be a value, got a covered one that stands for nothing',
      ),
    )
    if (act !== 'create' && named.name !== name) {
      const rule = `must be ${JSON.stringify(name)}, the name in the path: names stay`
      problems.push(this.#problem(kind, name, 'name', rule))
    }
    return problems.length > 0 ? { problems } : { definition }
  }

  #problem(kind: ResourceKind, name: string, path: string, message: string): Problem {
    return { file: apiPlace({ kind, name }), line: 1, column: 1, path, message }
  }

  /** Loads the file in force with the resources as they would be. */
  async #try(
    { kind, name, dryRun }: ResourceRequest,
    definition: Definition | null,
    actor: Actor,
  ): Promise<Tried | { problems: readonly Problem[] }> {
    const gateway = this.#gateway
    const before = this.#book.find(kind, name)
    const wanted = this.#book.with(kind, name, definition)
    assertBounded(wanted)
    const { source } = gateway.loaded
    const generation = gateway.config.generation + 1
    const loaded = await gateway.reader.load({ generation, text: source.text, resources: wanted })
    if (!loaded.ok) return { problems: loaded.problems }
    const wanting = gateway.slotsWanting(loaded.config)
    if (wanting !== null) throw new ConflictError(wanting)
    const changes = this.#changes(kind, before?.definition ?? {}, definition ?? {})
    const isSame = before !== null && definition !== null && changes.length === 0
    const next =
      definition === null ? null : isSame ? before : this.#book.next({ kind, name, definition }, actor)
    const shown = next ?? before
    if (shown === null) throw new Error('a change of nothing')
    const place = apiPlace({ kind, name })
    const own = loaded.warnings.filter(({ file }) => file === place)
    const warnings = [...own.map(formatProblem), ...this.#leftBehind(kind, name, definition)]
    return { loaded, next, view: { name, dry_run: dryRun, ...this.#factsOf(shown), changes, warnings } }
  }

  /** What a deleted mirror or stream leaves: its backlog belongs to its name. */
  #leftBehind(kind: ResourceKind, name: string, definition: Definition | null): string[] {
    if (!isDelivery(kind) || definition !== null) return []
    const waiting = this.#gateway.deliveries.view({ kind, name })?.counts.waiting ?? 0
    if (waiting === 0) return []
    return [`${waiting} items still wait: they stay until DELETE /api/${kind}/${name}/backlog`]
  }

  #changes(kind: ResourceKind, before: Definition, after: Definition): ResourceChangeView['changes'] {
    const [from, to] = [this.#covered(kind, before), this.#covered(kind, after)]
    return changedPointers(before, after)
      .slice(0, limits.resource_changes_max)
      .map((pointer) => ({
        path: pathOf(pointer),
        ...short('from', valueAt(from, pointer)),
        ...short('to', valueAt(to, pointer)),
      }))
  }

  async #make({ kind, name }: ResourceRequest, { loaded, view, next }: Tried, actor: Actor): Promise<void> {
    const changes: readonly Json[] = view.changes
    const gateway = this.#gateway
    const isNew = this.#book.find(kind, name) === null
    const event = events[kind][next === null ? 2 : isNew ? 0 : 1]
    const command =
      next === null ? { type: 'resource' as const, kind, name, record: null } : this.#book.command(next)
    const happening = { event, actor, resource: { name }, details: { changes } }
    await gateway.apply(loaded.config, () => gateway.commit([command], happening))
    if (next === null) this.#book.remove(kind, name)
    else this.#book.put(next)
    gateway.took(loaded)
    // A connection of the same name that comes later is another one: it begins connected.
    if (next === null && kind === 'connections' && gateway.deliveries.isDisconnected(name))
      await gateway.deliveries.setConnected(name, true)
    gateway.log.info(
      { [resourceNouns[kind]]: name, client: actor.name, event },
      'configuration changed by API',
    )
  }

  exported(): string {
    return exportText(this.#gateway.loaded, this.#secrets)
  }

  schema(kind: ResourceKind, act: ResourceRequest['act']): object {
    // The name stands in the path; a patch may leave out anything.
    const optional = (key: string): boolean => act === 'merge' || (act === 'replace' && key === 'name')
    return definitionSchema(kind, this.#gateway.options.sinks, optional)
  }
}

function assertBounded(resources: readonly ApiResource[]): void {
  const most = limits.api_definitions_bytes
  const bytes = resources.reduce((sum, one) => sum + Buffer.byteLength(JSON.stringify(one.definition)), 0)
  if (bytes <= most) return
  throw new ConflictError(
    `all that the API defines must be at most ${most} bytes, got ${bytes}: delete something`,
  )
}

/** RFC 9110 §13.1.1: any version for `*`, otherwise one of the tags, compared strongly. */
function isMatch(tags: readonly string[], known: OpenResource | null): boolean {
  return known !== null && (tags.includes('*') || tags.includes(`"${known.origin.etag}"`))
}

function listAt(tree: unknown, key: string): readonly unknown[] {
  const list = (tree as Record<string, unknown>)[key]
  return Array.isArray(list) ? list : []
}

/** A value as it goes into a diff: short ones only. */
function short(key: 'from' | 'to', value: unknown): Record<string, Json> {
  if (value === undefined || JSON.stringify(value).length > limits.resource_change_chars_max) return {}
  return { [key]: value as Json }
}

function isDelivery(kind: ResourceKind): kind is DeliveryKind {
  return (deliveryKinds as readonly ResourceKind[]).includes(kind)
}
