/** Sessions of the console: who signed in with a token and goes on with a cookie. In memory alone. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { limits } from '../contract/limits.ts'
import type { Client, ClientRegistry } from './client-registry.ts'

export interface Session {
  readonly client: Client
  /** Goes with every change, so that another page that only rides on the cookie can change nothing. */
  readonly csrf: string
  /** When it ends whatever happens, and when it ends unless it is used. */
  readonly ends_at: number
  readonly idle_ends_at: number
}

interface Entry {
  readonly clientId: number
  /** Digest of the token that it was opened with: it ends with that token. */
  readonly tokenKey: string
  readonly csrf: string
  readonly startedAt: number
  usedAt: number
}

const ID_BYTES = 32

/** Found by digest, so that neither a memory dump's reader nor the time of a look-up learns an id. */
function keyOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url')
}

export class SessionTable {
  readonly #clients: ClientRegistry
  /** The one used longest ago first. */
  readonly #entries = new Map<string, Entry>()

  constructor(clients: ClientRegistry) {
    this.#clients = clients
  }

  get size(): number {
    return this.#entries.size
  }

  /** Opens a session for the holder of a token; the id is for the cookie and nowhere else. */
  open({ client, key }: { client: Client; key: string }, now = Date.now()): { id: string; session: Session } {
    this.#makeRoom(client.id, now)
    const id = randomBytes(ID_BYTES).toString('base64url')
    const csrf = randomBytes(ID_BYTES).toString('base64url')
    const entry = { clientId: client.id, tokenKey: key, csrf, startedAt: now, usedAt: now }
    this.#entries.set(keyOf(id), entry)
    return { id, session: sessionOf(entry, client) }
  }

  /** The session of a cookie, now in use; null when there is none any more. */
  find(id: string, now = Date.now()): Session | null {
    const key = keyOf(id)
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    this.#entries.delete(key)
    const client = this.#clientOf(entry, now)
    if (client === null) return null
    entry.usedAt = now
    this.#entries.set(key, entry)
    return sessionOf(entry, client)
  }

  /** Ends the session of a cookie, if there is one. */
  close(id: string): void {
    this.#entries.delete(keyOf(id))
  }

  /** The client as it is now: a changed role holds at once; null when the session is over. */
  #clientOf({ tokenKey, startedAt, usedAt }: Entry, now: number): Client | null {
    if (now - usedAt >= limits.session_idle_ms || now - startedAt >= limits.session_max_ms) return null
    return this.#clients.holder(tokenKey, now)
  }

  #makeRoom(clientId: number, now: number): void {
    for (const [key, entry] of this.#entries) {
      if (this.#clientOf(entry, now) === null) this.#entries.delete(key)
    }
    const own = [...this.#entries].filter(([, entry]) => entry.clientId === clientId)
    const [oldestOwn] = own
    if (oldestOwn !== undefined && own.length >= limits.sessions_per_client_max) {
      this.#entries.delete(oldestOwn[0])
    } else if (this.#entries.size >= limits.sessions_max) {
      for (const key of this.#entries.keys()) {
        this.#entries.delete(key)
        return
      }
    }
  }
}

function sessionOf({ csrf, startedAt, usedAt }: Entry, client: Client): Session {
  const end = startedAt + limits.session_max_ms
  return { client, csrf, ends_at: end, idle_ends_at: Math.min(end, usedAt + limits.session_idle_ms) }
}

/** Whether a text is the CSRF token of a session, in a time that tells nothing. */
export function isCsrfToken({ csrf }: Session, given: string): boolean {
  const [wanted, got] = [Buffer.from(csrf), Buffer.from(given)]
  return wanted.length === got.length && timingSafeEqual(wanted, got)
}
