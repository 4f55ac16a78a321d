/** Every client of the admin port, found by the digest of its token. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AdminConfig, Config } from '../config/schema.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { SignedIn } from './auth.ts'
import { ensureTokenFile } from './token-file.ts'

interface Known extends SignedIn {
  readonly digest: Buffer
}

export interface RegistryParts {
  readonly store: Store
  readonly dataDir: string
  readonly log: Logger
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest()

/** Number of the client made last; numbers are never given again, so that an entry means one client. */
const LAST_ID = 'client_id_last'

export class ClientRegistry {
  readonly #store: Store
  readonly #dataDir: string
  readonly #log: Logger
  readonly #ids: Map<string, number>
  #lastId: number
  #loaded: AdminConfig | null = null
  readonly #byDigest = new Map<string, Known>()

  constructor({ store, dataDir, log }: RegistryParts) {
    this.#store = store
    this.#dataDir = dataDir
    this.#log = log
    this.#ids = store.clients.ids()
    this.#lastId = Number(store.setting(LAST_ID) ?? 0)
  }

  /** Takes over the clients of a configuration; nothing is hashed again while it is the same. */
  load(config: Pick<Config, 'admin' | 'environment'>): void {
    if (config.admin === this.#loaded) return
    this.#byDigest.clear()
    for (const client of this.#fromFile(config)) this.#byDigest.set(client.digest.toString('hex'), client)
    this.#loaded = config.admin
  }

  /** The client that a token belongs to. */
  find(token: string): SignedIn | null {
    const digest = digestOf(token)
    const client = this.#byDigest.get(digest.toString('hex'))
    return client !== undefined && timingSafeEqual(client.digest, digest) ? client : null
  }

  #fromFile({ admin, environment }: Pick<Config, 'admin' | 'environment'>): Known[] {
    if (admin.clients.length === 0) return [this.#generated(environment)]
    return admin.clients.map(({ name, role, token, environment: own }) => ({
      id: this.#idOf(name),
      name,
      role,
      environment: own ?? environment,
      digest: digestOf(token),
    }))
  }

  #generated(environment: EnvironmentName): Known {
    const { path, token, isNew } = ensureTokenFile(this.#dataDir)
    const sentence = isNew
      ? 'the admin token was generated into this file'
      : 'the admin token is in this file'
    this.#log.warn({ path }, `no admin clients are configured: ${sentence}`)
    const name = 'admin-token'
    return { id: this.#idOf(name), name, role: 'admin', environment, digest: digestOf(token) }
  }

  /** The number of a name; a new one is on disk before any entry that is written after it. */
  #idOf(name: string): number {
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    const id = this.#nextId()
    this.#ids.set(name, id)
    this.#store
      .apply([
        { type: 'client_id', name, id },
        { type: 'setting', name: LAST_ID, value: id },
      ])
      .catch((error: unknown) => this.#log.error({ err: error }, 'writing the number of a client failed'))
    return id
  }

  #nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }
}
