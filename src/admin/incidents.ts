/** Incidents: what went wrong, what people were told of it, and who has taken notice. */
import type { TSchema } from 'typebox'
import { incidentKindNames, noticeStates, notificationChannels } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, type Resource } from './app.ts'
import type { Commands } from './commands.ts'
import { AdminError } from './errors.ts'
import type { IncidentDetailView, IncidentView, NotificationTestView } from './incident-commands.ts'
import { list } from './views.ts'

const tags = ['incidents']
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const moment = (description: string) => Type.String({ format: 'date-time', description })
const items = (description: string) => Type.Integer({ minimum: 0, description })
const strict = { additionalProperties: false } as const

const Channel = Type.Enum([...notificationChannels])

const NoticeShape = Type.Object({
  channel: Channel,
  event: Type.String({ description: '`opened`, `closed` or `reminder-N`.' }),
  state: Type.Enum([...noticeStates]),
  attempts: items('Tries so far.'),
  last_error: nullable(Type.String({ description: 'Why it was not sent.' })),
  sent_at: nullable(moment('When it was sent.')),
})

const OutcomeShape = Type.Object({
  reason: Type.String({ description: '`recovered`, or why nothing can be said of it any more.' }),
  replayed: items('Items that had waited and were delivered.'),
  lost: items('Items that were dropped meanwhile.'),
  purged: items('Items that a person threw away meanwhile.'),
  dead_lettered: items('Items that the destination refused one by one.'),
  waiting: items('Items that still wait.'),
})

const incidentFields = {
  id: Type.Integer(),
  kind: Type.Enum([...incidentKindNames]),
  subject: Type.String({ description: 'Which mirror, connection, secret, …' }),
  title: Type.String({ description: 'Ends the sentence that begins with the subject.' }),
  environment: Type.String(),
  state: Type.Enum(['open', 'closed']),
  opened_at: moment('When it was seen first.'),
  updated_at: moment('When more was learned of it.'),
  recovered_at: nullable(moment('When the trouble was over; what waited may have taken longer.')),
  closed_at: nullable(moment('When it was told that it is over.')),
  duration_ms: items('From opened_at to recovered_at, or until now.'),
  occurrences: items('How often it was seen.'),
  details: Type.Record(Type.String(), Type.Unknown(), {
    description: 'What is known of it: status, error, answer, legs, reasons, …',
  }),
  outcome: nullable(OutcomeShape),
  acknowledged: nullable(Type.Object({ at: moment('When.'), by: Type.String({ description: 'Client.' }) })),
  notices: Type.Array(NoticeShape, { description: 'What channels were told, or are to be told.' }),
}
const IncidentShape = Type.Object(incidentFields)

const DetailShape = Type.Object({
  ...incidentFields,
  steps: Type.Array(Type.Object({ text: Type.String(), command: Type.Optional(Type.String()) }), {
    description: 'What to do about it.',
  }),
  mirrors: Type.Array(
    Type.Object({
      kind: Type.Enum(['mirrors', 'streams']),
      name: Type.String(),
      sink: Type.String(),
      connection: nullable(Type.String()),
      headers: Type.Array(Type.String(), { description: 'Names of the headers of the connection.' }),
      references: Type.Array(Type.String(), { description: 'Secrets that the connection refers to.' }),
      legs: Type.Array(
        Type.Object({
          name: Type.String(),
          url: Type.String(),
          waiting: items('Items that wait.'),
          waiting_bytes: items('Bytes of them on disk.'),
          kept_until: nullable(moment('When the oldest is dropped.')),
        }),
      ),
    }),
    { description: 'The mirrors and streams that it concerns, as they are now.' },
  ),
})

const TestShape = Type.Object({
  channels: Type.Array(
    Type.Object({
      name: Channel,
      ok: Type.Boolean(),
      error: nullable(Type.String({ description: 'What the mail server or receiver said.' })),
      latency_ms: Type.Number({ minimum: 0 }),
    }),
  ),
})

const Query = Type.Object(
  {
    state: Type.Optional(Type.Enum(['open', 'closed'])),
    kind: Type.Optional(Type.Enum([...incidentKindNames])),
    'page[after]': Type.Optional(
      Type.Integer({ minimum: 1, description: 'Id of the last one of the page before.' }),
    ),
    'page[size]': Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.incident_page_max, default: limits.incident_page_max }),
    ),
  },
  strict,
)
const IdParams = Type.Object({ id: Type.String() })

// The views are the shapes: these names tie them together.
const OneAnswer = Type.Unsafe<IncidentView>(IncidentShape)
const DetailAnswer = Type.Unsafe<IncidentDetailView>(DetailShape)
const TestAnswer = Type.Unsafe<NotificationTestView>(TestShape)

export const incidents: Resource = (app, { commands }) => {
  addReads(app, commands)
  app.post(
    '/api/incidents/:id/acknowledge',
    {
      config: { access: 'operator' },
      schema: {
        tags,
        summary: 'Says that somebody has taken notice: nobody is reminded of it any more',
        params: IdParams,
        response: { 200: answer(OneAnswer, 'The incident.') },
      },
    },
    async (request) => {
      const { id } = request.params
      return found(await commands.incidents.acknowledge(numberOf(id), actorOf(request)), id)
    },
  )
  app.post(
    '/api/notifications/test',
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Sends a message to every channel now; 409 when none is configured',
        response: { 200: answer(TestAnswer, 'How each channel fared.') },
      },
    },
    (request) => commands.incidents.test(actorOf(request)),
  )
}

function addReads(app: AdminApp, { incidents: book }: Commands): void {
  app.get(
    '/api/incidents',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'Incidents, newest first',
        querystring: Query,
        response: { 200: answer(list(OneAnswer), 'One page of them.') },
      },
    },
    ({ query }) =>
      book.page({
        state: query.state ?? null,
        kind: query.kind ?? null,
        after: query['page[after]'] ?? null,
        size: query['page[size]'] ?? limits.incident_page_max,
      }),
  )
  app.get(
    '/api/incidents/:id',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'One incident, and what to do about it',
        params: IdParams,
        response: { 200: answer(DetailAnswer, 'The incident.') },
      },
    },
    ({ params: { id } }) => found(book.get(numberOf(id)), id),
  )
}

/** The number in a path; one that no incident can have leads nowhere. */
function numberOf(id: string): number {
  return /^[1-9]\d{0,14}$/.test(id) ? Number(id) : 0
}

function found<T>(value: T | null, id: string): T {
  if (value === null) throw new AdminError(404, `no incident has this id, got ${JSON.stringify(id)}`)
  return value
}
