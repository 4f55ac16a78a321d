/** Replays of audit webhooks as the API of Konnect has them: a window of the log is sent again. */
import type { Static } from 'typebox'
import { limits } from '../../contract/limits.ts'
import { Type } from '../../contract/schema.ts'
import type { ReplayRecord } from '../../store/webhooks.ts'
import { actorOf } from '../actor.ts'
import { answer, type AdminApp, type AdminContext } from '../app.ts'
import { AdminError } from '../errors.ts'
import { momentProblem, parseMoment } from '../moments.ts'
import { streamOf, type WebhookBook } from './book.ts'
import { moment } from './destinations.ts'
import { type Place, scopeOf, unconfigured, withParams } from './places.ts'

const tags = ['audit webhooks']

const Window = Type.Object(
  {
    start_at: Type.String({ description: 'The first moment of what is sent again, RFC 3339.' }),
    end_at: Type.String({ description: 'The last moment.' }),
  },
  { additionalProperties: false },
)
const ReplayAnswer = Type.Object({
  start_at: Type.String(),
  end_at: Type.String(),
  status: Type.Enum([unconfigured, 'accepted', 'running', 'completed']),
  updated_at: Type.String(),
})

export function addReplays(app: AdminApp, context: AdminContext, place: Place, book: WebhookBook): void {
  const { commands, store } = context
  const statusNow = (scope: string): Static<typeof ReplayAnswer> =>
    replayOf(store.webhooks.replay(scope) ?? null, commands.streams.isReplaying(streamOf(scope)))
  app.get(
    place.replayPath,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'The last replay',
        ...withParams(place),
        response: { 200: answer(ReplayAnswer, 'The replay.') },
      },
    },
    ({ params }) => statusNow(scopeOf(params)),
  )
  app.put(
    place.replayPath,
    {
      config: { access: 'admin' },
      schema: {
        tags,
        summary: 'Sends what was logged between two moments of the last seven days again',
        ...withParams(place),
        body: Window,
        response: { 202: answer(ReplayAnswer, 'It has begun.') },
      },
    },
    async (request, reply) => {
      const scope = scopeOf(request.params)
      if (book.webhook(scope)?.enabled !== true) throw new AdminError(400, 'the webhook is not enabled')
      const { from, to } = windowOf(request.body)
      if (statusNow(scope).status === 'running')
        throw new AdminError(409, 'a replay job is currently running')
      const begun = await commands.streams.replayRange(streamOf(scope), { from, to }, actorOf(request))
      if (begun === null)
        throw new AdminError(409, 'the stream of the webhook was deleted: enable the webhook again')
      const record = { start_at: from, end_at: to, updated_at: Date.now() }
      await store.apply([{ type: 'audit_replay', scope, record }])
      return reply.code(202).send({ ...replayOf(record, true), status: 'accepted' as const })
    },
  )
}

function replayOf(record: ReplayRecord | null, isRunning: boolean): Static<typeof ReplayAnswer> {
  return {
    start_at: moment(record?.start_at ?? null),
    end_at: moment(record?.end_at ?? null),
    status: record === null ? unconfigured : isRunning ? 'running' : 'completed',
    updated_at: moment(record?.updated_at ?? null),
  }
}

function windowOf({ start_at, end_at }: Static<typeof Window>): { from: number; to: number } {
  const errors: Record<string, string[]> = {}
  const now = Date.now()
  const at = (field: string, text: string, end: 'first_ms' | 'last_ms'): number => {
    const found = parseMoment(text)
    if (found === null) errors[field] = [momentProblem(text.slice(0, 64))]
    else if (found[end] < now - limits.audit_replay_ms_max || found.first_ms > now)
      errors[field] = ['must be within the last 7 days']
    // The second, or the day, that is not over yet ends now.
    return Math.min(found?.[end] ?? 0, now)
  }
  const [from, to] = [at('start_at', start_at, 'first_ms'), at('end_at', end_at, 'last_ms')]
  if (from > to && Object.keys(errors).length === 0) errors['end_at'] = ['must not be before start_at']
  if (Object.keys(errors).length > 0) throw new AdminError(400, 'the request is not valid', { errors })
  return { from, to }
}
