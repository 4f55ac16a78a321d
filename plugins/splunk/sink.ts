/** Sends events to Splunk by its HTTP Event Collector, on request until they are indexed. */
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import {
  defineSink,
  type EventLine,
  eventLines,
  eventTime,
  OutcomeError,
  publicUrl,
  type SinkHttp,
  Type,
} from 'mirrorgate/plugin'

const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description }))

const options = Type.Object(
  {
    url: Type.String({
      default: '/services/collector/event',
      minLength: 1,
      maxLength: 4096,
      description: 'Endpoint for events of the collector: a URL, or a path under base_url.',
    }),
    token: Type.Optional(
      Type.String({
        minLength: 1,
        secret: true,
        description:
          'Token of the collector; if absent, the connection has it: `Authorization: Splunk TOKEN`.',
      }),
    ),
    index: text('Index of the events; if absent, that of the token.'),
    source: text('Their source; if absent, that of the token.'),
    sourcetype: text('Their source type; if absent, that of the token.'),
    host: text('Their host; if absent, what Splunk makes of it.'),
    fields: Type.Optional(
      Type.Record(Type.String({ pattern: '^[^\\x00-\\x1f]+$' }), Type.String(), {
        additionalProperties: false,
        rule: 'must be a name on one line',
        description: 'Indexed fields of every event.',
      }),
    ),
    ack: Type.Boolean({
      default: false,
      description: 'true: waits until the events are indexed; needs a token with indexer acknowledgment.',
    }),
  },
  { additionalProperties: false },
)

/** Splunk's own codes that mean something else than their status (HEC, possible error codes). */
const codes: Readonly<Record<number, ['refused' | 'unauthorized' | 'retry', advice: string]>> = {
  7: ['refused', 'the index does not exist, or the token may not write to it'],
  10: ['refused', 'the token has indexer acknowledgment: set ack'],
  11: ['refused', 'the token has indexer acknowledgment: set ack'],
  14: ['refused', 'the token has no indexer acknowledgment: unset ack'],
  16: ['refused', 'the collector takes no token in the URL'],
  21: ['unauthorized', 'the token is not valid'],
  22: ['unauthorized', 'the token is disabled'],
}

/** Between two questions whether events are indexed; Splunk indexes within seconds. */
const ACK_POLL_MS = 500

export default defineSink({
  name: 'splunk',
  summary: 'Sends events to Splunk by its HTTP Event Collector.',
  options,
  formats: ['exchange'],
  urls: ['url'],
  // What every collector takes: its default limit was 1 MB for long.
  limits: { batch_bytes: 1_000_000, batch_items: 10_000, item_bytes: 1_000_000 },
  legs: ({ url }) => [{ name: 'events', half: 'exchange', url: publicUrl(url) }],
  create({ options: own, http }) {
    const { url, token, ack, index, source, sourcetype, host, fields } = own
    const common = JSON.stringify({ host, source, sourcetype, index, fields }).slice(1, -1)
    // An id of this sender: acknowledgements are counted for each (HEC, about channels).
    const channel = randomUUID()
    const headers = {
      ...(token !== undefined && { authorization: `Splunk ${token}` }),
      ...(ack && { 'x-splunk-request-channel': channel }),
    }
    return {
      async write(batch, signal) {
        const lines = [...eventLines(batch)].flatMap((line) => [envelope(line, common), '\n'])
        const body = Buffer.from(lines.slice(0, -1).join(''))
        const answer = await http.post(url, { body, headers, batch }, signal).catch(explain)
        if (!ack) return
        const id = numberIn(answer.text, 'ackId')
        if (id === null) throw new OutcomeError('refused', 'the answer had no ackId: unset ack')
        await indexed({ http, url: ackUrl(url, channel), headers, id, signal })
      },
      close() {},
    }
  },
})

/** What is no JSON travels as text. */
function envelope({ line, event }: EventLine, common: string): string {
  const time = eventTime(event)
  const head = [time === null ? '' : `"time":${time / 1000}`, common].filter((part) => part !== '')
  const value = event === null ? JSON.stringify(line.toString()) : line.toString()
  return `{${[...head, `"event":${value}`].join(',')}}`
}

function explain(error: unknown): never {
  if (!(error instanceof OutcomeError)) throw error
  const known = codes[numberIn(error.answer ?? '', 'code') ?? -1]
  if (known === undefined) throw error
  const [kind, advice] = known
  const { status, retryAfterMs, answer } = error
  throw new OutcomeError(kind, `${error.message}: ${advice}`, { status, retryAfterMs, answer })
}

function numberIn(text: string, key: string): number | null {
  try {
    const value: unknown = (JSON.parse(text) as Record<string, unknown> | null)?.[key]
    return typeof value === 'number' ? value : null
  } catch {
    return null
  }
}

/** `…/services/collector/ack`, beside the endpoint for events. */
function ackUrl(url: string, channel: string): string {
  const [path = ''] = url.split('?')
  return `${path.replace(/\/(event|raw)(\/1\.0)?$/, '')}/ack?channel=${channel}`
}

interface Question {
  readonly http: SinkHttp
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly id: number
  readonly signal: AbortSignal
}

/** Asks until the events are on the disk of an indexer; each acknowledgement is given once. */
async function indexed({ http, url, headers, id, signal }: Question): Promise<void> {
  const body = Buffer.from(JSON.stringify({ acks: [id] }))
  for (;;) {
    const { text } = await http.post(url, { body, headers }, signal).catch(explain)
    if (isIndexed(text, id)) return
    await wait(ACK_POLL_MS, undefined, { signal })
  }
}

function isIndexed(text: string, id: number): boolean {
  try {
    return (JSON.parse(text) as { acks?: Record<string, boolean> }).acks?.[id] === true
  } catch {
    return false
  }
}
