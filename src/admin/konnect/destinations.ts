/** Destinations of audit webhooks, as the API of Konnect has them: `/v2` and `/v3/audit-log-destinations`. */
import type { Static } from 'typebox'
import { Type } from '../../contract/schema.ts'
import { limits } from '../../contract/limits.ts'
import { logFormats } from '../../store/webhooks.ts'
import { actorOf } from '../actor.ts'
import { answer, type AdminApp, type AdminContext, Empty } from '../app.ts'
import { AdminError } from '../errors.ts'
import type { Destination, WebhookBook } from './book.ts'

const tags = ['audit webhooks']

export const Endpoint = Type.String({
  minLength: 1,
  maxLength: 4096,
  description: 'Where lines are posted: an https URL; http is taken with a warning.',
})
export const Authorization = Type.String({
  minLength: 1,
  maxLength: 8192,
  description: 'Sent as the Authorization header, as it stands; never answered.',
})
export const Format = Type.Enum([...logFormats], { description: 'Of each line.' })
export const SkipVerification = Type.Boolean({
  description: 'Whether any certificate of the endpoint is taken: anybody in between could read along.',
})
const Name = Type.String({ minLength: 1, maxLength: 255, description: 'For people.' })

const NewDestination = Type.Object(
  {
    name: Name,
    endpoint: Endpoint,
    authorization: Authorization,
    log_format: Type.Optional(Format),
    skip_ssl_verification: Type.Optional(SkipVerification),
  },
  { additionalProperties: false },
)
const DestinationPatch = Type.Partial(NewDestination, { additionalProperties: false })
const DestinationAnswer = Type.Object({
  id: Type.String({ description: 'A UUID.' }),
  name: Name,
  endpoint: Endpoint,
  log_format: Format,
  skip_ssl_verification: SkipVerification,
  created_at: Type.String({ format: 'date-time' }),
  updated_at: Type.String({ format: 'date-time' }),
})
const IdParams = Type.Object({ id: Type.String() })
const ListQuery = Type.Object(
  {
    'page[size]': Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.audit_destinations_max, description: 'Default 100.' }),
    ),
    'page[after]': Type.Optional(Type.String({ description: 'The id that the page comes after.' })),
    'page[before]': Type.Optional(Type.String({ description: 'The id that the page comes before.' })),
    'filter[name][eq]': Type.Optional(Type.String({ description: 'The whole name.' })),
    'filter[name][contains]': Type.Optional(Type.String({ description: 'A part of the name.' })),
  },
  { additionalProperties: false },
)
const cursor = Type.Unsafe<string | null>({ type: ['string', 'null'] })
const Page = Type.Object({
  data: Type.Array(DestinationAnswer),
  meta: Type.Object({ next: cursor, previous: cursor, size: Type.Integer() }),
})

export function addDestinations(app: AdminApp, { log }: AdminContext, book: WebhookBook): void {
  for (const version of ['v2', 'v3'] as const) {
    const path = `/${version}/audit-log-destinations`
    addList(app, path, book)
    const created = version === 'v2' ? 200 : 201
    app.post(
      path,
      {
        config: { access: 'admin' },
        schema: {
          tags,
          summary: 'Creates a destination',
          body: NewDestination,
          response: { [created]: answer(DestinationAnswer, 'The destination.') },
        },
      },
      async (request, reply) => {
        const {
          log_format = 'cef',
          skip_ssl_verification = false,
          ...rest
        } = request.body as Static<typeof NewDestination>
        const wanted = { ...rest, log_format, skip_ssl_verification }
        assertEndpoint(wanted.endpoint)
        const made = await book.create(wanted, actorOf(request))
        const warnings = warningsOf(made)
        for (const warning of warnings) log.warn({ destination: made.name }, warning)
        if (warnings.length > 0) reply.header('warning', warnings.map((text) => `299 - "${text}"`).join(', '))
        return reply.code(created).send(shown(made))
      },
    )
    addOne(app, path, book)
  }
}

function addList(app: AdminApp, path: string, book: WebhookBook): void {
  app.get(
    path,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'All destinations',
        querystring: ListQuery,
        response: { 200: answer(Page, 'One page of them.') },
      },
    },
    ({ query }) => pageOf(book.destinations(), query),
  )
}

function pageOf(all: readonly Destination[], query: Static<typeof ListQuery>): Static<typeof Page> {
  const { 'page[size]': size = 100, 'page[after]': after, 'page[before]': before } = query
  const { 'filter[name][eq]': name, 'filter[name][contains]': part } = query
  const found = all.filter(
    (one) => (name === undefined || one.name === name) && (part === undefined || one.name.includes(part)),
  )
  const at = (id: string) => found.findIndex((one) => one.id === id)
  const end = before === undefined || at(before) === -1 ? found.length : at(before)
  const begin = after !== undefined ? at(after) + 1 : before !== undefined ? Math.max(0, end - size) : 0
  const data = found.slice(begin, Math.min(end, begin + size))
  const [first, last] = [data[0], data.at(-1)]
  return {
    data: data.map(shown),
    meta: {
      next: last !== undefined && found.at(-1) !== last ? last.id : null,
      previous: first !== undefined && found[0] !== first ? first.id : null,
      size,
    },
  }
}

function addOne(app: AdminApp, path: string, book: WebhookBook): void {
  const one = { 200: answer(DestinationAnswer, 'The destination.') }
  const params = IdParams
  app.get(
    `${path}/:id`,
    { config: { access: 'viewer' }, schema: { tags, summary: 'One destination', params, response: one } },
    ({ params: { id } }) => shown(known(book.destination(uuid(id)), id)),
  )
  app.patch(
    `${path}/:id`,
    {
      config: { access: 'admin' },
      schema: { tags, summary: 'Changes a destination', params, body: DestinationPatch, response: one },
    },
    async (request) => {
      const { id } = request.params
      const changes = request.body
      if (changes.endpoint !== undefined) assertEndpoint(changes.endpoint)
      return shown(known(await book.change(uuid(id), changes, actorOf(request)), id))
    },
  )
  app.delete(
    `${path}/:id`,
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Deletes a destination that no webhook uses',
        params,
        response: { 204: answer(Empty, 'It is gone.') },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      if (!(await book.delete(uuid(id), actorOf(request)))) throw unknown(id)
      return reply.code(204).send()
    },
  )
}

function unknown(id: string): AdminError {
  return new AdminError(404, `no destination has this id, got ${id}`)
}

function known(destination: Destination | null, id: string): Destination {
  if (destination === null) throw unknown(id)
  return destination
}

function uuid(id: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return id.toLowerCase()
  const errors = { id: ['destination id format is invalid'] }
  throw new AdminError(400, 'could not parse destination id', { errors })
}

/** Throws 400 for what is no address of a web server. */
export function assertEndpoint(endpoint: string): void {
  const url = URL.parse(endpoint)
  const web = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (web && url.username === '' && url.password === '') return
  throw new AdminError(400, 'invalid endpoint', { errors: { endpoint: ['must be a valid URL'] } })
}

export function warningsOf({ endpoint, skip_ssl_verification: skips }: Destination): string[] {
  return [
    ...(endpoint.toLowerCase().startsWith('http:') ? ['the endpoint is not https: lines can be read'] : []),
    ...(skips ? ['the certificate of the endpoint is not verified: lines can be read in between'] : []),
  ]
}

function shown(destination: Destination): Static<typeof DestinationAnswer> {
  const { id, name, endpoint, log_format, skip_ssl_verification, created_at, updated_at } = destination
  return {
    ...{ id, name, endpoint, log_format, skip_ssl_verification },
    created_at: moment(created_at),
    updated_at: moment(updated_at),
  }
}

/** RFC 3339, in seconds; as Konnect writes it where there was none yet. */
export function moment(at: number | null): string {
  if (at === null) return '0001-01-01T00:00:00Z'
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z')
}
