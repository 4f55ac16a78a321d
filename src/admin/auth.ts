/** Who may do what on the admin port: bearer tokens, roles, and the lock against guessing. */
import type { AdminConfig } from '../config/schema.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Actor } from '../contract/audit-trail.ts'
import type { ClientRegistry } from './client-registry.ts'
import { AdminError } from './errors.ts'
import { Lockout } from './lockout.ts'
import type { SignInTrail } from './sign-in-trail.ts'

/** Each role may do what the ones before it may. */
export const roles = ['viewer', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

/** What a route asks for: a role, or nothing; may depend on the configuration. */
export type Access = Role | 'open' | ((admin: AdminConfig) => Role | 'open')

/** The client that a request belongs to. */
export interface SignedIn {
  /** Its number in the activity log: assigned once per client, from 1. */
  readonly id: number
  readonly name: string
  readonly role: Role
  /** The one whose activity log it sees. */
  readonly environment: EnvironmentName
}

/** RFC 6750 §3: how a client is told which scheme to use. */
const challenge = { 'www-authenticate': 'Bearer realm="mirrorgate"' }
const challengeInvalid = { 'www-authenticate': 'Bearer realm="mirrorgate", error="invalid_token"' }

export class SignIn {
  readonly #clients: ClientRegistry
  readonly #trail: SignInTrail
  readonly #log: Logger
  readonly #lockout = new Lockout()

  constructor(clients: ClientRegistry, trail: SignInTrail, log: Logger) {
    this.#clients = clients
    this.#trail = trail
    this.#log = log
  }

  /** The client of an `authorization` header that a visitor shows; throws 401 or 429. */
  check(authorization: string | undefined, visitor: Actor): SignedIn {
    const address = visitor.request?.ip_address ?? ''
    const waitMs = this.#lockout.waitMs(address)
    if (waitMs > 0) {
      if (authorization !== undefined) this.#trail.failed(visitor)
      const message = 'too many failed sign-ins from this address: it is locked, also for a right token'
      throw new AdminError(429, message, { headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) } })
    }
    if (authorization === undefined) {
      throw new AdminError(401, 'a token is required: authorization: Bearer <token>', { headers: challenge })
    }
    const client = this.#find(authorization)
    if (client !== null) return client
    this.#trail.failed(visitor)
    if (this.#lockout.fail(address)) {
      this.#log.warn({ address }, 'too many failed sign-ins: address locked')
      this.#trail.lockedOut(visitor)
    }
    throw new AdminError(401, 'the token is not known here', { headers: challengeInvalid })
  }

  #find(authorization: string): SignedIn | null {
    // RFC 9110 §11.1: the scheme is case-insensitive.
    const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1]
    return token === undefined ? null : this.#clients.find(token)
  }
}

/** Throws 403 when the role of a client is below what is needed. */
export function assertRole({ role }: SignedIn, needed: Role): void {
  if (roles.indexOf(role) < roles.indexOf(needed)) {
    throw new AdminError(403, `this needs the role ${needed}, got ${role}`)
  }
}
