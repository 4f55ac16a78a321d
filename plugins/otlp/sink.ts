/** Sends events as OpenTelemetry logs, OTLP over HTTP in its JSON encoding. */
import {
  defineSink,
  type EventLine,
  eventLines,
  eventStatus,
  eventTime,
  OutcomeError,
  publicUrl,
  Type,
} from 'mirrorgate/plugin'

const MIB = 1024 * 1024

const options = Type.Object(
  {
    url: Type.String({
      default: '/v1/logs',
      minLength: 1,
      maxLength: 4096,
      description: 'The logs endpoint: a URL that ends with /v1/logs, or a path under base_url.',
    }),
    service_name: Type.String({
      default: 'mirrorgate',
      minLength: 1,
      maxLength: 200,
      description: 'Attribute service.name of the resource.',
    }),
    attributes: Type.Record(Type.String({ pattern: '^[^\\x00-\\x1f]+$' }), Type.String(), {
      additionalProperties: false,
      rule: 'must be a name on one line',
      default: {},
      description: 'More attributes of the resource.',
    }),
  },
  { additionalProperties: false },
)

export default defineSink({
  name: 'otlp',
  summary: 'Sends events as OpenTelemetry logs to any collector that speaks OTLP over HTTP.',
  options,
  formats: ['exchange'],
  urls: ['url'],
  // In its encoding an event is up to three times as long; a collector takes 20 MiB unless it is told more.
  limits: { batch_bytes: 6 * MIB, batch_items: 10_000, item_bytes: 6 * MIB },
  legs: ({ url }) => [{ name: 'logs', half: 'exchange', url: publicUrl(url) }],
  create({ options: { url, service_name: name, attributes }, http }) {
    const resource = { attributes: attributesOf({ ...attributes, 'service.name': name }) }
    return {
      async write(batch, signal) {
        const observed = nanoseconds(Date.now())
        const logRecords = [...eventLines(batch)].map((line) => recordOf(line, batch.mirror, observed))
        const scopeLogs = [{ scope: { name: 'mirrorgate' }, logRecords }]
        const body = Buffer.from(JSON.stringify({ resourceLogs: [{ resource, scopeLogs }] }))
        const { text } = await http.post(url, { body, batch }, signal)
        assertTaken(text)
      },
      close() {},
    }
  },
})

/** OpenTelemetry, logs data model: severity numbers. */
const severities = { error: 17, warn: 13, info: 9 } as const

function recordOf({ line, event, id }: EventLine, mirror: string, observed: string): object {
  const time = eventTime(event)
  const severity = severityOf(eventStatus(event))
  return {
    ...(time !== null && isUnixNano(time) && { timeUnixNano: nanoseconds(time) }),
    observedTimeUnixNano: observed,
    severityNumber: severities[severity],
    severityText: severity.toUpperCase(),
    body: valueOf(event ?? line.toString()),
    attributes: attributesOf({ 'log.record.uid': id, 'mirrorgate.source': mirror }),
    ...traceOf(event?.['traceparent']),
  }
}

function severityOf(status: number | null): keyof typeof severities {
  if (status === null || status < 400) return 'info'
  return status < 500 ? 'warn' : 'error'
}

/** W3C Trace Context, traceparent. */
function traceOf(traceparent: unknown): object {
  if (typeof traceparent !== 'string') return {}
  const [, traceId, spanId, flags] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent) ?? []
  return traceId === undefined ? {} : { traceId, spanId, flags: Number.parseInt(flags ?? '0', 16) }
}

/** opentelemetry/proto/logs/v1: a fixed64, which holds 1970 to 2554; where it is absent nobody knows. */
function isUnixNano(ms: number): boolean {
  return ms >= 0 && BigInt(Math.trunc(ms)) * 1_000_000n < 1n << 64n
}

/** 64-bit numbers are strings in protobuf's JSON. */
function nanoseconds(ms: number): string {
  return `${BigInt(Math.trunc(ms)) * 1_000_000n}`
}

function attributesOf(attributes: Readonly<Record<string, string>>): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: { stringValue: value } }))
}

/** opentelemetry/proto/common/v1, AnyValue; what is null has no value. */
function valueOf(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  if (Array.isArray(value)) return { arrayValue: { values: value.map(valueOf) } }
  if (typeof value !== 'object' || value === null) return {}
  const values = Object.entries(value).map(([key, inner]) => ({ key, value: valueOf(inner) }))
  return { kvlistValue: { values } }
}

/** A collector may take some and refuse the rest (OTLP, partial success); it does not say which. */
function assertTaken(text: string): void {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    // Not every collector answers in JSON; its status has said it.
    return
  }
  const { partialSuccess } = (answer ?? {}) as {
    partialSuccess?: { rejectedLogRecords?: string | number; errorMessage?: string }
  }
  const count = Number(partialSuccess?.rejectedLogRecords ?? 0)
  if (!(count > 0)) return
  throw new OutcomeError('rejected', `the collector refused ${count} records`, {
    status: 200,
    answer: partialSuccess?.errorMessage ?? null,
  })
}
