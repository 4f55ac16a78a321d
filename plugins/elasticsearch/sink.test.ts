/** The elasticsearch sink: conformance, and what becomes of the events of a batch that fail one by one. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { type Collector, type Delivery, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import elasticsearch from './sink.ts'

const lines = (body: Buffer): Record<string, unknown>[] =>
  body
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

const documents = (body: Buffer) => lines(body).filter((_, at) => at % 2 === 1)

sinkConformance({
  definition: elasticsearch,
  options: (url) => ({ url: `${url}/_bulk`, index: 'audit' }),
  http: ({ body }) => documents(body).map(({ '@timestamp': _, ...document }) => document),
  accepts: (response) => response.end('{"errors":false}'),
  acknowledgedByBody: { because: 'a bulk request is answered 200 whatever became of its events' },
})

/** A data stream: it creates only, wants a time, knows every id, and answers for each document. */
class DataStream {
  readonly documents = new Map<string, Record<string, unknown>>()
  /** Status of a document instead of its own. */
  verdict: (document: Record<string, unknown>) => number = () => 201

  answer = (response: import('node:http').ServerResponse, { path, headers, body }: Delivery): void => {
    if (headers['content-type'] !== 'application/x-ndjson' || !body.toString().endsWith('\n'))
      return void response.writeHead(400).end('{"error":{"type":"illegal_argument_exception"}}')
    const all = lines(body)
    const items: object[] = []
    for (let at = 0; at < all.length; at += 2) {
      const { _id: id = '' } = (all[at]?.['create'] ?? {}) as { _id?: string }
      const document = all[at + 1] as Record<string, unknown>
      const known = this.documents.has(id)
      const status = typeof document['@timestamp'] !== 'string' ? 400 : known ? 409 : this.verdict(document)
      if (status === 201) this.documents.set(id, document)
      const error = { type: `type_${status}`, reason: `because of ${JSON.stringify(document)}` }
      items.push({ create: status === 201 ? { status } : { status, error } })
    }
    const errors = items.some((item) => 'error' in (item as { create: object }).create)
    const filtered = path.includes(
      'filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason',
    )
    response.end(JSON.stringify(filtered ? { errors, items } : { took: 1, errors, items }))
  }
}

const never = new AbortController().signal
let collector: Collector
let stream: DataStream

describe('towards elasticsearch', () => {
  beforeEach(async () => {
    collector = await startCollector()
    stream = new DataStream()
    collector.behave(stream.answer)
  })
  afterEach(() => collector.close())
  async function write(id: string, ...events: string[]): Promise<void> {
    const host = createSinkHttp(target())
    onEnd(() => host.close())
    const options = { url: `${collector.url}/_bulk`, index: 'audit', pipeline: 'geo ip' }
    const sink = await elasticsearch.create(sinkContext(options, host.http))
    const ndjson = Buffer.from(events.map((event) => `${event}\n`).join(''))
    await sink.write({ id, mirror: 'm', leg: 'documents', items: events.length, ndjson }, never)
  }

  test('every event is a document with its time, under a name of its own', async () => {
    await write(
      'batch',
      '{"ts":"2026-11-21T08:00:00.123Z"}',
      '{"@timestamp":"2026-01-01T00:00:00Z"}',
      '{}',
      'CEF:0',
    )
    const found = [...stream.documents]
    expect(found.map(([id]) => id)).toEqual(['batch-0', 'batch-1', 'batch-2', 'batch-3'])
    expect(found[0]?.[1]).toEqual({
      '@timestamp': '2026-11-21T08:00:00.123Z',
      ts: '2026-11-21T08:00:00.123Z',
    })
    expect(found[1]?.[1]).toEqual({ '@timestamp': '2026-01-01T00:00:00Z' })
    expect(found[3]?.[1]).toMatchObject({ message: 'CEF:0' })
    expect(collector.deliveries[0]?.path).toContain('&pipeline=geo%20ip')
  })

  test('a repeat, whole or split, finds its documents there already', async () => {
    const events = [0, 1, 2, 3].map((n) => `{"ts":"2026-11-21T08:00:00.123Z","n":${n}}`)
    await write('batch', ...events)
    await write('batch', ...events)
    await write('batch.2-4', ...events.slice(2))
    expect(stream.documents.size).toBe(4)
  })

  test.each([
    [429, 'retry'],
    [503, 'retry'],
    [400, 'rejected'],
    [403, 'unauthorized'],
    [404, 'not_found'],
  ] as const)('one event answered %i: %s', async (status, kind) => {
    stream.verdict = ({ n }) => (n === 1 ? status : 201)
    const ts = '"ts":"2026-11-21T08:00:00.123Z"'
    const refused = write('batch', `{${ts},"n":0}`, `{${ts},"n":1}`)
    await expect(refused).rejects.toMatchObject({
      kind,
      status,
      message: `the index answered ${status} type_${status}`,
    })
    expect(stream.documents.size, 'the other is there').toBe(1)
  })

  test('more errors than are read of an answer: fewer at a time', async () => {
    stream.verdict = () => 400
    const long = `{"ts":"2026-11-21T08:00:00.123Z","text":"${'x'.repeat(50_000)}"}`
    await expect(write('batch', long, long)).rejects.toMatchObject({ kind: 'too_large' })
  })

  test('an answer of somebody else is no acknowledgement', async () => {
    collector.behave((response) => response.end('<html>welcome</html>'))
    await expect(write('batch', '{}')).rejects.toMatchObject({ kind: 'retry' })
  })
})
