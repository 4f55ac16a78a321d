/** What the API defined of the configuration, kept over restarts; secrets in it are sealed. */
import type { Database, RootDatabase } from 'lmdb'
import type { Definition, ResourceKind } from '../contract/resources.ts'

export interface ResourceRecord {
  /** Secret texts are empty here. */
  readonly definition: Definition
  /** The secret texts, sealed, by JSON pointer. */
  readonly sealed: Readonly<Record<string, string>>
  /** Of this version of it: another one with every change. */
  readonly etag: string
  /** Ascends with every change of any resource: the order in which they are laid over the file. */
  readonly revision: number
  readonly created_at: string
  readonly created_by: string
  readonly updated_at: string
  readonly updated_by: string
}

/** One resource as a whole; null removes it. */
export interface ResourceCommand {
  type: 'resource'
  kind: ResourceKind
  name: string
  record: ResourceRecord | null
}

export interface KeptResource {
  readonly kind: ResourceKind
  readonly name: string
  readonly record: ResourceRecord
}

export class ResourceTable {
  readonly #resources: Database<ResourceRecord, [kind: ResourceKind, name: string]>

  constructor(env: RootDatabase) {
    this.#resources = env.openDB({ name: 'resources' })
  }

  /** Inside a transaction of the store. */
  apply({ kind, name, record }: ResourceCommand): void {
    if (record === null) this.#resources.remove([kind, name])
    else this.#resources.put([kind, name], record)
  }

  /** All of them, in the order of their last changes. */
  all(): KeptResource[] {
    const all = [...this.#resources.getRange()].map(({ key: [kind, name], value }) => ({
      ...{ kind, name },
      record: value,
    }))
    return all.sort((a, b) => a.record.revision - b.record.revision)
  }
}
