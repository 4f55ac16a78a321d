/** Events of systems around the gateway, such as the jobs of a workflow engine: taken in for its streams. */
import type { Readable } from 'node:stream'
import type { FastifySchemaCompiler } from 'fastify'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'
import { answer, type Resource } from './app.ts'
import { AdminError } from './errors.ts'
import { compileValidator } from './validation.ts'

const jsonType = 'application/json'
const linesType = 'application/x-ndjson'

const Event = Type.Object(
  {
    type: Type.Optional(
      Type.String({
        description:
          'A name that the `events` of a stream ask for. Without one: job_details with `lines`, else ' +
          'job_summary; both need `id` and `status` (succeeded or failed).',
      }),
    ),
  },
  {
    description:
      `Any fields; at most ${limits.posted_event_bytes_max} bytes, ` +
      `nested at most ${limits.event_depth_max} levels deep.`,
  },
)
const Body = Type.Union([Event, Type.Array(Event)], {
  description: 'One event, several, or with application/x-ndjson one on each line.',
})
const Accepted = Type.Object({ accepted: Type.Integer({ description: 'Events of the body.' }) })

/** A stream is judged while it is read, not by a schema. */
const compileUnreadBody: FastifySchemaCompiler<object> = (part) =>
  part.httpPart === 'body' ? () => true : compileValidator(part)

export const events: Resource = (app, { commands }) => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser([jsonType, linesType], (_request, payload, done) => done(null, payload))
  app.route({
    method: 'POST',
    url: '/api/events',
    config: { access: 'operator' },
    schema: {
      tags: ['streams'],
      summary: 'Posts events to the streams that ask for their types: all of a body or nothing of it',
      body: Body,
      consumes: [jsonType, linesType],
      response: { 202: answer(Accepted, 'They are on the disk.') },
    },
    validatorCompiler: compileUnreadBody as FastifySchemaCompiler<unknown>,
    handler: async (request, reply) => {
      const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
      const body = request.body as Readable | null | undefined
      if (body === null || body === undefined) throw new AdminError(400, 'the body must hold an event')
      const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
      try {
        const { accepted } = await commands.postEvents(chunks, type === linesType)
        reply.code(202)
        return { accepted }
      } finally {
        // Refused in its middle, it is read to its end all the same: the connection takes the next request.
        body.resume()
      }
    },
  })
}
