/** The otlp sink: conformance, what a record holds, and a collector that takes a part. */
import { expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { answer, type Behaviour, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import otlp from './sink.ts'

interface Value {
  readonly stringValue?: string
  readonly intValue?: string
  readonly doubleValue?: number
  readonly boolValue?: boolean
  readonly arrayValue?: { readonly values: readonly Value[] }
  readonly kvlistValue?: { readonly values: readonly { readonly key: string; readonly value: Value }[] }
}

/** What a collector makes of a value: written by the protocol's definition, not by the sink. */
function read(value: Value): unknown {
  if (value.kvlistValue !== undefined)
    return Object.fromEntries(value.kvlistValue.values.map((one) => [one.key, read(one.value)]))
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(read)
  if (value.intValue !== undefined) return Number(value.intValue)
  return value.stringValue ?? value.doubleValue ?? value.boolValue ?? null
}

interface LogRecord {
  readonly body: Value
  readonly [key: string]: unknown
}

function requestOf(body: Buffer) {
  const { resourceLogs } = JSON.parse(body.toString())
  expect(resourceLogs).toHaveLength(1)
  const [{ resource, scopeLogs }] = resourceLogs
  return { resource, records: scopeLogs[0].logRecords as LogRecord[] }
}

sinkConformance({
  definition: otlp,
  options: (url) => ({ url: `${url}/v1/logs`, service_name: 'mirrorgate', attributes: {} }),
  http: ({ body }) => requestOf(body).records.map((record) => read(record.body)),
  // A record says when it was handed on, so that no two tries are the same bytes.
  repeats: ({ body }) => requestOf(body).records.map(({ observedTimeUnixNano: _, ...record }) => record),
})

async function write(behaviour: Behaviour, ...events: string[]) {
  const collector = await startCollector()
  collector.behave(behaviour)
  const host = createSinkHttp(target())
  onEnd(async () => {
    await host.close()
    await collector.close()
  })
  const options = { url: `${collector.url}/v1/logs`, service_name: 'gw', attributes: { region: 'eu' } }
  const sink = await otlp.create(sinkContext(options, host.http))
  const ndjson = Buffer.from(events.map((event) => `${event}\n`).join(''))
  const batch = { id: 'b', mirror: 'm', leg: 'logs', items: events.length, ndjson }
  await sink.write(batch, AbortSignal.timeout(5000))
  return requestOf((collector.deliveries[0] as { body: Buffer }).body)
}

test('a record has the time, the severity and the trace of its event', async () => {
  const event = {
    ts: '2026-11-21T08:00:00.123Z',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    response: { status: 503 },
    numbers: [1, 1.5, 2 ** 60, true, null],
  }
  const { resource, records } = await write(
    answer(200, {}, '{}'),
    JSON.stringify(event),
    'CEF:0|x',
    '{"status":404}',
  )
  expect(resource.attributes).toEqual([
    { key: 'region', value: { stringValue: 'eu' } },
    { key: 'service.name', value: { stringValue: 'gw' } },
  ])
  expect(records[0]).toMatchObject({
    timeUnixNano: '1795248000123000000',
    severityNumber: 17,
    severityText: 'ERROR',
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: '00f067aa0ba902b7',
    flags: 1,
  })
  expect(records.map(({ body }) => read(body))).toEqual([event, 'CEF:0|x', { status: 404 }])
  expect(records.map(({ severityText }) => severityText)).toEqual(['ERROR', 'INFO', 'WARN'])
  expect(records[1]).not.toHaveProperty('timeUnixNano')
})

test.each(['0001-01-01T00:00:00Z', '1969-12-31T23:59:59.999Z', '9999-12-31T23:59:59Z'])(
  'a time that the protocol cannot hold is none: %s',
  async (completed_at) => {
    const { records } = await write(answer(200, {}, '{}'), JSON.stringify({ completed_at }))
    expect(records[0]).not.toHaveProperty('timeUnixNano')
    expect(read((records[0] as LogRecord).body)).toEqual({ completed_at })
  },
)

test('an event that nests too deep arrives as its text, and its neighbours as they are', async () => {
  const deep = `{"deep":${'['.repeat(9000)}${']'.repeat(9000)}}`
  const { records } = await write(answer(200, {}, '{}'), '{"a":1}', deep)
  expect(records.map(({ body }) => read(body))).toEqual([{ a: 1 }, deep])
})

test('a partial success is no success', async () => {
  const partial = { partialSuccess: { rejectedLogRecords: '1', errorMessage: 'too old' } }
  await expect(write(answer(200, {}, JSON.stringify(partial)), '{}')).rejects.toMatchObject({
    kind: 'rejected',
    answer: 'too old',
  })
  const warned = { partialSuccess: { rejectedLogRecords: '0', errorMessage: 'please upgrade' } }
  await write(answer(200, {}, JSON.stringify(warned)), '{}')
})
