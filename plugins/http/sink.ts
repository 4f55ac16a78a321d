/** Sends whole exchanges to any URL, as one JSON document or as NDJSON. */
import { aktoBatch, defineSink, harLog, intoJsonArray, publicUrl, Type } from 'mirrorgate/plugin'

const MIB = 1024 * 1024

/** Formats whose batches are one document; of others it is a JSON array. */
const documents = new Map([
  ['har', harLog],
  ['akto', aktoBatch],
])

export default defineSink({
  name: 'http',
  summary:
    'Posts whole exchanges to any URL, as a JSON array, NDJSON, a HAR log, for Akto, or by a template.',
  options: Type.Object(
    {
      url: Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'Where exchanges are posted: a URL, or a path under the base_url of the connection.',
      }),
    },
    { additionalProperties: false },
  ),
  formats: ['exchange', 'ndjson', 'har', 'akto', 'template'],
  urls: ['url'],
  limits: { batch_bytes: 64 * MIB, batch_items: 100_000, item_bytes: 64 * MIB },
  legs: ({ url }) => [{ name: 'exchanges', half: 'exchange', url: publicUrl(url) }],
  create: ({ options, format, http }) => ({
    async write(batch, signal) {
      const lines = format === 'ndjson'
      const body = lines ? batch.ndjson : (documents.get(format) ?? intoJsonArray)(batch.ndjson)
      const headers = { 'content-type': lines ? 'application/x-ndjson' : 'application/json' }
      await http.post(options.url, { body, headers, batch }, signal)
    },
    close() {},
  }),
})
