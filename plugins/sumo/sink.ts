/** Sends events to an HTTP source of Sumo Logic, a line each. */
import { defineSink, Type } from 'mirrorgate/plugin'

/** What a header can hold. */
const header = (description: string) =>
  Type.Optional(
    Type.String({
      maxLength: 1024,
      pattern: '^[\\x20-\\x7e]+$',
      rule: 'must be printable ASCII',
      description,
    }),
  )

const options = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      secret: true,
      description: 'Address of the HTTP source. Who knows it can write to it: it is a secret.',
    }),
    source_name: header('Their source name; if absent, that of the source.'),
    source_host: header('Their source host; if absent, that of the source.'),
    source_category: header('Their source category; if absent, that of the source.'),
    fields: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z0-9_.-]+$' }),
        Type.String({
          maxLength: 1024,
          pattern: '^[\\x20-\\x2b\\x2d-\\x3c\\x3e-\\x7e]+$',
          rule: 'must be printable ASCII without , and =',
        }),
        {
          additionalProperties: false,
          rule: 'must be a name of letters, digits, _ . and -',
          description: 'Fields of every message: they go in a header.',
        },
      ),
    ),
  },
  { additionalProperties: false },
)

export default defineSink({
  name: 'sumo',
  summary: 'Sends events to an HTTP source of Sumo Logic, a line each.',
  options,
  formats: ['ndjson'],
  urls: ['url'],
  limits: { batch_bytes: 1_000_000, batch_items: 10_000, item_bytes: 1_000_000 },
  legs: ({ url }) => [{ name: 'messages', half: 'exchange', url: hostOf(url) }],
  create({ options: own, http }) {
    const { source_name: name, source_host: host, source_category: category, fields = {} } = own
    const list = Object.entries(fields).map(([key, value]) => `${key}=${value}`)
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      ...(name !== undefined && { 'x-sumo-name': name }),
      ...(host !== undefined && { 'x-sumo-host': host }),
      ...(category !== undefined && { 'x-sumo-category': category }),
      ...(list.length > 0 && { 'x-sumo-fields': list.join(',') }),
    }
    return {
      async write(batch, signal) {
        await http.post(own.url, { body: batch.ndjson, headers, batch }, signal)
      },
      close() {},
    }
  },
})

/** Its path is the secret; the whole may be a reference that is not resolved yet. */
function hostOf(url: string): string {
  return URL.parse(url)?.origin ?? 'https://(secret)'
}
