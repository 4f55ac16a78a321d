/** One exchange reaches the collector as two items with one id, in exactly the shape of the contract. */
import type { RequestListener } from 'node:http'
import { beforeAll, expect, test } from 'vitest'
import { RawClient, type RawResponse, valuesOf } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const create: RequestListener = (request, response) => {
  request.resume()
  request.on('end', () => {
    response.writeHead(
      201,
      [
        ['Content-Type', 'application/json'],
        ['X-Mixed-CASE', 'one'],
        ['x-mixed-case', 'two'],
        ['Link', '</a>; rel=a'],
        ['Content-Length', '11'],
      ].flat(),
    )
    response.end('{"ok":true}')
  })
}

const compressions = ['none', 'gzip', 'zstd'] as const
type Compression = (typeof compressions)[number]

let upstream: HttpUpstream
/** One collector for each mirror; the mirrors differ in their compression. */
const collectors = {} as Record<Compression, TestCollector>
let collector: TestCollector
let gateway: TestGateway
let client: RawClient
/** Exchanges so far. */
let exchanges = 0

/** Names and credentials of the two connections differ in `case_sensitive_headers` only. */
const connection = (name: string, base_url: string, case_sensitive_headers: boolean) => ({
  name,
  base_url,
  case_sensitive_headers,
  headers: { Authorization: 'Bearer test', 'X-SALT-Token': 'abc' },
})

beforeAll(async () => {
  upstream = await startUpstream(create)
  for (const compression of compressions) {
    collectors[compression] = await startCollector({ authorization: 'Bearer test' })
  }
  collector = collectors.none
  const { mirrors } = mirrorConfig({ upstream: upstream.url, collector: '' }) as { mirrors: object[] }
  gateway = await startTestGateway({
    config: {
      collections: [{ name: 'orders', upstreams: [{ url: upstream.url }], mirrors: compressions }],
      connections: compressions.map((name) => connection(name, collectors[name].url, name === 'gzip')),
      mirrors: compressions.map((compression) => ({
        ...mirrors[0],
        name: compression,
        connection: compression,
        batch: { max_wait_ms: 50, compression },
      })),
      capture: { flush_after_ms: 20 },
    },
  })
  client = await RawClient.connect(gateway.port)
})

function ask(bytes: string): Promise<RawResponse> {
  exchanges += 1
  return client.request(bytes)
}

const body = '{"item":"book"}'
const posting = (path: string) =>
  [
    `POST ${path}?page=2&sort=a%20b HTTP/1.1`,
    'Host: api.example.com',
    'Content-Type: application/json',
    'X-Twice: first',
    'x-twice: second',
    'X-TWICE: third',
    'Accept: */*',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n')

test('both items have one id and exactly the fields of the contract', async () => {
  const before = Date.now()
  const answer = await ask(posting('/orders'))
  expect([answer.status, answer.body.toString()]).toEqual([201, '{"ok":true}'])

  const { request, response } = await collector.pairOf('/orders')
  expect(request).toEqual({
    id: expect.stringMatching(uuid7),
    ts: expect.stringMatching(instant),
    environment: 'dev',
    collection: 'orders',
    client: { ip: '127.0.0.1', port: client.socket.localPort },
    request: {
      method: 'POST',
      scheme: 'http',
      host: 'api.example.com',
      path: '/orders',
      query: 'page=2&sort=a%20b',
      http_version: '1.1',
      headers: [
        ['Host', 'api.example.com'],
        ['Content-Type', 'application/json'],
        ['X-Twice', 'first'],
        ['x-twice', 'second'],
        ['X-TWICE', 'third'],
        ['Accept', '*/*'],
        ['Content-Length', String(body.length)],
      ],
      body,
      body_encoding: 'utf8',
      body_bytes: body.length,
      truncated: false,
    },
  })
  expect(response).toEqual({
    id: request.id,
    ts: expect.stringMatching(instant),
    environment: 'dev',
    collection: 'orders',
    outcome: 'complete',
    duration_ms: { total: expect.any(Number), upstream: expect.any(Number) },
    upstream: upstream.url,
    response: {
      status: 201,
      http_version: '1.1',
      headers: expect.any(Array),
      body: '{"ok":true}',
      body_encoding: 'utf8',
      body_bytes: 11,
      truncated: false,
    },
  })
  const [asked, answered] = [Date.parse(request.ts), Date.parse(response.ts)]
  expect(asked).toBeGreaterThanOrEqual(before - 1)
  expect(answered).toBeGreaterThanOrEqual(asked)
  expect(answered).toBeLessThanOrEqual(Date.now() + 1)
  expect(response.duration_ms.total).toBeGreaterThanOrEqual(response.duration_ms.upstream)
})

test('header fields keep case, order and duplicates on all three ways', async () => {
  const answer = await ask(posting('/headers'))
  const twice = ['X-Twice', 'first', 'x-twice', 'second', 'X-TWICE', 'third']
  const mixed = ['X-Mixed-CASE', 'one', 'x-mixed-case', 'two', 'Link', '</a>; rel=a']

  const sent = upstream.received.at(-1)?.rawHeaders ?? []
  const at = sent.indexOf('X-Twice')
  expect(sent.slice(at, at + 6)).toEqual(twice)
  const from = answer.rawHeaders.indexOf('X-Mixed-CASE')
  expect(answer.rawHeaders.slice(from, from + 6)).toEqual(mixed)

  const { response } = await collector.pairOf('/headers')
  const kept = response.response.headers.flat()
  const start = kept.indexOf('X-Mixed-CASE')
  expect(kept.slice(start, start + 6)).toEqual(mixed)
})

test('the id goes to the upstream as x-request-id, and a sane one of the client is kept', async () => {
  await ask('GET /own HTTP/1.1\r\nHost: a\r\n\r\n')
  await ask('GET /theirs HTTP/1.1\r\nHost: a\r\nX-Request-Id: order-4711\r\n\r\n')
  await ask(`GET /mad HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${'x'.repeat(1000)}\r\n\r\n`)

  const ids = upstream.received.slice(-3).map(({ rawHeaders }) => valuesOf(rawHeaders, 'x-request-id'))
  const own = await collector.pairOf('/own')
  const theirs = await collector.pairOf('/theirs')
  const mad = await collector.pairOf('/mad')
  expect(ids[0]).toEqual([own.request.id])
  expect(ids[1]).toEqual(['order-4711'])
  // The items' own id stays the gateway's: a client cannot make two exchanges share one.
  expect(theirs.request.id).toMatch(uuid7)
  expect(ids[2]).toEqual([mad.request.id])
})

test('traceparent of the client is a field of its request item', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await ask(`GET /traced HTTP/1.1\r\nHost: a\r\nTraceparent: ${traceparent}\r\n\r\n`)
  expect((await collector.pairOf('/traced')).request.traceparent).toBe(traceparent)
})

test.each(compressions)(
  'compression %s: a batch says its id, its items and its sender',
  async (compression) => {
    for (let at = 0; at < 3; at += 1) await ask(`GET /batch/${compression}/${at} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await gateway.delivered(exchanges, compression)

    const { deliveries, pairs } = collectors[compression]
    const ids = deliveries.map(({ batchId }) => batchId)
    expect(ids.every((id) => id !== '')).toBe(true)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { headers, items } of deliveries) {
      expect(headers).toMatchObject({
        'content-type': 'application/json',
        'x-mirrorgate-items': String(items.length),
        authorization: 'Bearer test',
      })
      expect(headers['content-encoding']).toBe(compression === 'none' ? undefined : compression)
    }
    expect(pairs).toBe(exchanges)
  },
)

test('case_sensitive_headers decides how the connection’s header names are written', async () => {
  await ask('GET /case HTTP/1.1\r\nHost: a\r\n\r\n')
  for (const [name, written] of [
    ['gzip', ['Authorization', 'X-SALT-Token']],
    ['zstd', ['authorization', 'x-salt-token']],
  ] as const) {
    await gateway.delivered(exchanges, name)
    expect(collectors[name].deliveries.at(-1)?.rawHeaders).toEqual(expect.arrayContaining([...written]))
  }
})
