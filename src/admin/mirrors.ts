/** Mirrors: their counts and states, and what people do to them. */
import type { Actor } from '../contract/audit-trail.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, NameParams, type Resource } from './app.ts'
import type { Role } from './auth.ts'
import type { Commands, MirrorView } from './commands.ts'
import { notFound } from './errors.ts'
import { tagged, withFacts } from './facts.ts'
import { list, MirrorAnswer, TestResultAnswer } from './views.ts'

const tags = ['mirrors']

type Act = (commands: Commands, name: string, actor: Actor) => Promise<MirrorView | null>

/** What is done to one mirror and answered with it. */
const acts: readonly { method: 'POST' | 'DELETE'; path: string; access: Role; summary: string; act: Act }[] =
  [
    {
      method: 'POST',
      path: 'pause',
      access: 'operator',
      summary: 'Stops delivery; capture goes on',
      act: (commands, name, actor) => commands.pauseMirror(name, actor),
    },
    {
      method: 'POST',
      path: 'resume',
      access: 'operator',
      summary: 'Starts delivery again',
      act: (commands, name, actor) => commands.resumeMirror(name, actor),
    },
    {
      method: 'POST',
      path: 'replay',
      access: 'operator',
      summary: 'Tries the oldest waiting batch of every leg now; 409 when paused or disabled',
      act: (commands, name, actor) => commands.replayMirror(name, actor),
    },
    {
      method: 'DELETE',
      path: 'backlog',
      access: 'admin',
      summary: 'Throws the waiting items away, counted as purged',
      act: (commands, name, actor) => commands.purgeBacklog(name, actor),
    },
    {
      method: 'POST',
      path: 'dead-letters/replay',
      access: 'operator',
      summary: 'Puts the dead letters back into the queue',
      act: (commands, name, actor) => commands.replayDeadLetters(name, actor),
    },
    {
      method: 'DELETE',
      path: 'dead-letters',
      access: 'admin',
      summary: 'Throws the dead letters away',
      act: (commands, name, actor) => commands.deleteDeadLetters(name, actor),
    },
  ]

export const mirrors: Resource = (app, { commands }) => {
  addReads(app, commands)
  for (const { method, path, access, summary, act } of acts) {
    app.route({
      method,
      url: `/api/mirrors/:name/${path}`,
      config: { access },
      schema: { tags, summary, params: NameParams, response: { 200: answer(MirrorAnswer, 'The mirror.') } },
      handler: async (request) => {
        const { name } = request.params
        return found(await act(commands, name, actorOf(request)), name)
      },
    })
  }
  app.post(
    '/api/mirrors/:name/test',
    {
      config: { access: 'operator' },
      schema: {
        tags,
        summary: 'Sends one marked sample per leg now',
        params: NameParams,
        response: { 200: answer(TestResultAnswer, 'How each leg fared.') },
      },
    },
    async (request) => {
      const { name } = request.params
      return found(await commands.testMirror(name, actorOf(request)), name)
    },
  )
}

function addReads(app: AdminApp, commands: Commands): void {
  app.get(
    '/api/mirrors',
    {
      config: { access: 'viewer' },
      schema: { tags, summary: 'All mirrors', response: { 200: answer(list(MirrorAnswer), 'They.') } },
    },
    () => {
      const data = commands.mirrors().map((one) => withFacts(commands, 'mirrors', one))
      return { data, total: data.length }
    },
  )
  app.get(
    '/api/mirrors/:name',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'One mirror',
        params: NameParams,
        response: { 200: answer(MirrorAnswer, 'The mirror.') },
      },
    },
    ({ params: { name } }, reply) => {
      const mirror = found(commands.mirror(name), name)
      tagged(reply, commands, 'mirrors', name)
      return withFacts(commands, 'mirrors', mirror)
    },
  )
}

function found<T>(value: T | null, name: string): T {
  if (value === null) throw notFound('mirror', name)
  return value
}
