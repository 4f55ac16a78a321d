/** How request bodies become values: JSON without prototype keys, and always UTF-8. */
import type { FastifyInstance } from 'fastify'
import { AdminError } from './errors.ts'

type ParserMethods = 'addContentTypeParser' | 'getDefaultJsonParser'

/** The text of a body; throws 400 for bytes that are no UTF-8. */
export function readText(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    throw new AdminError(400, 'the body must be UTF-8')
  }
}

/** JSON as the only body that every route takes; clients often send its content type with an empty body. */
export function acceptJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  acceptAsJson(app, 'application/json')
}

/** Takes bodies of one more type as JSON. */
export function acceptAsJson(app: Pick<FastifyInstance, ParserMethods>, type: string): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser(type, { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const text = readText(body)
    if (text.trim() === '') done(null, null)
    else parse(request, text, done)
  })
}
