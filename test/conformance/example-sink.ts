/** Sends exchanges to the Acme audit service. */
import { defineSink, jsonArray, publicUrl, Type } from 'mirrorgate/plugin'

export default defineSink({
  name: 'acme',
  summary: 'Sends exchanges to the Acme audit service.',
  options: Type.Object(
    {
      url: Type.String({
        minLength: 1,
        description: 'Where events are posted: a URL, or a path under base_url.',
      }),
      index: Type.String({ default: 'api', description: 'Index that the events belong to.' }),
    },
    { additionalProperties: false },
  ),
  formats: ['exchange'],
  urls: ['url'],
  limits: { batch_bytes: 1_000_000, batch_items: 1000, item_bytes: 250_000 },
  legs: ({ url }) => [{ name: 'events', half: 'exchange', url: publicUrl(url) }],
  create: ({ options, http }) => ({
    async write(batch, signal) {
      const head = Buffer.from(`{"index":${JSON.stringify(options.index)},"events":`)
      const body = Buffer.concat([head, jsonArray(batch.ndjson), Buffer.from('}')])
      await http.post(options.url, { body, batch }, signal)
    },
    close() {},
  }),
})
