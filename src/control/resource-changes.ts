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
import type { Loaded, Usable } from '../config/load.ts'
import { changedPointers } from '../config/merge-patch.ts'
import { pathOf, pointerTo } from '../config/places.ts'
import { formatProblem } from '../config/problems.ts'
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
import type { WebhookCommand } from '../store/webhooks.ts'
import type { OpenResource, ResourceBook, WantedResource } from './resource-book.ts'
import { wantedBy } from './resource-requests.ts'

const events = Object.freeze({
  collections: ['collection_created', 'collection_updated', 'collection_deleted'],
  connections: ['connection_created', 'connection_updated', 'connection_deleted'],
  mirrors: ['mirror_created', 'mirror_updated', 'mirror_deleted'],
  streams: ['stream_created', 'stream_updated', 'stream_deleted'],
} as const)

/** A change that can be made. */
interface Tried {
  readonly request: ResourceRequest
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
    const { file, places, source } = this.#gateway.configuration.loaded
    const written = source.written as Readonly<Record<ResourceKind, readonly Definition[]>>
    return {
      managed_by: 'file',
      defined_at: `${file}:${places.value(pointerTo(`/${kind}`, at)).line}`,
      definition: this.#covered(kind, written[kind][at] as Definition),
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

  async change(request: ResourceRequest, actor: Actor): Promise<ResourceOutcome> {
    const [outcome] = await this.changeTogether([request], actor, [])
    return outcome as ResourceOutcome
  }

  changeTogether(
    requests: readonly ResourceRequest[],
    actor: Actor,
    records: readonly WebhookCommand[],
  ): Promise<readonly ResourceOutcome[]> {
    return this.#gateway.configuration.inTurn(() => this.#change(requests, actor, records))
  }

  async #change(
    requests: readonly ResourceRequest[],
    actor: Actor,
    records: readonly WebhookCommand[],
  ): Promise<readonly ResourceOutcome[]> {
    const wanted: WantedResource[] = []
    const { config } = this.#gateway
    const placeInFile = (kind: ResourceKind, name: string) => this.facts(kind, name)?.defined_at ?? null
    for (const request of requests) {
      const found = wantedBy(request, { book: this.#book, config, placeInFile })
      if ('result' in found) return [found]
      wanted.push(found)
    }
    if (wanted.length === 0) {
      await this.#keep(records)
      return []
    }
    const loaded = await this.#load(wanted)
    if (!loaded.ok) return [{ result: 'invalid', problems: loaded.problems }]
    const wanting = this.#gateway.configuration.slotsWanting(loaded.config)
    if (wanting !== null) throw new ConflictError(wanting)
    const tried = requests.map((request, at) =>
      this.#tried(request, (wanted[at] as WantedResource).definition, { loaded, actor, place: at }),
    )
    const made = tried.filter(({ request, view, next }) => {
      // A change to what it is already: no version of its own, and nothing to tell.
      return !request.dryRun && (next === null || view.changes.length > 0)
    })
    if (made.length > 0) await this.#make(made, loaded, actor, records)
    else await this.#keep(records)
    return tried.map(({ request, view, next }) => {
      return { result: 'done', view, etag: request.dryRun ? null : (next?.origin.etag ?? null) }
    })
  }

  async #keep(records: readonly WebhookCommand[]): Promise<void> {
    if (records.length > 0) await this.#gateway.store.applyDurably(records)
  }

  /** The file in force with the resources as they would be. */
  #load(wanted: readonly WantedResource[]): Promise<Loaded> {
    const resources = this.#book.with(wanted)
    assertBounded(resources)
    return this.#gateway.configuration.loadWith(resources)
  }

  #tried(
    request: ResourceRequest,
    definition: Definition | null,
    { loaded, actor, place }: { readonly loaded: Usable; readonly actor: Actor; readonly place: number },
  ): Tried {
    const { kind, name, dryRun } = request
    const before = this.#book.find(kind, name)
    const changes = this.#changes(kind, before?.definition ?? {}, definition ?? {})
    const isSame = before !== null && definition !== null && changes.length === 0
    const next =
      definition === null ? null : isSame ? before : this.#book.next({ kind, name, definition }, actor, place)
    const shown = next ?? before
    if (shown === null) throw new Error('a change of nothing')
    const file = apiPlace({ kind, name })
    const own = loaded.warnings.filter((warning) => warning.file === file)
    const warnings = [...own.map(formatProblem), ...this.#leftBehind(kind, name, definition)]
    const view = { name, dry_run: dryRun, ...this.#factsOf(shown), changes, warnings }
    return { request, next, view }
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

  async #make(
    made: readonly Tried[],
    loaded: Usable,
    actor: Actor,
    records: readonly WebhookCommand[],
  ): Promise<void> {
    const gateway = this.#gateway
    const steps = made.map(({ request: { kind, name }, view, next }) => {
      const isNew = this.#book.find(kind, name) === null
      const event = events[kind][next === null ? 2 : isNew ? 0 : 1]
      const command =
        next === null ? { type: 'resource' as const, kind, name, record: null } : this.#book.command(next)
      const changes: readonly Json[] = view.changes
      return { kind, name, next, command, event, resource: { name }, details: { changes } }
    })
    const commands = [...steps.map(({ command }) => command), ...records]
    const happenings = steps.map(({ event, resource, details }) => ({ event, actor, resource, details }))
    await gateway.configuration.apply(loaded.config, () => gateway.commit(commands, ...happenings))
    for (const { kind, name, next } of steps) {
      if (next === null) this.#book.remove(kind, name)
      else this.#book.put(next)
    }
    gateway.configuration.took(loaded)
    for (const { kind, name, next, event } of steps) {
      // A connection of the same name that comes later is another one: it begins connected.
      if (next === null && kind === 'connections' && gateway.deliveries.isDisconnected(name))
        await gateway.deliveries.setConnected(name, true)
      const labels = { [resourceNouns[kind]]: name, client: actor.name, event }
      gateway.log.info(labels, 'configuration changed by API')
    }
  }

  exported(): string {
    return exportText(this.#gateway.configuration.loaded, this.#secrets)
  }

  schema(kind: ResourceKind, act: ResourceRequest['act']): object {
    // The name stands in the path; a patch may leave out anything.
    const optional = (key: string): boolean => act === 'merge' || (act === 'replace' && key === 'name')
    return definitionSchema(kind, this.#gateway.plugins.sinks, optional)
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

/** A value as it goes into a diff: short ones only. */
function short(key: 'from' | 'to', value: unknown): Record<string, Json> {
  if (value === undefined || JSON.stringify(value).length > limits.resource_change_chars_max) return {}
  return { [key]: value as Json }
}

function isDelivery(kind: ResourceKind): kind is DeliveryKind {
  return (deliveryKinds as readonly ResourceKind[]).includes(kind)
}
