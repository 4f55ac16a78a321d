/** Whether the process lives, and whether it should be sent traffic; open to load balancers. */
import { Type } from '../contract/schema.ts'
import { answer, type Resource } from './app.ts'

const Health = Type.Object({ status: Type.Enum(['ok']) })
const Readiness = Type.Object({
  status: Type.Enum(['ready', 'starting', 'draining']),
  reasons: Type.Array(Type.String()),
})

export const health: Resource = (app, { commands }) => {
  app.get(
    '/healthz',
    {
      config: { access: 'open' },
      schema: {
        tags: ['health'],
        summary: 'The process lives',
        response: { 200: answer(Health, 'It does.') },
      },
    },
    () => ({ status: 'ok' as const }),
  )
  app.get(
    '/readyz',
    {
      config: { access: 'open' },
      schema: {
        tags: ['health'],
        summary: 'Clients are served; a collector that is down is no reason against it',
        response: { 200: answer(Readiness, 'Ready.'), 503: answer(Readiness, 'Starting or draining.') },
      },
    },
    (_request, reply) => {
      const readiness = commands.ready()
      reply.code(readiness.status === 'ready' ? 200 : 503)
      return readiness
    },
  )
}
