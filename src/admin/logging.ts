/** The log level, changed while the gateway runs. */
import { Type } from 'typebox'
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
    ({ body: { level } }) => {
      commands.setLogLevel(level)
      return { level }
    },
  )
}
