/** Connections: where mirrors deliver to, taken off and put back by hand. */
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type AdminApp, NameParams, type Resource } from './app.ts'
import type { Commands } from './commands.ts'
import { notFound } from './errors.ts'
import { tagged } from './facts.ts'
import { ConnectionAnswer, list } from './views.ts'

const Switched = Type.Object({ name: Type.String(), connected: Type.Boolean() })

export const connections: Resource = (app, { commands }) => {
  addReads(app, commands)
  const acts = [
    { path: 'disconnect', connected: false, summary: 'Pauses every leg that uses it; the data is kept' },
    { path: 'connect', connected: true, summary: 'Resumes the legs that use it' },
  ]
  for (const { path, connected, summary } of acts) {
    app.post(
      `/api/connections/:name/${path}`,
      {
        config: { access: 'operator' },
        schema: {
          tags: ['connections'],
          summary,
          params: NameParams,
          response: { 200: answer(Switched, 'The connection.') },
        },
      },
      async (request) => {
        const { name } = request.params
        const connection = await commands.setConnection(name, connected, actorOf(request))
        if (connection === null) throw notFound('connection', name)
        return connection
      },
    )
  }
}

function addReads(app: AdminApp, { resources }: Commands): void {
  const tags = ['connections']
  app.get(
    '/api/connections',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'All connections',
        response: { 200: answer(list(ConnectionAnswer), 'They.') },
      },
    },
    () => {
      const data = resources.connections()
      return { data, total: data.length }
    },
  )
  app.get(
    '/api/connections/:name',
    {
      config: { access: 'viewer' },
      schema: {
        tags,
        summary: 'One connection',
        params: NameParams,
        response: { 200: answer(ConnectionAnswer, 'The connection.') },
      },
    },
    ({ params: { name } }, reply) => {
      const connection = resources.connection(name)
      if (connection === null) throw notFound('connection', name)
      tagged(reply, { resources }, 'connections', name)
      return connection
    },
  )
}
