/** One exchange reaches the collector as two items with one id, in exactly the shape of the contract. */
import type { RequestListener } from 'node:http'
import { expect, test } from 'vitest'
import { RawClient, valuesOf } from '../support/client.ts'
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

interface Setup {
  upstream: HttpUpstream
  collector: TestCollector
  gateway: TestGateway
  client: RawClient
}

async function setUp(handler: RequestListener, mirror: Record<string, unknown> = {}): Promise<Setup> {
  const upstream = await startUpstream(handler)
  const collector = await startCollector({ authorization: 'Bearer test' })
  const config = mirrorConfig({ upstream: upstream.url, collector: collector.url, mirror })
  const gateway = await startTestGateway({ config })
  return { upstream, collector, gateway, client: await RawClient.connect(gateway.port) }
}

const body = '{"item":"book"}'
const posting = [
  'POST /orders?page=2&sort=a%20b HTTP/1.1',
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
  const { upstream, collector, gateway, client } = await setUp(create)
  const before = Date.now()
  const answer = await client.request(posting)
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
  await gateway.delivered()
})

test('header fields keep case, order and duplicates on all three ways', async () => {
  const { upstream, collector, client } = await setUp(create)
  const answer = await client.request(posting)
  const twice = ['X-Twice', 'first', 'x-twice', 'second', 'X-TWICE', 'third']
  const mixed = ['X-Mixed-CASE', 'one', 'x-mixed-case', 'two', 'Link', '</a>; rel=a']

  const sent = upstream.received[0]?.rawHeaders ?? []
  const at = sent.indexOf('X-Twice')
  expect(sent.slice(at, at + 6)).toEqual(twice)
  const from = answer.rawHeaders.indexOf('X-Mixed-CASE')
  expect(answer.rawHeaders.slice(from, from + 6)).toEqual(mixed)

  const { response } = await collector.pairOf('/orders')
  const kept = response.response.headers.flat()
  const start = kept.indexOf('X-Mixed-CASE')
  expect(kept.slice(start, start + 6)).toEqual(mixed)
})

test('the id goes to the upstream as x-request-id, and a sane one of the client is kept', async () => {
  const { upstream, collector, client } = await setUp(create)
  await client.request('GET /own HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.request('GET /theirs HTTP/1.1\r\nHost: a\r\nX-Request-Id: order-4711\r\n\r\n')
  await client.request(`GET /mad HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${'x'.repeat(1000)}\r\n\r\n`)

  const ids = upstream.received.map(({ rawHeaders }) => valuesOf(rawHeaders, 'x-request-id'))
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
  const { collector, client } = await setUp(create)
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await client.request(`GET /traced HTTP/1.1\r\nHost: a\r\nTraceparent: ${traceparent}\r\n\r\n`)
  expect((await collector.pairOf('/traced')).request.traceparent).toBe(traceparent)
})

test.each([
  ['none', undefined],
  ['gzip', 'gzip'],
  ['zstd', 'zstd'],
] as const)(
  'a batch with compression %s says its id, its number of items, and who sends it',
  async (compression, coding) => {
    const { collector, gateway, client } = await setUp(create, { batch: { max_wait_ms: 50, compression } })
    for (let at = 0; at < 3; at += 1) await client.request(`GET /batch/${at} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await gateway.delivered()

    const ids = collector.deliveries.map(({ batchId }) => batchId)
    expect(ids.every((id) => id !== '')).toBe(true)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { headers, items } of collector.deliveries) {
      expect(headers).toMatchObject({
        'content-type': 'application/json',
        'x-mirrorgate-items': String(items.length),
        authorization: 'Bearer test',
      })
      expect(headers['content-encoding']).toBe(coding)
    }
    expect([collector.totals('requests').distinct, collector.totals('responses').distinct]).toEqual([3, 3])
  },
)

test('case_sensitive_headers decides how the connection’s header names are written', async () => {
  const upstream = await startUpstream(create)
  const collector = await startCollector()
  for (const [case_sensitive_headers, name] of [
    [true, 'X-SALT-Token'],
    [false, 'x-salt-token'],
  ] as const) {
    const connection = { case_sensitive_headers, headers: { 'X-SALT-Token': 'abc' } }
    const gateway = await startTestGateway({
      config: mirrorConfig({ upstream: upstream.url, collector: collector.url, connection }),
    })
    const client = await RawClient.connect(gateway.port)
    await client.request(`GET /case/${case_sensitive_headers} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await gateway.delivered()
    expect(collector.deliveries.at(-1)?.rawHeaders).toContain(name)
  }
})
