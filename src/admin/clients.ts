/** Clients of the admin port: listed, and those made by API created, changed, rotated and deleted. */
import type { Static } from 'typebox'
import { environments } from '../contract/environments.ts'
import { limits } from '../contract/limits.ts'
import { roles } from '../contract/roles.ts'
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, Empty, optional, type Resource } from './app.ts'
import { type ClientBook, unknownClient, type WithToken } from './client-book.ts'
import type { Client, ClientRegistry } from './client-registry.ts'
import { AdminError } from './errors.ts'
import { momentProblem, parseMoment } from './moments.ts'
import { list } from './views.ts'

const tags = ['clients']

const Name = Type.String({
  minLength: 1,
  maxLength: 64,
  description: 'Letters, digits, dot, dash and underscore; unique.',
})
const RoleName = Type.Enum([...roles], { description: 'viewer < operator < admin' })
const Environment = Type.Enum([...environments], { description: 'Whose activity log it sees.' })
const ExpiresAt = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  description: 'ISO 8601; null: never.',
})

const NewClientBody = Type.Object(
  {
    name: Name,
    role: RoleName,
    environment: Type.Optional(Environment),
    expires_at: Type.Optional(ExpiresAt),
  },
  { additionalProperties: false },
)
const ChangesBody = Type.Object(
  { name: Type.Optional(Name), role: Type.Optional(RoleName), expires_at: Type.Optional(ExpiresAt) },
  { additionalProperties: false },
)
const RotateBody = optional(
  Type.Object(
    {
      overlap_ms: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: limits.client_overlap_ms_max,
          default: 0,
          description: 'How long the old token goes on working.',
        }),
      ),
    },
    { additionalProperties: false },
  ),
)
const IdParams = Type.Object({ id: Type.String() })

const moment = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description })
const clientFields = {
  id: Type.Integer({ description: 'Its number in the activity log.' }),
  name: Name,
  role: RoleName,
  environment: Environment,
  managed_by: Type.Enum(['file', 'api'], { description: 'Where the definition lives.' }),
  token_prefix: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: 'How its token begins; null where the file has it.',
  }),
  created_at: moment('When it was made by API.'),
  created_by: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'Who made it.' }),
  rotated_at: moment('When it got its token, if not at first.'),
  overlap_until: moment('Until when the token before it works.'),
  expires_at: moment('When its token stops working.'),
  last_used_at: moment('Its last request; to the minute after a restart.'),
}
const ClientAnswer = Type.Object(clientFields)
const TokenAnswer = Type.Object({
  ...clientFields,
  token: Type.String({ description: 'Shown this once; only a digest is kept.' }),
})

export const clients: Resource = (app, { clients: registry, clientBook: book }) => {
  addReads(app, registry)
  addCreate(app, registry, book)
  addChanges(app, registry, book)
}

function addReads(app: AdminApp, registry: ClientRegistry): void {
  app.get(
    '/api/clients',
    {
      config: { access: 'viewer' },
      schema: { tags, summary: 'All clients', response: { 200: answer(list(ClientAnswer), 'They.') } },
    },
    () => {
      const data = registry.list().map((client) => shown(client, registry))
      return { data, total: data.length }
    },
  )
  app.get(
    '/api/clients/:id',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'One client',
        params: IdParams,
        response: { 200: answer(ClientAnswer, 'The client.') },
      },
    },
    ({ params: { id } }) => {
      const client = registry.get(idOf(id))
      if (client === null) throw unknownClient(id)
      return shown(client, registry)
    },
  )
}

function addCreate(app: AdminApp, registry: ClientRegistry, book: ClientBook): void {
  app.post(
    '/api/clients',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Makes a client and its token, which is shown this once',
        description: 'For the role admin and above. The environment is the caller’s unless given.',
        body: NewClientBody,
        response: { 201: answer(TokenAnswer, 'The client, with its token.') },
      },
    },
    async (request, reply) => {
      const { name, role, environment = request.signedIn?.environment, expires_at } = request.body
      if (environment === undefined) throw new Error('a route for admins was reached without a client')
      const wanted = { name: nameOf(name), role, environment, expires_at: momentOf(expires_at) ?? null }
      const made = await book.create(wanted, actorOf(request))
      return reply.code(201).send(withToken(made, registry))
    },
  )
}

function addChanges(app: AdminApp, registry: ClientRegistry, book: ClientBook): void {
  app.patch(
    '/api/clients/:id',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Changes name, role or expiry; what is left out stays',
        params: IdParams,
        body: ChangesBody,
        response: { 200: answer(ClientAnswer, 'The client.') },
      },
    },
    async (request) => {
      const { name, role } = request.body
      const expiresAt = momentOf(request.body.expires_at)
      const changes = {
        ...(name === undefined ? {} : { name: nameOf(name) }),
        ...(role === undefined ? {} : { role }),
        ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
      }
      return shown(await book.update(idOf(request.params.id), changes, actorOf(request)), registry)
    },
  )
  app.post(
    '/api/clients/:id/rotate',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Gives a client a new token, which is shown this once; ends its sessions',
        params: IdParams,
        body: RotateBody,
        response: { 200: answer(TokenAnswer, 'The client, with its new token.') },
      },
    },
    async (request) => {
      const overlapMs = request.body?.overlap_ms ?? 0
      return withToken(await book.rotate(idOf(request.params.id), overlapMs, actorOf(request)), registry)
    },
  )
  app.delete(
    '/api/clients/:id',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Deletes a client; its tokens and sessions end at once',
        params: IdParams,
        response: { 204: answer(Empty, 'It is gone.') },
      },
    },
    async (request, reply) => {
      await book.delete(idOf(request.params.id), actorOf(request))
      return reply.code(204).send()
    },
  )
}

/** The number in a path; one that no client can have leads nowhere. */
function idOf(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw unknownClient(text)
  return Number(text)
}

function wrong(field: string, sentence: string): AdminError {
  return new AdminError(400, 'the request is not valid', { errors: { [field]: [sentence] } })
}

/** The names that the file allows too. */
function nameOf(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return name
  const rule = 'must begin with a letter or digit and hold only letters, digits, dot, dash and underscore'
  throw wrong('name', `${rule}, got ${JSON.stringify(name)}`)
}

function momentOf(text: string | null | undefined): number | null | undefined {
  if (text === null || text === undefined) return text
  const at = parseMoment(text)?.last_ms
  if (at === undefined) throw wrong('expires_at', momentProblem(text.slice(0, 64)))
  if (at <= Date.now()) throw wrong('expires_at', `must be in the future, got ${JSON.stringify(text)}`)
  return at
}

const printed = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString())

/** Without anything of its tokens but how they begin. */
function shown(client: Client, registry: ClientRegistry): Static<typeof ClientAnswer> {
  const { id, name, role, environment, managed_by, token_prefix, created_by } = client
  const overlap = client.overlap_until
  return {
    ...{ id, name, role, environment, managed_by, token_prefix },
    created_at: printed(client.created_at),
    created_by,
    rotated_at: printed(client.rotated_at),
    overlap_until: printed(overlap !== null && overlap > Date.now() ? overlap : null),
    expires_at: printed(client.expires_at),
    last_used_at: printed(registry.lastUsedAt(id)),
  }
}

function withToken({ client, token }: WithToken, registry: ClientRegistry): Static<typeof TokenAnswer> {
  return { ...shown(client, registry), token }
}
