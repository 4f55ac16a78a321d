/** Sends requests and responses to a SALT-style collector: two URLs, a JSON array each. */
import { defineSink, intoJsonArray, publicUrl, Type } from 'mirrorgate/plugin'

const MIB = 1024 * 1024

export default defineSink({
  name: 'salt',
  summary: 'Sends requests and responses, as JSON arrays, to the two URLs of a SALT-style collector.',
  options: Type.Object(
    {
      request_url: Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'Where requests are posted: a URL, or a path under the base_url of the connection.',
      }),
      response_url: Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'Where responses are posted: a URL, or a path under the base_url of the connection.',
      }),
    },
    { additionalProperties: false },
  ),
  formats: ['pair'],
  urls: ['request_url', 'response_url'],
  limits: { batch_bytes: 64 * MIB, batch_items: 100_000, item_bytes: 64 * MIB },
  legs: ({ request_url, response_url }) => [
    { name: 'requests', half: 'request', url: publicUrl(request_url) },
    { name: 'responses', half: 'response', url: publicUrl(response_url) },
  ],
  create: ({ options, http }) => ({
    async write(batch, signal) {
      const url = batch.leg === 'requests' ? options.request_url : options.response_url
      const headers = { 'content-type': 'application/json' }
      await http.post(url, { body: intoJsonArray(batch.ndjson), headers, batch }, signal)
    },
    close() {},
  }),
})
