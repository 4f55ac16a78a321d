/** What people do to clients made by API: checked against what is there, written together with its entry. */
import { randomBytes } from 'node:crypto'
import type { Actor, AuditTrail, Happening } from '../contract/audit-trail.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import { limits } from '../contract/limits.ts'
import type { Role } from '../contract/roles.ts'
import type { ClientRecord } from '../store/clients.ts'
import type { Command, Store } from '../store/store.ts'
import { type Client, type ClientRegistry, digestOf } from './client-registry.ts'
import { AdminError } from './errors.ts'

export interface NewClient {
  readonly name: string
  readonly role: Role
  readonly environment: EnvironmentName
  readonly expires_at: number | null
}

export type ClientChanges = Partial<Pick<NewClient, 'name' | 'role' | 'expires_at'>>

/** The one moment at which a token is seen. */
export interface WithToken {
  readonly client: Client
  readonly token: string
}

const TOKEN_PREFIX = 'mg_'
const TOKEN_BYTES = 32
/** Enough to tell tokens apart, and 238 bits less to guess than there are. */
const SHOWN_CHARS = TOKEN_PREFIX.length + 4

function newToken(): { token: string; digest: string; token_prefix: string } {
  const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url')
  return { token, digest: digestOf(token).toString('hex'), token_prefix: token.slice(0, SHOWN_CHARS) }
}

interface BookParts {
  readonly store: Store
  readonly trail: AuditTrail
  readonly clients: ClientRegistry
  /** Where a client of the file is defined: `gateway.yaml:12`. */
  readonly definedAt: (name: string) => string
}

export class ClientBook {
  readonly #parts: BookParts
  /** Checks and writes of one change at a time: another one between them would make the checks void. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: BookParts) {
    this.#parts = parts
  }

  create(wanted: NewClient, actor: Actor): Promise<WithToken> {
    return this.#inTurn(async () => {
      const { clients } = this.#parts
      this.#assertFree(wanted.name)
      if (clients.list().filter(({ managed_by }) => managed_by === 'api').length >= limits.clients_max)
        throw new AdminError(422, `there must be at most ${limits.clients_max} clients, got one more`)
      const { token, ...kept } = newToken()
      const { id, command } = clients.takeId()
      const made = { created_at: Date.now(), created_by: actor.name, rotated_at: null, previous: null }
      const { name, role, environment, expires_at } = wanted
      const details = { role, environment, expires_at: printed(expires_at), token_prefix: kept.token_prefix }
      const happening: Happening = { event: 'client_created', actor, resource: { id, name }, details }
      const client = await this.#write(id, { ...wanted, ...kept, ...made }, happening, [command])
      return { client, token }
    })
  }

  update(id: number, changes: ClientChanges, actor: Actor): Promise<Client> {
    return this.#inTurn(async () => {
      const before = this.#changeable(id)
      const after = { ...before, ...changes }
      const changed = changesOf(before, after)
      if (Object.keys(changed).length === 0) return this.#parts.clients.get(id) as Client
      this.#assertFree(after.name, id)
      this.#assertAdminStays(id, after)
      const resource = { id, name: after.name }
      return this.#write(id, after, {
        event: 'client_updated',
        actor,
        resource,
        details: { changes: changed },
      })
    })
  }

  /** A new token; the old one works until the overlap is over, any older one no more. */
  rotate(id: number, overlapMs: number, actor: Actor): Promise<WithToken> {
    return this.#inTurn(async () => {
      const before = this.#changeable(id)
      const { token, ...kept } = newToken()
      const now = Date.now()
      const previous = overlapMs === 0 ? null : { digest: before.digest, until: now + overlapMs }
      const details = { overlap_ms: overlapMs, token_prefix: kept.token_prefix }
      const resource = { id, name: before.name }
      const record = { ...before, ...kept, previous, rotated_at: now }
      const client = await this.#write(id, record, { event: 'client_rotated', actor, resource, details })
      return { client, token }
    })
  }

  delete(id: number, actor: Actor): Promise<void> {
    return this.#inTurn(async () => {
      const { name, role, environment } = this.#changeable(id)
      this.#assertAdminStays(id, null)
      const happening: Happening = {
        ...{ event: 'client_deleted', actor, resource: { id, name } },
        details: { role, environment },
      }
      await this.#apply(id, null, happening)
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  async #write(
    id: number,
    record: ClientRecord,
    happening: Happening,
    commands: readonly Command[] = [],
  ): Promise<Client> {
    await this.#apply(id, record, happening, commands)
    return this.#parts.clients.get(id) as Client
  }

  /** In force once it is on disk, entry and all; never before. */
  async #apply(
    id: number,
    record: ClientRecord | null,
    happening: Happening,
    commands: readonly Command[] = [],
  ): Promise<void> {
    const { store, trail, clients } = this.#parts
    await store.apply([{ type: 'client', id, record }, ...commands], trail.entries(happening))
    clients.put(id, record)
  }

  /** What is kept of a client; throws for one that is not there, or that the file defines. */
  #changeable(id: number): ClientRecord {
    const { clients, definedAt } = this.#parts
    const record = clients.record(id)
    if (record !== null) return record
    const client = clients.get(id)
    if (client === null) throw unknownClient(id)
    const place = definedAt(client.name)
    throw new AdminError(409, `client ${client.name} is defined in ${place}: change it there, and reload`)
  }

  #assertFree(name: string, id?: number): void {
    const other = this.#parts.clients.list().find((client) => client.name === name && client.id !== id)
    if (other === undefined) return
    const rule = `must be unique, client ${other.id} has it`
    throw new AdminError(409, 'another client has this name', { errors: { name: [rule] } })
  }

  /** Someone must be able to undo it: an admin whose token does not expire. */
  #assertAdminStays(id: number, after: Pick<ClientRecord, 'role' | 'expires_at'> | null): void {
    const isLasting = (one: Pick<Client, 'role' | 'expires_at'>): boolean =>
      one.role === 'admin' && one.expires_at === null
    const all = this.#parts.clients.list()
    const before = all.find((client) => client.id === id)
    if (before?.role !== 'admin' || (after !== null && isLasting(after))) return
    if (all.some((client) => client.id !== id && isLasting(client))) return
    throw new AdminError(409, 'this is the last admin: make another one first, whose token does not expire')
  }
}

export function unknownClient(id: number | string): AdminError {
  return new AdminError(404, `no client has this id, got ${JSON.stringify(id)}`)
}

const printed = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString())

/** The fields that differ, before and after, as people read them. */
function changesOf(before: ClientRecord, after: ClientRecord) {
  const shown = ({ name, role, expires_at }: ClientRecord) => ({
    name,
    role,
    expires_at: printed(expires_at),
  })
  const [from, to] = [shown(before), shown(after)]
  const fields = ['name', 'role', 'expires_at'] as const
  const changed = fields.filter((field) => from[field] !== to[field])
  return Object.fromEntries(changed.map((field) => [field, { from: from[field], to: to[field] }]))
}
