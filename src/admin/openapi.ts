/** The OpenAPI document of the admin port, made from the schemas that its routes validate with. */
import { Type } from 'typebox'
import { answer, type Resource } from './app.ts'

/** Options of the generator. */
export const openapiOptions = (version: string) => ({
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'mirrorgate admin port',
      version,
      description: 'Reads and manages a mirrorgate. viewer < operator < admin.',
    },
    components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
    security: [{ token: [] }],
  },
  refResolver: { buildLocalReference: (schema: { $id?: unknown }) => String(schema.$id) },
})

export const openapi: Resource = (app) => {
  app.get(
    '/api/openapi.json',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['openapi'],
        summary: 'This document',
        response: { 200: answer(Type.Unsafe<object>({ type: 'object' }), 'OpenAPI 3.1.') },
      },
    },
    () => app.swagger(),
  )
}
