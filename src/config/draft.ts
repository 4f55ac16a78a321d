/** A configuration whose shape was validated, on its way through the rules about its meaning. */
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import { type Place, type Places, pointerTo } from './places.ts'
import { hasReference } from './references.ts'
import type { GatewayFile, PluginModule } from './schema.ts'
import { deliveriesIn, isSection } from './validate.ts'
import { show } from './wording.ts'

export type MirrorDraft = GatewayFile['mirrors'][number] & Readonly<Record<string, unknown>>
export type StreamDraft = GatewayFile['streams'][number] & Readonly<Record<string, unknown>>
/** What both have. */
export type DeliveryDraft = MirrorDraft | StreamDraft

export interface Remark {
  readonly pointer: string
  readonly place: Place
  readonly message: string
}

/** One element of a list, with its place. */
export interface Entry<T> {
  readonly value: T
  readonly pointer: string
}

export interface DraftInput {
  readonly tree: unknown
  readonly places: Places
  readonly raw: ReadonlyMap<string, string>
  /** Pointers whose values are wrong already. */
  readonly broken: readonly string[]
  /** Pointers of texts whose references to secrets stay what they are. */
  readonly deferred: ReadonlySet<string>
  /** Options of providers that hold references to secrets, as templates. */
  readonly templates: ReadonlyMap<string, string>
  readonly sinks: readonly SinkDefinition[]
  readonly providers: readonly ProviderDefinition[]
  /** Where those come from that are not built in. */
  readonly plugins: readonly PluginModule[]
  /** Folder that relative paths start from. */
  readonly folder: string
  /** Data threads of the machine, where the file says nothing. */
  readonly threads: number
}

/**
 * What a rule works on. `file` has the shape of the schema, except where `sound` says no: rules ask first.
 */
export class Draft {
  readonly file: GatewayFile
  readonly folder: string
  readonly machineThreads: number
  readonly sinks: ReadonlyMap<string, SinkDefinition>
  readonly providers: ReadonlyMap<string, ProviderDefinition>
  readonly plugins: readonly PluginModule[]
  readonly problems: Remark[] = []
  readonly warnings: Remark[] = []
  readonly #input: DraftInput
  readonly #listed: Partial<Record<'collections' | 'connections', Entry<unknown>[]>> = {}

  constructor(input: DraftInput) {
    this.#input = input
    this.file = input.tree as GatewayFile
    this.folder = input.folder
    this.plugins = input.plugins
    this.machineThreads = input.threads
    this.sinks = new Map(input.sinks.map((sink) => [sink.name, sink]))
    this.providers = new Map(input.providers.map((provider) => [provider.name, provider]))
  }

  /** Whether nothing at, in or around any of these is known to be wrong. */
  sound(...pointers: string[]): boolean {
    return pointers.every((pointer) =>
      this.#input.broken.every(
        (broken) =>
          pointer !== broken &&
          broken !== '' &&
          !broken.startsWith(`${pointer}/`) &&
          !pointer.startsWith(`${broken}/`),
      ),
    )
  }

  /** Like `sound`, but what is inside may be wrong. */
  usable(pointer: string): boolean {
    return this.#input.broken.every((broken) => pointer !== broken && !pointer.startsWith(`${broken}/`))
  }

  /** Whether the file is a section at all. */
  isSection(): boolean {
    return isSection(this.file)
  }

  collections(): Entry<GatewayFile['collections'][number]>[] {
    return this.#entries('collections')
  }
  connections(): Entry<GatewayFile['connections'][number]>[] {
    return this.#entries('connections')
  }
  adminClients(): Entry<GatewayFile['admin']['clients'][number]>[] {
    return isSection(this.file.admin) ? this.#list(this.file.admin.clients, '/admin/clients') : []
  }
  mirrors(): Entry<MirrorDraft>[] {
    return this.#deliveries<MirrorDraft>('mirrors')
  }
  streams(): Entry<StreamDraft>[] {
    return this.#deliveries<StreamDraft>('streams')
  }

  #deliveries<D>(kind: 'mirrors' | 'streams'): Entry<D>[] {
    return deliveriesIn(this.file, kind).map(({ value, pointer }) => ({ value: value as D, pointer }))
  }

  #entries<K extends 'collections' | 'connections'>(key: K): Entry<GatewayFile[K][number]>[] {
    // Each mirror asks for all connections.
    this.#listed[key] ??= this.#list(this.file[key] as GatewayFile[K][number][], `/${key}`)
    return this.#listed[key] as Entry<GatewayFile[K][number]>[]
  }

  #list<T>(list: readonly T[] | undefined, pointer: string): Entry<T>[] {
    if (!Array.isArray(list)) return []
    return list.flatMap((value: T, at) =>
      isSection(value) ? [{ value, pointer: pointerTo(pointer, at) }] : [],
    )
  }

  /** A value as the file has it: references stay references. */
  shown(pointer: string, value: unknown): string {
    return show(this.#input.raw.get(pointer) ?? value)
  }

  /** Whether a text stands in the file itself, without any reference; what the API defined is sealed. */
  isClear(pointer: string): boolean {
    return this.isInFile(pointer) && !hasReference(this.#input.raw.get(pointer) ?? '')
  }

  /** Whether the file defined it, not the API. */
  isInFile(pointer: string): boolean {
    return this.#input.places.elsewhere(pointer) === null
  }

  /** Whether a value is not known before it is needed: it holds a reference to a secret. */
  isDeferred(pointer: string): boolean {
    return this.#input.deferred.has(pointer)
  }

  /** An option of a provider as a template; null when it holds no reference to a secret. */
  templateAt(pointer: string): string | null {
    return this.#input.templates.get(pointer) ?? null
  }

  /** Whether the file itself says it, rather than a default. */
  isSet(pointer: string): boolean {
    return this.#input.places.has(pointer)
  }

  problem(pointer: string, message: string): void {
    this.problems.push({ pointer, place: this.#input.places.value(pointer), message })
  }
  problemAtKey(pointer: string, message: string): void {
    this.problems.push({ pointer, place: this.#input.places.key(pointer), message })
  }
  /** A problem whose own path may not be shown. */
  problemAt(place: string, pointer: string, message: string): void {
    this.problems.push({ pointer, place: this.#input.places.key(place), message })
  }
  warn(pointer: string, message: string): void {
    this.warnings.push({ pointer, place: this.#input.places.value(pointer), message })
  }
}
