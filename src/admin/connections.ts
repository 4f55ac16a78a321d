/** Connections: taken off and put back by hand. */
import { Type } from 'typebox'
import { actorOf } from './actor.ts'
import { answer, NameParams, type Resource } from './app.ts'
import { notFound } from './errors.ts'

const Connection = Type.Object({ name: Type.String(), connected: Type.Boolean() })

export const connections: Resource = (app, { commands }) => {
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
          response: { 200: answer(Connection, 'The connection.') },
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
