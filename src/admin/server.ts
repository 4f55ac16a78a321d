/** The admin port: what is true of every route; each resource has its own file. */
import cookie from '@fastify/cookie'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { AuditTrail } from '../contract/audit-trail.ts'
import { StartError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import { activityLogs } from './activity-logs.ts'
import { type AdminContext, completeRoute, type Resource, type SchemaTypes } from './app.ts'
import { assertRole } from './auth.ts'
import { acceptJson } from './bodies.ts'
import { capture } from './capture.ts'
import { clients } from './clients.ts'
import { collections } from './collections.ts'
import type { Commands } from './commands.ts'
import { config } from './config.ts'
import { connections } from './connections.ts'
import { createContext } from './context.ts'
import { deadLetters } from './dead-letters.ts'
import { AdminError, answerClientError, answerError, answerExpectation } from './errors.ts'
import { health } from './health.ts'
import { incidents } from './incidents.ts'
import { konnect } from './konnect/index.ts'
import { logging } from './logging.ts'
import { metrics } from './metrics.ts'
import { deliveries } from './deliveries.ts'
import { events } from './events.ts'
import { openapi, openapiOptions } from './openapi.ts'
import { parseQuery } from './query.ts'
import { createRateLimits } from './rate-limits.ts'
import { resources as configResources } from './resources.ts'
import { RouteTable } from './route-table.ts'
import { secrets } from './secrets.ts'
import { session } from './session.ts'
import { SignInTrail } from './sign-in-trail.ts'
import { status } from './status.ts'
import { streams } from './streams.ts'
import { tags } from './tags.ts'
import { tagsAssignments } from './tags-assignments.ts'
import { compileValidator } from './validation.ts'
import { namedSchemas } from './views.ts'

const resources: readonly Resource[] = [
  health,
  metrics,
  openapi,
  status,
  collections,
  deliveries,
  deadLetters,
  streams,
  connections,
  capture,
  logging,
  configResources,
  activityLogs,
  incidents,
  tags,
  tagsAssignments,
  secrets,
  clients,
  session,
]
/** Those that read bodies in a way of their own: a scope of the server for each, at its price. */
const scopedResources: readonly Resource[] = [events, config, konnect]

/** Names hold at most 64 characters; percent-encoded, three times as many. */
const NAME_CHARS_MAX = 256
/** A head, and a whole request: generous for 1 MiB, short for a client that drips bytes to hold a socket. */
const HEAD_MS = 10_000
const REQUEST_MS = 30_000
const IDLE_MS = 60_000
/** A silent socket, also while a command runs: longer than the longest command. */
const SILENT_MS = 180_000
/** After this, answers in progress are cut so that a stop never waits for a slow reader. */
const CLOSE_MS = 2000

export interface AdminOptions {
  readonly commands: Commands
  readonly store: Store
  readonly trail: AuditTrail
  readonly log: Logger
  readonly dataDir: string
  readonly version: string
}

export interface AdminServer {
  readonly host: string
  readonly port: number
  /** Stops listening; answers in progress get a short while. */
  close(): Promise<void>
}

/** In place of Fastify's own compilers, which are not even loaded then: 30 modules. */
const compilersFactory = {
  // The cast: the type knows compilers of ajv's own schemas only.
  buildValidator: (() => compileValidator) as never,
  // Answers are made by the gateway itself: their schemas document them, and a test holds them to it.
  buildSerializer: () => () => (value: unknown) => JSON.stringify(value),
}

function createApp(log: Logger): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: limits.admin_body_bytes,
    requestTimeout: REQUEST_MS,
    connectionTimeout: SILENT_MS,
    keepAliveTimeout: IDLE_MS,
    http: { headersTimeout: HEAD_MS, connectionsCheckingInterval: 1000 },
    routerOptions: { maxParamLength: NAME_CHARS_MAX, querystringParser: parseQuery },
    return503OnClosing: false,
    schemaController: { compilersFactory },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => answerError(log)(error, request, reply),
  })
  app.server.on('checkExpectation', answerExpectation)
  app.server.maxConnections = limits.admin_connections_max
  app.setErrorHandler(answerError(log))
  for (const schema of namedSchemas) app.addSchema(schema)
  acceptJson(app)
  app.decorateRequest('signedIn', null)
  app.decorateRequest('session', null)
  return app
}

/** RFC 9110 §8.4: bodies are taken as they are; a coding that is not undone must not pass for the value. */
function assertPlainBody({ headers }: FastifyRequest): void {
  const coding = headers['content-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    throw new AdminError(415, 'the body must not have a content-encoding')
  }
}

async function addHooks(app: FastifyInstance, context: AdminContext): Promise<void> {
  const { commands, clients, signIn, log } = context
  const routes = new RouteTable()
  app.addHook('onRoute', (route) => {
    completeRoute(route)
    routes.add(route)
  })
  await app.register(cookie)
  const assertRate = await createRateLimits(app, () => commands.admin().rate_limits)
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    if (request.is404) throw routes.refusal(request)
    const admin = commands.admin()
    const { access } = request.routeOptions.config
    const needed = typeof access === 'function' ? access(admin) : access
    clients.load(commands.config())
    if (needed !== 'open') {
      const client = signIn.check(request)
      await assertRate(request, reply)
      assertRole(client, needed ?? 'admin')
    }
    assertPlainBody(request)
  })
  app.addHook('onResponse', async ({ method, routeOptions, params, signedIn }, { statusCode }) => {
    if (signedIn === null || method === 'GET' || method === 'HEAD') return
    const fields = { client: signedIn.name, method, route: routeOptions.url, params, status: statusCode }
    log.info(fields, 'admin request')
  })
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw startError(error as NodeJS.ErrnoException, `${host.includes(':') ? `[${host}]` : host}:${port}`)
  }
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

function startError(error: NodeJS.ErrnoException, place: string): unknown {
  const advice: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is taken: stop what listens there, or set another admin.port',
    EACCES: 'this user may not listen there: set an admin.port above 1023',
    EADDRNOTAVAIL: 'this machine has no such address: set another admin.host',
    ENOTFOUND: 'the name has no address: set another admin.host',
    EAFNOSUPPORT: 'this machine has no such kind of address: set another admin.host',
  }
  const code = error.code ?? ''
  if (advice[code] === undefined && error.syscall === undefined) return error
  const sentence = advice[code] ?? `${code}: set another admin.host or admin.port`
  return new StartError(`cannot listen on ${place} for the admin port: ${sentence}`)
}

async function close(app: FastifyInstance): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), CLOSE_MS)
  try {
    await app.close()
  } finally {
    clearTimeout(cut)
  }
}

/** Starts the admin port of `commands.admin()`; throws a StartError when it cannot. */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const { commands, log, version } = options
  const admin = commands.admin()
  const signInTrail = new SignInTrail(options)
  const context = createContext(options, signInTrail)
  const app = createApp(log)
  app.addHook('onClose', () => signInTrail.close())
  await app.register(swagger, openapiOptions(version))
  await addHooks(app, context)
  for (const resource of resources) resource(app.withTypeProvider<SchemaTypes>(), context)
  for (const resource of scopedResources) {
    app.register(async (scope) => resource(scope.withTypeProvider<SchemaTypes>(), context))
  }
  const port = await listen(app, admin.host, admin.port)
  return { host: admin.host, port, close: () => close(app) }
}
