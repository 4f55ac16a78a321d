/** What the API defined, as the gateway has it in memory: in the order of the last changes, secrets open. */
import { randomBytes } from 'node:crypto'
import type { Actor } from '../contract/audit-trail.ts'
import { StartError } from '../contract/errors.ts'
import { type ApiResource, apiPlace, type Definition, type ResourceKind } from '../contract/resources.ts'
import { type SecretTexts, valueAt, withTexts } from '../config/secret-texts.ts'
import type { KeptResource, ResourceCommand, ResourceRecord } from '../store/resources.ts'

/** Makes texts unreadable at rest. */
interface Sealing {
  seal(text: string): string
  open(sealed: string): string
}

type Origin = Omit<ResourceRecord, 'definition' | 'sealed'>

/** A resource with its secrets in clear: for memory only. */
export interface OpenResource extends ApiResource {
  readonly origin: Origin
}

/** As it is to be; null: gone. */
export type WantedResource = Pick<ApiResource, 'kind' | 'name'> & { readonly definition: Definition | null }

export class ResourceBook {
  readonly #sealing: Sealing
  readonly secrets: SecretTexts
  readonly #resources = new Map<string, OpenResource>()

  /** Throws a StartError when what was sealed cannot be opened. */
  constructor(kept: readonly KeptResource[], sealing: Sealing, secrets: SecretTexts) {
    this.#sealing = sealing
    this.secrets = secrets
    for (const one of kept) this.#resources.set(apiPlace(one), this.#open(one))
  }

  #open({ kind, name, record }: KeptResource): OpenResource {
    const { definition, sealed, ...origin } = record
    try {
      const texts = Object.entries(sealed).map(
        ([pointer, text]) => [pointer, this.#sealing.open(text)] as const,
      )
      return { kind, name, definition: withTexts(definition, new Map(texts)), origin }
    } catch (cause) {
      const what = `the secrets of ${apiPlace({ kind, name })} cannot be opened with the seal key in use`
      throw new StartError(`${what}: start with the key that sealed them`, { cause })
    }
  }

  list(): readonly OpenResource[] {
    return [...this.#resources.values()]
  }

  find(kind: ResourceKind, name: string): OpenResource | null {
    return this.#resources.get(apiPlace({ kind, name })) ?? null
  }

  /** All with some changed, or without them. The changed ones are last: what clashes is their fault. */
  with(changes: readonly WantedResource[]): ApiResource[] {
    const places = new Set(changes.map(apiPlace))
    const others: ApiResource[] = this.list().filter((one) => !places.has(apiPlace(one)))
    const changed = changes.flatMap(({ kind, name, definition }) =>
      definition === null ? [] : [{ kind, name, definition }],
    )
    return [...others, ...changed]
  }

  /** The next version of a resource, the `place`th of a change of several. */
  next(resource: ApiResource, actor: Actor, place: number): OpenResource {
    const { kind, name, definition } = resource
    const before = this.find(kind, name)?.origin
    const [at, by] = [new Date().toISOString(), actor.name]
    const origin: Origin = {
      etag: randomBytes(12).toString('base64url'),
      revision: 1 + place + Math.max(0, ...this.list().map((one) => one.origin.revision)),
      created_at: before?.created_at ?? at,
      created_by: before?.created_by ?? by,
      updated_at: at,
      updated_by: by,
    }
    return { kind, name, definition, origin }
  }

  /** How the store is told; secrets are sealed from here on. */
  command({ kind, name, definition, origin }: OpenResource): ResourceCommand {
    const pointers = [...this.secrets.ofDefinition(kind, definition).keys()]
    const sealed = pointers.map((pointer) => [
      pointer,
      this.#sealing.seal(String(valueAt(definition, pointer))),
    ])
    const blank = withTexts(definition, new Map(pointers.map((pointer) => [pointer, ''])))
    const record = {
      definition: blank,
      sealed: Object.fromEntries(sealed) as Record<string, string>,
      ...origin,
    }
    return { type: 'resource', kind, name, record }
  }

  /** Takes over what the store has by now. */
  put(resource: OpenResource): void {
    this.remove(resource.kind, resource.name)
    this.#resources.set(apiPlace(resource), resource)
  }

  remove(kind: ResourceKind, name: string): void {
    this.#resources.delete(apiPlace({ kind, name }))
  }
}
