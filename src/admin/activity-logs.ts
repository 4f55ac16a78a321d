/** The activity log: read, searched, exported, and added to by the systems around the gateway. */
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { IdempotencyKey } from '../contract/activity.ts'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import {
  ActivityShape,
  ChainedShape,
  EntriesBody,
  newActivities,
  printed,
  printedChained,
} from './activity-entry.ts'
import { ActivityExport, contentTypes } from './activity-export.ts'
import { ExportQuery, FilterQuery, filterOf, ListQuery, pageOf } from './activity-query.ts'
import { actorOf } from './actor.ts'
import { type AdminApp, type AdminContext, answer, type Resource } from './app.ts'
import type { SignedIn } from './auth.ts'
import { untilGone } from './client-gone.ts'
import { AdminError } from './errors.ts'
import { list } from './views.ts'

const tags = ['activity_logs']
const path = '/api/activity_logs'
const Text = Type.Unsafe<string | Readable>({ type: 'string' })

export const activityLogs: Resource = (app, context) => {
  addReads(app, context)
  addExport(app, context)
  addAppend(app, context)
  app.get(
    `${path}/jwks.json`,
    {
      config: { access: 'open' },
      schema: {
        tags,
        summary: 'The public keys that checkpoints of the log are signed with',
        response: {
          200: answer(
            Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.String())) }),
            'RFC 7517.',
          ),
        },
      },
    },
    () => ({ keys: [...context.activity.jwks().keys] }),
  )
}

function addReads(app: AdminApp, { activity }: AdminContext): void {
  app.get(
    path,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'Activities in the environment of the client',
        querystring: ListQuery,
        response: { 200: answer(list(ActivityShape), 'One page of them.') },
      },
    },
    async (request, reply) => {
      const page = pageOf(request.query, environmentOf(request))
      const { data, total } = await activity.page(page, untilGone(reply))
      return { data: data.map(printed), total }
    },
  )
  const counts = (description: string) => Type.Record(Type.String(), Type.Integer(), { description })
  app.get(
    `${path}/stats`,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'How many activities there are',
        querystring: FilterQuery,
        response: {
          200: answer(
            Type.Object({
              total: Type.Integer(),
              by_type: counts('By event type.'),
              by_day: counts('By day in UTC.'),
            }),
            'The counts.',
          ),
        },
      },
    },
    async (request, reply) => {
      const filter = filterOf(request.query, environmentOf(request))
      return activity.stats(filter, untilGone(reply))
    },
  )
  app.get(
    `${path}/:id`,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'One activity with its place in the hash chain',
        params: Type.Object({ id: Type.String() }),
        response: { 200: answer(ChainedShape, 'The activity.') },
      },
    },
    async (request) => {
      const { id } = request.params
      const isId = /^[1-9]\d{0,14}$/.test(id)
      const entry = isId ? await activity.entry(Number(id), environmentOf(request)) : null
      if (entry === null) throw new AdminError(404, `no activity has this id, got ${JSON.stringify(id)}`)
      return printedChained(entry)
    },
  )
}

function addExport(app: AdminApp, { activity, trail, log }: AdminContext): void {
  let running = 0
  app.get(
    `${path}/export`,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'All activities that a filter leaves, oldest first, as a stream',
        querystring: ExportQuery,
        response: {
          200: {
            description: 'Lines of the hash chain, or a table.',
            content: {
              'application/x-ndjson': { schema: Text },
              'text/csv': { schema: Text },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { format = 'ndjson' } = request.query
      const environment = environmentOf(request)
      const filter = filterOf(request.query, environment)
      if (running >= limits.activity_exports_max) {
        const message = `at most ${limits.activity_exports_max} exports may run at a time`
        throw new AdminError(429, message, { headers: { 'retry-after': '5' } })
      }
      reply.type(contentTypes[format])
      reply.header('content-disposition', `attachment; filename="activity-${environment}.${format}"`)
      if (request.method === 'HEAD') return reply.send('')
      const made = new ActivityExport(activity, format, filter, untilGone(reply))
      const actor = actorOf(request)
      made.stream.once('error', (error) =>
        log.error({ err: error }, 'an export of the activity log broke off'),
      )
      running += 1
      made.stream.once('close', () => {
        running -= 1
        const { from = null, to = null } = request.query
        const complete = made.stream.readableEnded
        const details = { activity: format, entries: made.entries, complete, from, to }
        void trail.record({ event: 'activity_exported', actor, resource: { name: environment }, details })
      })
      return reply.send(made.stream)
    },
  )
}

function addAppend(app: AdminApp, { activity, commands }: AdminContext): void {
  app.post(
    path,
    {
      config: { access: 'operator' },
      schema: {
        tags,
        summary: 'Adds activities that other systems saw',
        headers: Type.Object({
          'idempotency-key': Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: limits.idempotency_key_chars_max,
              description:
                'Who sends the same body again under the same key adds nothing and gets the same ids.',
            }),
          ),
        }),
        body: EntriesBody,
        response: {
          202: answer(
            Type.Object({ data: Type.Object({ ids: Type.Array(Type.Integer()) }) }),
            'They are on the disk; their ids in the order of the body.',
          ),
        },
      },
    },
    async (request, reply) => {
      const client = clientOf(request)
      const entries = newActivities(request.body, commands.config(), client)
      const key = request.headers['idempotency-key']
      const ids = await activity.append(
        entries,
        key === undefined ? undefined : keyOf(key, client, request.body),
      )
      return reply.code(202).send({ data: { ids } })
    },
  )
}

/** Bodies that mean the same, and differ in their spaces alone, have the same digest. */
function keyOf(key: string, client: SignedIn, body: Static<typeof EntriesBody>): IdempotencyKey {
  const digest = createHash('sha256').update(JSON.stringify(body)).digest('hex')
  return { client: String(client.id), key, digest }
}

function clientOf({ signedIn, routeOptions }: FastifyRequest): SignedIn {
  if (signedIn === null) throw new Error(`route ${routeOptions.url} is open, but needs a client`)
  return signedIn
}

const environmentOf = (request: FastifyRequest) => clientOf(request).environment
