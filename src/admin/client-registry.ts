/** Every client of the admin port, whoever defines it, found by the digest of its token. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AdminConfig, Config } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'
import type { ClientRecord } from '../store/clients.ts'
import type { Command, Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { SignedIn } from './auth.ts'
import { ensureTokenFile } from './token-file.ts'

export interface Client extends SignedIn {
  readonly managed_by: 'file' | 'api'
  /** Of those made by API; a token in a file is its owner's business. */
  readonly token_prefix: string | null
  readonly created_at: number | null
  readonly created_by: string | null
  readonly rotated_at: number | null
  readonly expires_at: number | null
  /** Until when the token before the last rotation works. */
  readonly overlap_until: number | null
}

/** A token by its digest. */
interface Key {
  readonly client: Client
  readonly digest: Buffer
  /** When it stops working. */
  readonly until: number
  /** Not the one before a rotation. */
  readonly isCurrent: boolean
}

export interface FoundClient {
  readonly client: Client
  /** The digest of the token; names it where the token itself must not be. */
  readonly key: string
  readonly isExpired: boolean
}

export interface RegistryParts {
  readonly store: Store
  readonly dataDir: string
  readonly log: Logger
}

type Sections = Pick<Config, 'admin' | 'environment'>

/** Number of the client made last; numbers are never given again, so that an entry means one client. */
const LAST_ID = 'client_id_last'

/**
 * A fast hash is right for tokens of 256 random bits: nobody can try them all, and a slow one would only make
 * each request slow. Tokens that people choose stand in the file; nothing of those is kept.
 */
export function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

export class ClientRegistry {
  readonly #store: Store
  readonly #dataDir: string
  readonly #log: Logger
  readonly #ids: Map<string, number>
  readonly #records: Map<number, ClientRecord>
  readonly #used: Map<number, number>
  readonly #written: Map<number, number>
  #lastId: number
  #loaded: AdminConfig | null = null
  #clients = new Map<number, Client>()
  #keys = new Map<string, Key>()

  constructor({ store, dataDir, log }: RegistryParts) {
    this.#store = store
    this.#dataDir = dataDir
    this.#log = log
    this.#ids = store.clients.ids()
    this.#records = store.clients.all()
    this.#used = store.clients.used()
    this.#written = new Map(this.#used)
    this.#lastId = Number(store.setting(LAST_ID) ?? 0)
  }

  /** Takes over the clients of a configuration; nothing is hashed again while it is the same. */
  load(config: Sections): void {
    if (config.admin === this.#loaded) return
    this.#loaded = config.admin
    const keys = this.#fromFile(config)
    const names = new Set(keys.map(({ client }) => client.name))
    for (const [id, record] of this.#records) {
      keys.push(...keysOf(id, record))
      if (!names.has(record.name)) continue
      const sentence = 'the file defines a client with the name of one made by API: rename or delete one'
      this.#log.warn({ client: record.name, id }, sentence)
    }
    this.#clients = new Map(keys.map(({ client }) => [client.id, client]))
    this.#keys = new Map(keys.map((key) => [key.digest.toString('hex'), key]))
  }

  /** The client that a token belongs to; the time it takes says nothing of the tokens there are. */
  find(token: string, now = Date.now()): FoundClient | null {
    const digest = digestOf(token)
    const key = digest.toString('hex')
    const known = this.#keys.get(key)
    if (known === undefined || !timingSafeEqual(known.digest, digest)) return null
    return { client: known.client, key, isExpired: known.until <= now }
  }

  /** Who holds a token now, by its digest; null once it has expired, was rotated away or deleted. */
  holder(key: string, now = Date.now()): Client | null {
    const known = this.#keys.get(key)
    return known?.isCurrent === true && known.until > now ? known.client : null
  }

  /** By number. */
  list(): Client[] {
    return [...this.#clients.values()].sort((a, b) => a.id - b.id)
  }

  get(id: number): Client | null {
    return this.#clients.get(id) ?? null
  }

  /** What is kept of a client made by API. */
  record(id: number): ClientRecord | null {
    return this.#records.get(id) ?? null
  }

  /** A number for a new client, and what must be written so that it stays taken. */
  takeId(): { id: number; command: Command } {
    this.#lastId += 1
    return { id: this.#lastId, command: { type: 'setting', name: LAST_ID, value: this.#lastId } }
  }

  /** What was written of a client made by API; null: it is gone. */
  put(id: number, record: ClientRecord | null): void {
    for (const [key, { client }] of this.#keys) if (client.id === id) this.#keys.delete(key)
    this.#clients.delete(id)
    this.#records.delete(id)
    if (record === null) {
      this.#used.delete(id)
      this.#written.delete(id)
      return
    }
    this.#records.set(id, record)
    for (const key of keysOf(id, record)) {
      this.#clients.set(id, key.client)
      this.#keys.set(key.digest.toString('hex'), key)
    }
  }

  /** Notes that a client is here; on disk at most once a minute. */
  noteUse(id: number, now = Date.now()): void {
    this.#used.set(id, now)
    if (now - (this.#written.get(id) ?? 0) < limits.client_used_write_ms) return
    this.#written.set(id, now)
    this.#store.apply([{ type: 'client_used', id, at: now }]).catch((error: unknown) => {
      this.#log.warn({ err: error, client: id }, 'writing when a client came last failed')
    })
  }

  lastUsedAt(id: number): number | null {
    return this.#used.get(id) ?? null
  }

  #fromFile({ admin, environment: gateways }: Sections): Key[] {
    const clients = admin.clients.length > 0 ? admin.clients : [this.#generated()]
    return clients.map(({ name, role, token, environment = gateways }) => ({
      client: { id: this.#idOf(name), name, role, environment, ...ofFile },
      digest: digestOf(token),
      until: Infinity,
      isCurrent: true,
    }))
  }

  #generated(): AdminConfig['clients'][number] {
    const { path, token, isNew } = ensureTokenFile(this.#dataDir)
    const sentence = isNew
      ? 'the admin token was generated into this file'
      : 'the admin token is in this file'
    this.#log.warn({ path }, `no admin clients are configured: ${sentence}`)
    return { name: 'admin-token', role: 'admin', token }
  }

  /** The number of a name in the file; a new one is on disk before any entry that is written after it. */
  #idOf(name: string): number {
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    const { id, command } = this.takeId()
    this.#ids.set(name, id)
    this.#store
      .apply([{ type: 'client_id', name, id }, command])
      .catch((error: unknown) => this.#log.error({ err: error }, 'writing the number of a client failed'))
    return id
  }
}

const ofFile = {
  managed_by: 'file',
  token_prefix: null,
  created_at: null,
  created_by: null,
  rotated_at: null,
  expires_at: null,
  overlap_until: null,
} as const

/** The tokens of a client made by API; the one in use comes last. */
function keysOf(id: number, { digest, previous, ...facts }: ClientRecord): Key[] {
  const client: Client = { id, ...facts, managed_by: 'api', overlap_until: previous?.until ?? null }
  const end = client.expires_at ?? Infinity
  const current = { client, digest: Buffer.from(digest, 'hex'), until: end, isCurrent: true }
  if (previous === null) return [current]
  const until = Math.min(previous.until, end)
  return [{ client, digest: Buffer.from(previous.digest, 'hex'), until, isCurrent: false }, current]
}
