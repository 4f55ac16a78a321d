/** Mirrors and streams: their counts and states, and what people do to them. */
import { type DeliveryKind, deliveryKinds, resourceNouns } from '../contract/resources.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, NameParams, type Resource } from './app.ts'
import type { Role } from './auth.ts'
import type { Commands } from './commands.ts'
import type { DeliveryAct, DeliveryCommands } from './delivery-commands.ts'
import { notFound } from './errors.ts'
import { tagged, withFacts } from './facts.ts'
import { list, MirrorAnswer, StreamAnswer, TestResultAnswer } from './views.ts'

type Act = (commands: DeliveryCommands) => DeliveryAct

const views = { mirrors: MirrorAnswer, streams: StreamAnswer }

/** What is done to one of them and answered with it. */
const acts: readonly { method: 'POST' | 'DELETE'; path: string; access: Role; summary: string; act: Act }[] =
  [
    {
      method: 'POST',
      path: 'pause',
      access: 'operator',
      summary: 'Stops delivery; capture goes on',
      act: ({ pause }) => pause,
    },
    {
      method: 'POST',
      path: 'resume',
      access: 'operator',
      summary: 'Starts delivery again',
      act: ({ resume }) => resume,
    },
    {
      method: 'POST',
      path: 'replay',
      access: 'operator',
      summary: 'Tries the oldest waiting batch of every leg now; 409 when paused or disabled',
      act: ({ replay }) => replay,
    },
    {
      method: 'DELETE',
      path: 'backlog',
      access: 'admin',
      summary: 'Throws the waiting items away, counted as purged',
      act: ({ purgeBacklog }) => purgeBacklog,
    },
    {
      method: 'POST',
      path: 'dead-letters/replay',
      access: 'operator',
      summary: 'Puts the dead letters back into the queue',
      act: ({ replayDeadLetters }) => replayDeadLetters,
    },
    {
      method: 'DELETE',
      path: 'dead-letters',
      access: 'admin',
      summary: 'Throws the dead letters away',
      act: ({ deleteDeadLetters }) => deleteDeadLetters,
    },
  ]

export const deliveries: Resource = (app, { commands }) => {
  for (const kind of deliveryKinds) {
    addReads(app, commands, kind)
    addActs(app, commands.deliveries[kind], kind)
  }
}

function addActs(app: AdminApp, commands: DeliveryCommands, kind: DeliveryKind): void {
  const tags = [kind]
  const noun = resourceNouns[kind]
  for (const { method, path, access, summary, act } of acts) {
    // A stream's has a body.
    if (kind === 'streams' && path === 'replay') continue
    app.route({
      method,
      url: `/api/${kind}/:name/${path}`,
      config: { access },
      schema: { tags, summary, params: NameParams, response: { 200: answer(views[kind], `The ${noun}.`) } },
      handler: async (request) => {
        const { name } = request.params
        return found(await act(commands)(name, actorOf(request)), noun, name)
      },
    })
  }
  app.post(
    `/api/${kind}/:name/test`,
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
      return found(await commands.test(name, actorOf(request)), noun, name)
    },
  )
}

function addReads(app: AdminApp, commands: Commands, kind: DeliveryKind): void {
  const tags = [kind]
  const noun = resourceNouns[kind]
  app.get(
    `/api/${kind}`,
    {
      config: { access: 'viewer' },
      schema: { tags, summary: `All ${kind}`, response: { 200: answer(list(views[kind]), 'They.') } },
    },
    () => {
      const data = commands.deliveries[kind].list().map((one) => withFacts(commands, kind, one))
      return { data, total: data.length }
    },
  )
  app.get(
    `/api/${kind}/:name`,
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: `One ${noun}`,
        params: NameParams,
        response: { 200: answer(views[kind], `The ${noun}.`) },
      },
    },
    ({ params: { name } }, reply) => {
      const view = found(commands.deliveries[kind].view(name), noun, name)
      tagged(reply, commands, kind, name)
      return withFacts(commands, kind, view)
    },
  )
}

function found<T>(value: T | null, noun: string, name: string): T {
  if (value === null) throw notFound(noun, name)
  return value
}
