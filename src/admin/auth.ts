/** Who may do what on the admin port: bearer tokens, roles, and the lock against guessing. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AdminConfig } from '../config/schema.ts'
import type { Logger } from '../telemetry/log.ts'
import { AdminError } from './errors.ts'
import { Lockout } from './lockout.ts'
import { ensureTokenFile } from './token-file.ts'

/** Each role may do what the ones before it may. */
export const roles = ['viewer', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

/** What a route asks for: a role, or nothing; may depend on the configuration. */
export type Access = Role | 'open' | ((admin: AdminConfig) => Role | 'open')

/** The client that a request belongs to. */
export interface SignedIn {
  readonly name: string
  readonly role: Role
}

interface Known extends SignedIn {
  readonly digest: Buffer
}

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest()

/** RFC 6750 §3: how a client is told which scheme to use. */
const challenge = { 'www-authenticate': 'Bearer realm="mirrorgate"' }
const challengeInvalid = { 'www-authenticate': 'Bearer realm="mirrorgate", error="invalid_token"' }

export class SignIn {
  readonly #dataDir: string
  readonly #log: Logger
  readonly #lockout = new Lockout()
  /** Per configuration object, so that a reload is seen at once and nothing is hashed per request. */
  readonly #known = new WeakMap<AdminConfig, readonly Known[]>()

  constructor(dataDir: string, log: Logger) {
    this.#dataDir = dataDir
    this.#log = log
  }

  /** Makes the token file where it is needed, so that a start fails when it cannot be made. */
  prepare(admin: AdminConfig): void {
    this.#clients(admin)
  }

  /** The client of an `authorization` header; throws 401 or 429. */
  check(admin: AdminConfig, authorization: string | undefined, address: string): SignedIn {
    const waitMs = this.#lockout.waitMs(address)
    if (waitMs > 0) {
      const message = 'too many failed sign-ins from this address: it is locked, also for a right token'
      throw new AdminError(429, message, { headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) } })
    }
    if (authorization === undefined) {
      throw new AdminError(401, 'a token is required: authorization: Bearer <token>', { headers: challenge })
    }
    const client = this.#find(admin, authorization)
    if (client !== null) return client
    if (this.#lockout.fail(address)) this.#log.warn({ address }, 'too many failed sign-ins: address locked')
    throw new AdminError(401, 'the token is not known here', { headers: challengeInvalid })
  }

  #find(admin: AdminConfig, authorization: string): SignedIn | null {
    // RFC 9110 §11.1: the scheme is case-insensitive.
    const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1]
    if (token === undefined) return null
    const digest = digestOf(token)
    let found: SignedIn | null = null
    // All of them, so that the time tells nothing of the place of a match.
    for (const client of this.#clients(admin)) if (timingSafeEqual(client.digest, digest)) found = client
    return found
  }

  #clients(admin: AdminConfig): readonly Known[] {
    const known = this.#known.get(admin)
    if (known !== undefined) return known
    const clients =
      admin.clients.length > 0
        ? admin.clients.map(({ name, role, token }) => ({ name, role, digest: digestOf(token) }))
        : [this.#generated()]
    this.#known.set(admin, clients)
    return clients
  }

  #generated(): Known {
    const { path, token, isNew } = ensureTokenFile(this.#dataDir)
    const sentence = isNew
      ? 'the admin token was generated into this file'
      : 'the admin token is in this file'
    this.#log.warn({ path }, `no admin clients are configured: ${sentence}`)
    return { name: 'admin-token', role: 'admin', digest: digestOf(token) }
  }
}

/** Throws 403 when the role of a client is below what is needed. */
export function assertRole({ role }: SignedIn, needed: Role): void {
  if (roles.indexOf(role) < roles.indexOf(needed)) {
    throw new AdminError(403, `this needs the role ${needed}, got ${role}`)
  }
}
