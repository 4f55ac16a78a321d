/** Audit webhooks as the API of Konnect has them: of the organization and of portals, with their status. */
import type { Static } from 'typebox'
import { Type } from '../../contract/schema.ts'
import type { WebhookRecord } from '../../store/webhooks.ts'
import { actorOf } from '../actor.ts'
import { answer, type AdminApp, type AdminContext, Empty } from '../app.ts'
import type { DeliveryView } from '../commands.ts'
import { AdminError } from '../errors.ts'
import { inlineDestination, organization, streamOf, type WebhookBook } from './book.ts'
import { assertEndpoint, Authorization, Endpoint, Format, moment, SkipVerification } from './destinations.ts'
import { type Place, places, scopeOf, unconfigured, withParams } from './places.ts'
import { addReplays } from './replays.ts'

const tags = ['audit webhooks']

const Enabled = Type.Boolean({ description: 'Whether lines are sent.' })
const WebhookPatch = Type.Object(
  {
    audit_log_destination_id: Type.Optional(Type.String({ description: 'Where they are sent.' })),
    enabled: Type.Optional(Enabled),
  },
  { additionalProperties: false },
)
const WebhookAnswer = Type.Object({
  audit_log_destination_id: Type.String({ description: 'Empty when there is none.' }),
  enabled: Enabled,
  updated_at: Type.String({ format: 'date-time' }),
})
/** The older form: the destination stands inside. */
const InlinePatch = Type.Object(
  {
    ...WebhookPatch.properties,
    endpoint: Type.Optional(Endpoint),
    authorization: Type.Optional(Authorization),
    log_format: Type.Optional(Format),
    skip_ssl_verification: Type.Optional(SkipVerification),
  },
  { additionalProperties: false },
)
const InlineAnswer = Type.Object({
  endpoint: Type.String({ description: `${unconfigured} when there is none.` }),
  enabled: Enabled,
  log_format: Format,
  skip_ssl_verification: SkipVerification,
  updated_at: Type.String({ format: 'date-time' }),
})
const StatusAnswer = Type.Object({
  last_attempt_at: Type.String({
    format: 'date-time',
    description: `${moment(null)} before the first attempt.`,
  }),
  last_response_code: Type.Integer({ description: '0 where there was no answer.' }),
  last_response_message: Type.Optional(Type.String({ description: 'Why the last attempt failed.' })),
  webhook_enabled: Type.Boolean(),
  webhook_status: Type.Enum(['active', 'inactive', unconfigured], {
    description: 'inactive: the last attempt failed.',
  }),
})

export function addWebhooks(app: AdminApp, context: AdminContext, book: WebhookBook): void {
  for (const version of ['v2', 'v3']) {
    for (const place of places(version)) {
      if (version === 'v2' && place.params === null) addInline(app, place, book)
      else addPlain(app, place, book)
      addStatus(app, context, place, book)
      addReplays(app, context, place, book)
    }
  }
  app.get(
    '/v2/audit-log-webhook/jwks.json',
    {
      config: { access: 'open' },
      schema: {
        tags,
        summary: 'The public keys that `sig` of lines is made with',
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

function addPlain(app: AdminApp, place: Place, book: WebhookBook): void {
  const shown = { 200: answer(WebhookAnswer, 'The webhook.') }
  app.get(
    place.path,
    {
      config: { access: 'viewer' },
      schema: { tags, summary: 'The webhook', ...withParams(place), response: shown },
    },
    ({ params }) => plain(book.webhook(scopeOf(params))),
  )
  app.patch(
    place.path,
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Points the webhook to a destination, switches it on or off',
        ...withParams(place),
        body: WebhookPatch,
        response: shown,
      },
    },
    async (request) => {
      const { audit_log_destination_id: id, enabled } = request.body as Static<typeof WebhookPatch>
      const changes = {
        ...(id !== undefined && { destination_id: id.toLowerCase() }),
        ...(enabled !== undefined && { enabled }),
      }
      return plain(await book.configure(scopeOf(request.params), changes, actorOf(request)))
    },
  )
  app.delete(
    place.path,
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Takes the destination off the webhook',
        ...withParams(place),
        response: { 204: answer(Empty, 'It has none any more.') },
      },
    },
    async (request, reply) => {
      await book.unset(scopeOf(request.params), actorOf(request))
      return reply.code(204).send()
    },
  )
}

function plain(webhook: WebhookRecord | null): Static<typeof WebhookAnswer> {
  return {
    audit_log_destination_id: webhook?.destination_id ?? '',
    enabled: webhook?.enabled ?? false,
    updated_at: moment(webhook?.updated_at ?? null),
  }
}

/** The organization's webhook as version 2 has it: it may bring its own destination. */
function addInline(app: AdminApp, { path }: Place, book: WebhookBook): void {
  const shown = { 200: answer(InlineAnswer, 'The webhook.') }
  app.get(
    path,
    { config: { access: 'viewer' }, schema: { tags, summary: 'The webhook', response: shown } },
    () => inline(book),
  )
  app.patch(
    path,
    {
      config: { access: 'admin' },
      schema: { tags, summary: 'Changes the webhook, and where it goes', body: InlinePatch, response: shown },
    },
    async (request) => {
      const { audit_log_destination_id: id, enabled, ...own } = request.body
      const actor = actorOf(request)
      if (own.endpoint !== undefined) assertEndpoint(own.endpoint)
      if (Object.keys(own).length > 0) await setInline(book, own, actor)
      const destination = id?.toLowerCase() ?? (Object.keys(own).length > 0 ? inlineDestination : undefined)
      const changes = {
        ...(destination !== undefined && { destination_id: destination }),
        ...(enabled !== undefined && { enabled }),
      }
      await book.configure(organization, changes, actor)
      return inline(book)
    },
  )
}

type InlineChanges = Omit<Static<typeof InlinePatch>, 'audit_log_destination_id' | 'enabled'>

async function setInline(
  book: WebhookBook,
  own: InlineChanges,
  actor: ReturnType<typeof actorOf>,
): Promise<void> {
  if ((await book.change(inlineDestination, own, actor)) !== null) return
  const missing = (['endpoint', 'authorization'] as const).filter((key) => own[key] === undefined)
  if (missing.length > 0) {
    const errors = Object.fromEntries(missing.map((key) => [key, ['cannot be blank']]))
    throw new AdminError(400, 'required field missing', { errors })
  }
  const { endpoint = '', authorization = '', log_format = 'cef', skip_ssl_verification = false } = own
  const wanted = { name: 'audit-log-webhook', endpoint, authorization, log_format, skip_ssl_verification }
  await book.create(wanted, actor, inlineDestination)
}

function inline(book: WebhookBook): Static<typeof InlineAnswer> {
  const webhook = book.webhook(organization)
  const destination = book.destination(webhook?.destination_id ?? '')
  return {
    endpoint: destination?.endpoint ?? unconfigured,
    enabled: webhook?.enabled ?? false,
    log_format: destination?.log_format ?? 'cef',
    skip_ssl_verification: destination?.skip_ssl_verification ?? false,
    updated_at: moment(webhook?.updated_at ?? null),
  }
}

function addStatus(app: AdminApp, { commands }: AdminContext, place: Place, book: WebhookBook): void {
  app.get(
    `${place.path}/status`,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'How the webhook is doing',
        ...withParams(place),
        response: { 200: answer(StatusAnswer, 'Its status.') },
      },
    },
    ({ params }) => {
      const scope = scopeOf(params)
      const webhook = book.webhook(scope)
      return statusOf(webhook, commands.deliveries.streams.view(streamOf(scope)))
    },
  )
}

function statusOf(webhook: WebhookRecord | null, view: DeliveryView | null): Static<typeof StatusAnswer> {
  if (webhook?.destination_id === null || webhook === null)
    return { ...attempted(null), webhook_enabled: false, webhook_status: unconfigured }
  const [leg = null] = view?.legs ?? []
  return {
    ...attempted(leg),
    webhook_enabled: webhook.enabled,
    webhook_status: leg === null || leg.last_error === null ? 'active' : 'inactive',
  }
}

function attempted(leg: DeliveryView['legs'][number] | null) {
  const at = leg?.last_attempt_at ?? null
  const error = leg?.last_error ?? null
  return {
    last_attempt_at: moment(at === null ? null : Date.parse(at)),
    last_response_code: leg?.last_response_code ?? 0,
    ...(error !== null && { last_response_message: error }),
  }
}
