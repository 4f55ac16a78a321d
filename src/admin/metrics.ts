/** The Prometheus scrape; open unless `admin.metrics_public` says otherwise. */
import { Type } from '../contract/schema.ts'
import { byRole, type Resource } from './app.ts'

export const metrics: Resource = (app, { commands }) => {
  app.get(
    '/metrics',
    {
      config: { access: ({ metrics_public }) => (metrics_public ? 'open' : 'viewer') },
      schema: {
        tags: ['metrics'],
        summary: 'Metrics as Prometheus text',
        description: 'Open; with admin.metrics_public off, for the role viewer and above.',
        security: [{}, ...byRole('viewer')],
        // Scrapers may add parameters of their own.
        querystring: Type.Object({}),
        response: {
          200: { description: 'Prometheus text.', content: { 'text/plain': { schema: Type.String() } } },
        },
      },
    },
    async (_request, reply) => {
      const { type, text } = await commands.metrics()
      return reply.header('content-type', type).send(text)
    },
  )
}
