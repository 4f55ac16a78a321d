/** What only streams have: replaying a range of the activity log, and previews of messages. */
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, NameParams, optional, type Resource } from './app.ts'
import { AdminError, notFound } from './errors.ts'
import { type Moment, momentProblem, parseMoment } from './moments.ts'
import { StreamAnswer } from './views.ts'

const tags = ['streams']

const moment = (description: string) => Type.String({ maxLength: 64, description })
const Range = Type.Object(
  {
    from: Type.Optional(moment('The first moment of what is sent again, ISO 8601; needs `to`.')),
    to: Type.Optional(moment('The last moment.')),
  },
  { additionalProperties: false },
)
const Request = Type.Object(
  {
    stream: Type.Optional(Type.String({ description: 'A stream: its newest event, and its settings.' })),
    message: Type.Optional(Type.String({ maxLength: 65_536, description: 'A template.' })),
    format: Type.Optional(Type.Enum(['json', 'ndjson', 'cef', 'cps'])),
    mask_data: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
const Answer = Type.Object({
  event: Type.Unknown({ description: 'The newest entry of the activity log that the stream asks for.' }),
  is_sample: Type.Boolean({ description: 'There was none: a sample stands in its place.' }),
  rendered: Type.String({ description: 'What would be sent.' }),
})

export const streams: Resource = (app, { commands }) => {
  app.post(
    '/api/streams/:name/replay',
    {
      config: { access: 'operator' },
      schema: {
        tags,
        summary: 'Tries the oldest waiting batch now, or sends a range of the activity log again',
        params: NameParams,
        body: optional(Range),
        response: { 200: answer(StreamAnswer, 'The stream.') },
      },
    },
    async (request) => {
      const { name } = request.params
      const actor = actorOf(request)
      const range = rangeOf(request.body ?? {})
      const view =
        range === null
          ? await commands.deliveries.streams.replay(name, actor)
          : await commands.streams.replayRange(name, range, actor)
      if (view === null) throw notFound('stream', name)
      return view
    },
  )
  app.post(
    '/api/streams/preview',
    {
      config: { access: 'operator' },
      schema: {
        tags,
        summary: 'Shows the newest event as a stream would send it',
        body: optional(Request),
        response: { 200: answer(Answer, 'The message.') },
      },
    },
    async ({ body }) => {
      const preview = await commands.streams.preview(body ?? {})
      if (preview === null) throw notFound('stream', body?.stream ?? '')
      if (!('problem' in preview)) return preview
      throw new AdminError(400, 'the request is not valid', { errors: { message: [preview.problem] } })
    },
  )
}

function rangeOf({ from, to }: { from?: string; to?: string }): { from: number; to: number } | null {
  if (from === undefined && to === undefined) return null
  const errors: Record<string, string[]> = {}
  const momentOf = (name: string, text = ''): Moment | null => {
    const moment = parseMoment(text)
    if (moment === null) errors[name] = [momentProblem(text)]
    return moment
  }
  const [first, last] = [momentOf('from', from), momentOf('to', to)]
  const range = { from: first?.first_ms ?? 0, to: last?.last_ms ?? 0 }
  if (range.from > range.to && first !== null && last !== null) errors['to'] = ['must not be before from']
  if (Object.keys(errors).length > 0) throw new AdminError(400, 'the request is not valid', { errors })
  return range
}
