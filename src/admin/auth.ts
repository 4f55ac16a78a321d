/** Who may do what on the admin port: tokens, sessions, roles, and the lock against guessing. */
import type { FastifyRequest } from 'fastify'
import type { AdminConfig } from '../config/schema.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import { type Role, roles } from '../contract/roles.ts'
import type { Logger } from '../telemetry/log.ts'
import { actorOf } from './actor.ts'
import type { ClientRegistry, FoundClient } from './client-registry.ts'
import { AdminError } from './errors.ts'
import { GuessFlood, Lockout } from './lockout.ts'
import { isCsrfToken, type Session, type SessionTable } from './session-table.ts'
import type { SignInActivity, SignInTrail } from './sign-in-trail.ts'

export type { Role } from '../contract/roles.ts'

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

export const sessionCookie = 'mirrorgate_session'

/** RFC 6750 §3: how a client is told which scheme to use. */
const challenge = { 'www-authenticate': 'Bearer realm="mirrorgate"' }
const challengeInvalid = { 'www-authenticate': 'Bearer realm="mirrorgate", error="invalid_token"' }

const unauthorized = (message: string, headers: Readonly<Record<string, string>>): AdminError =>
  new AdminError(401, message, { headers })

interface SignInParts {
  readonly clients: ClientRegistry
  readonly sessions: SessionTable
  readonly trail: SignInTrail
  readonly log: Logger
}

export class SignIn {
  readonly #clients: ClientRegistry
  readonly #sessions: SessionTable
  readonly #trail: SignInTrail
  readonly #log: Logger
  readonly #lockout = new Lockout()
  readonly #flood = new GuessFlood()

  constructor({ clients, sessions, trail, log }: SignInParts) {
    this.#clients = clients
    this.#sessions = sessions
    this.#trail = trail
    this.#log = log
  }

  /** Notes in a request whose it is, by its token or by its session; throws 401, 403 or 429. */
  check(request: FastifyRequest): SignedIn {
    const { authorization } = request.headers
    const cookie = request.cookies[sessionCookie]
    if (authorization === undefined && cookie !== undefined) {
      request.session = this.#session(cookie, request)
      request.signedIn = request.session.client
      return request.signedIn
    }
    if (authorization === undefined) {
      this.#assertUnlocked(request, null)
      throw unauthorized('a token is required: authorization: Bearer <token>', challenge)
    }
    // RFC 9110 §11.1: the scheme is case-insensitive.
    const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1]
    request.signedIn = this.holder(token, request, 'token_login').client
    this.#trail.seen(actorOf(request))
    return request.signedIn
  }

  /** Whose token it is; throws 401 or 429. Every try from outside comes through here, and is counted here. */
  holder(token: string | undefined, request: FastifyRequest, activity: SignInActivity): FoundClient {
    this.#assertUnlocked(request, token === undefined ? null : activity)
    const found = token === undefined ? null : this.#clients.find(token)
    if (found === null) {
      this.#failed(request, activity)
      throw unauthorized('the token is not known here', challengeInvalid)
    }
    if (found.isExpired) {
      // Who has it did not guess it: told, and not counted towards the lock.
      this.#trail.failed(actorOf(request), activity)
      throw unauthorized('the token has expired: an admin can rotate it', challengeInvalid)
    }
    this.#flood.succeed(addressOf(request))
    this.#clients.noteUse(found.client.id)
    return found
  }

  /** `activity`: what is tried with a token; null when there is none. */
  #assertUnlocked(request: FastifyRequest, activity: SignInActivity | null): void {
    const address = addressOf(request)
    const [ownMs, allMs] = [this.#lockout.waitMs(address), this.#flood.waitMs(address)]
    const waitMs = Math.max(ownMs, allMs)
    if (waitMs === 0) return
    if (activity !== null) this.#trail.failed(actorOf(request), activity)
    const message =
      ownMs > 0
        ? 'too many failed sign-ins from this address: it is locked, also for a right token'
        : 'too many failed sign-ins from many addresses: only those that signed in before are let in'
    throw new AdminError(429, message, { headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) } })
  }

  #failed(request: FastifyRequest, activity: SignInActivity): void {
    const visitor = actorOf(request)
    this.#trail.failed(visitor, activity)
    if (this.#lockout.fail(addressOf(request))) {
      this.#log.warn({ address: addressOf(request) }, 'too many failed sign-ins: address locked')
      this.#trail.lockedOut(visitor)
    }
    if (this.#flood.fail()) {
      this.#log.warn('too many failed sign-ins from many addresses: new addresses locked')
      this.#trail.lockedOut({ ...visitor, request: { ip_address: 'several', user_agent: '' } })
    }
  }

  /** A session needs no lock: its id is 256 random bits. */
  #session(id: string, request: FastifyRequest): Session {
    const session = this.#sessions.find(id)
    if (session === null) throw unauthorized('the session is over: sign in again', challenge)
    if (!isSafe(request)) {
      assertSameOrigin(request, 'always')
      const given = request.headers['x-csrf-token']
      if (typeof given !== 'string' || !isCsrfToken(session, given))
        throw new AdminError(403, 'a change with a session needs its CSRF token in x-csrf-token')
    }
    this.#clients.noteUse(session.client.id)
    return session
  }
}

function addressOf({ socket }: FastifyRequest): string {
  return socket.remoteAddress ?? ''
}

/** RFC 9110 §9.2.1. */
function isSafe({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** RFC 6454 §7: a page of another site cannot send this one's origin. Throws 403. */
export function assertSameOrigin({ headers }: FastifyRequest, when: 'always' | 'if given'): void {
  const { origin, host } = headers
  if (origin === undefined && when === 'if given') return
  // The scheme may differ: TLS may end before the gateway.
  if (origin !== undefined && URL.canParse(origin) && new URL(origin).host === host?.toLowerCase()) return
  throw new AdminError(
    403,
    'a change with a session must come from a page of this host: see its Origin header',
  )
}

/** Throws 403 when the role of a client is below what is needed. */
export function assertRole({ role }: SignedIn, needed: Role): void {
  if (roles.indexOf(role) < roles.indexOf(needed)) {
    throw new AdminError(403, `this needs the role ${needed}, got ${role}`)
  }
}
