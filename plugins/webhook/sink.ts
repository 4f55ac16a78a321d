/** Posts events as lines of text, as receivers of audit webhooks expect them. */
import { defineSink, publicUrl, Type } from 'mirrorgate/plugin'

const MIB = 1024 * 1024

export default defineSink({
  name: 'webhook',
  summary: 'Posts events as lines of text, as receivers of audit webhooks expect them.',
  options: Type.Object(
    {
      endpoint: Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'Where lines are posted: a URL, or a path under the base_url of the connection.',
      }),
      authorization: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 8192,
          secret: true,
          description: 'The Authorization header, sent as it stands here; if absent, that of the connection.',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  formats: ['ndjson'],
  urls: ['endpoint'],
  // A receiver that is as strict as the reference one takes 1 MiB.
  limits: { batch_bytes: MIB, batch_items: 10_000, item_bytes: MIB },
  legs: ({ endpoint }) => [{ name: 'events', half: 'exchange', url: publicUrl(endpoint) }],
  create: ({ options: { endpoint, authorization }, http }) => ({
    async write(batch, signal) {
      const headers = {
        'content-type': 'text/plain',
        ...(authorization !== undefined && { authorization }),
      }
      await http.post(endpoint, { body: batch.ndjson, headers, batch }, signal)
    },
    close() {},
  }),
})
