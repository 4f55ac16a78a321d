/** The gateway as a whole. */
import { answer, type Resource } from './app.ts'
import { StatusAnswer } from './views.ts'

export const status: Resource = (app, { commands }) => {
  app.get(
    '/api/status',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['status'],
        summary: 'Version, configuration, threads and totals',
        response: { 200: answer(StatusAnswer, 'The gateway.') },
      },
    },
    () => commands.status(),
  )
}
