/** Sends events to Datadog as logs. */
import {
  defineSink,
  type EventLine,
  eventLines,
  eventTime,
  OutcomeError,
  publicUrl,
  Type,
} from 'mirrorgate/plugin'

const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 200, description }))

const options = Type.Object(
  {
    site: Type.String({
      default: 'datadoghq.com',
      pattern: '^[a-z0-9.-]+$',
      rule: 'must be the name of a site, like datadoghq.eu',
      description: 'Site of the account: datadoghq.com, us3.datadoghq.com, datadoghq.eu and so on.',
    }),
    url: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'Another address, of an agent or a proxy: a URL, or a path under base_url.',
      }),
    ),
    api_key: Type.Optional(
      Type.String({
        minLength: 1,
        secret: true,
        description: 'API key; if absent, the connection has it: `DD-API-KEY`.',
      }),
    ),
    service: text('Their service.'),
    source: Type.String({ default: 'mirrorgate', maxLength: 200, description: 'Their source (ddsource).' }),
    hostname: text('Their host.'),
    tags: Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
      default: [],
      maxItems: 100,
      description: 'Their tags, as `name:value`.',
    }),
  },
  { additionalProperties: false },
)

/** Of one request and of one log, uncompressed (Datadog, send logs). */
const REQUEST_BYTES = 5_000_000
const LOG_BYTES = 1_000_000
/** A log that says to be older is taken, and not kept. */
const AGE_MS_MAX = 18 * 3_600_000

export default defineSink({
  name: 'datadog',
  summary: 'Sends events to Datadog as logs.',
  options,
  formats: ['exchange'],
  urls: ['url'],
  limits: { batch_bytes: REQUEST_BYTES, batch_items: 1000, item_bytes: LOG_BYTES },
  legs: (own) => [{ name: 'logs', half: 'exchange', url: publicUrl(addressOf(own)) }],
  create({ options: own, http }) {
    const { service, source, hostname, tags } = own
    const common = { ddsource: source, hostname, service }
    const headers = { ...(own.api_key !== undefined && { 'dd-api-key': own.api_key }) }
    return {
      async write(batch, signal) {
        const oldest = Date.now() - AGE_MS_MAX
        const logs = [...eventLines(batch)].map((line) => logOf(line, { common, tags, oldest }))
        const body = Buffer.from(`[${logs.join(',')}]`)
        assertFits(body, logs)
        await http.post(addressOf(own), { body, headers, batch }, signal)
      },
      close() {},
    }
  },
})

function addressOf({ site, url }: { readonly site: string; readonly url?: string }): string {
  return url ?? `https://http-intake.logs.${site}/api/v2/logs`
}

interface Common {
  readonly common: Readonly<Record<string, string | undefined>>
  readonly tags: readonly string[]
  readonly oldest: number
}

/**
 * Datadog reads a message that is JSON, and takes its time from there: an old one would be thrown away
 * without a word, so it comes as text of now.
 */
function logOf({ line, event }: EventLine, { common, tags, oldest }: Common): string {
  const late = (eventTime(event) ?? oldest) < oldest
  const message = late ? `late event ${line.toString()}` : line.toString()
  const ddtags = [...tags, ...(late ? ['late:true'] : [])].join(',')
  return JSON.stringify({ ...common, ...(ddtags !== '' && { ddtags }), message })
}

/** Quotes inside messages make them longer; a log that is too long would be cut and taken all the same. */
function assertFits(body: Buffer, logs: readonly string[]): void {
  const longest = logs.reduce((most, log) => Math.max(most, Buffer.byteLength(log)), 0)
  if (body.length <= REQUEST_BYTES && longest <= LOG_BYTES) return
  const [what, most, got] =
    longest > LOG_BYTES ? ['a log', LOG_BYTES, longest] : ['a request', REQUEST_BYTES, body.length]
  throw new OutcomeError('too_large', `${what} must be at most ${most} bytes, got ${got}`)
}
