/** The OpenAPI document of the admin port, made from the schemas that its routes validate with. */
import { Type } from '../contract/schema.ts'
import { answer, type Resource } from './app.ts'
import { sessionCookie } from './auth.ts'

interface Operation {
  readonly requestBody?: {
    required?: boolean
    readonly content: Readonly<Record<string, { readonly schema?: unknown }>>
  }
}

/** The generator takes every body for required; one that may be null may also be left out. */
function withOptionalBodies<Document extends object>(document: Document): Document {
  const { paths = {} } = document as { paths?: Record<string, Record<string, Operation>> }
  for (const { requestBody } of Object.values(paths).flatMap((operations) => Object.values(operations))) {
    const { type } = (requestBody?.content['application/json']?.schema ?? {}) as { type?: unknown }
    if (requestBody !== undefined && Array.isArray(type)) requestBody.required = !type.includes('null')
  }
  return document
}

const securitySchemes = {
  token: { type: 'http' as const, scheme: 'bearer', description: 'The token of a client.' },
  session: {
    type: 'apiKey' as const,
    in: 'cookie' as const,
    name: sessionCookie,
    description:
      'From POST /api/session. A change also needs its CSRF token in x-csrf-token and this host’s Origin.',
  },
}

/** Options of the generator. */
export const openapiOptions = (version: string) => ({
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'mirrorgate admin port',
      version,
      description: 'Reads and manages a mirrorgate. viewer < operator < admin.',
    },
    components: { securitySchemes },
  },
  transformObject: (made: object) => withOptionalBodies((made as { openapiObject: object }).openapiObject),
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
