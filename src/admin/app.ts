/** What a resource of the admin port is given: the typed server, the commands, and the rules of a route. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyTypeProvider,
  RawServerDefault,
  RouteOptions,
} from 'fastify'
import type { Static, TSchema, TUnsafe } from 'typebox'
import type { ActivityLog } from '../contract/activity.ts'
import type { AuditTrail } from '../contract/audit-trail.ts'
import { Type } from '../contract/schema.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Access, Role, SignedIn, SignIn } from './auth.ts'
import type { ClientBook } from './client-book.ts'
import type { ClientRegistry } from './client-registry.ts'
import type { Commands } from './commands.ts'
import type { Session, SessionTable } from './session-table.ts'
import type { TagBook } from './tag-book.ts'
import { ProblemAnswer, speaksProblems } from './konnect/problems.ts'
import { ErrorAnswer } from './views.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route says who may use it. */
    access?: Access
  }
  interface FastifyRequest {
    signedIn: SignedIn | null
    /** Of a request that signed in with a cookie. */
    session: Session | null
  }
}

/** Types of parts of requests and of answers, from the same schemas that validate and document them. */
export interface SchemaTypes extends FastifyTypeProvider {
  readonly validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  readonly serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}

export type AdminApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  SchemaTypes
>

export interface AdminContext {
  readonly commands: Commands
  readonly store: Store
  readonly tagBook: TagBook
  readonly activity: ActivityLog
  /** Where what a resource does becomes an entry of the activity log. */
  readonly trail: AuditTrail
  readonly clients: ClientRegistry
  readonly clientBook: ClientBook
  readonly sessions: SessionTable
  readonly signIn: SignIn
  readonly log: Logger
}

/** Adds the routes of one resource. */
export type Resource = (app: AdminApp, context: AdminContext) => void

/** Path parameters of a route below one named thing. */
export const NameParams = Type.Object({ name: Type.String() })

const Nothing = Type.Object({}, { additionalProperties: false })
const NoBody = optional(Nothing)

/** A body that may be left out; one schema instead of a union, so that a problem is told once. */
export function optional<T extends TSchema>(schema: T): TUnsafe<Static<T> | null> {
  return Type.Unsafe<Static<T> | null>({ ...schema, type: ['object', 'null'] })
}

/** The schema of one answer that is a single JSON value. */
export function answer<T extends TSchema>(schema: T, description: string): T {
  return { ...schema, description }
}

/** The schema of an answer without a body. */
export const Empty = Type.Unsafe<undefined>({ type: 'null' })

/** Gives a route what all have in common, and refuses one that does not say who may use it. */
export function completeRoute(route: RouteOptions): void {
  const access = route.config?.access
  if (access === undefined) throw new Error(`route ${String(route.method)} ${route.url} says no access`)
  const schema = route.schema ?? {}
  route.schema = schema
  const { url } = route
  schema.response = {
    ...(schema.response as object),
    '4xx': failure(url, 'The request cannot be answered so.'),
    '5xx': failure(url, '507: the disk is full; 503: too much is waiting; else a bug.'),
  }
  if (access === 'open') {
    schema.security = []
    return
  }
  if (typeof access === 'string') {
    schema.description ??= `For the role ${access} and above.`
    schema.security = byRole(access)
  }
  schema.querystring ??= Nothing
  if (takesBody(route.method)) schema.body ??= NoBody
}

/** OpenAPI 3.1: schemes other than OAuth list the roles that are needed; here, the least one. */
export function byRole(role: Role): Record<string, string[]>[] {
  return [{ token: [role] }, { session: [role] }]
}

function failure(url: string, description: string): object {
  if (!speaksProblems(url)) return answer(ErrorAnswer, description)
  return { description, content: { 'application/problem+json': { schema: ProblemAnswer } } }
}

function takesBody(method: RouteOptions['method']): boolean {
  return [method].flat().some((name) => name === 'POST' || name === 'PUT' || name === 'PATCH')
}
