/** The log level, changed while the gateway runs. */
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type Resource } from './app.ts'

const Logging = Type.Object(
  { level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']) },
  { additionalProperties: false },
)

export const logging: Resource = (app, { commands }) => {
  app.put(
    '/api/logging',
    {
      config: { access: 'admin' },
      schema: {
        tags: ['logging'],
        summary: 'Sets the log level until the next start or reload',
        body: Logging,
        response: { 200: answer(Logging, 'The level in use.') },
      },
    },
    async (request) => {
      const { level } = request.body
      await commands.setLogLevel(level, actorOf(request))
      return { level }
    },
  )
}
