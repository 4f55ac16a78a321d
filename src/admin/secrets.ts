/** The secrets cache: forgotten on request, so that rotated secrets are used at once. */
import { Type } from '../contract/schema.ts'
import { actorOf } from './actor.ts'
import { answer, type Resource } from './app.ts'

const Success = Type.Object({ success: Type.Literal(true) })

export const secrets: Resource = (app, { commands }) => {
  app.post(
    '/api/secrets_management/clear_cache',
    {
      config: { access: 'operator' },
      schema: {
        tags: ['secrets'],
        summary: 'Forgets every cached secret: the next delivery reads what it needs',
        response: { 200: answer(Success, 'They are forgotten.') },
      },
    },
    async (request) => {
      await commands.clearSecrets(actorOf(request))
      return { success: true as const }
    },
  )
}
