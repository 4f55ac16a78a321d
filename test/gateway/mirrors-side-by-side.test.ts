/**
 * Mirrors of one collection, each with its own redaction, capture, format and rules, over the same
 * exchanges.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { type ExchangeCollector, startExchangeCollector } from '../support/exchanges.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

let gateway: TestGateway
let client: Client
let salt: TestCollector
let all: ExchangeCollector
/** Exchanges so far. */
let sent = 0

const soon = { batch: { max_wait_ms: 20 } }
const toHole = (name: string, rules: object) => ({ name, sink: 'blackhole', ...soon, ...rules })

/** Mirrors that differ in what they match. */
const matching = {
  'by-method': { match: { methods: ['POST', 'PUT'] } },
  'by-path': { match: { paths: ['/orders/*', '*.json'] } },
  'by-excluded-path': { match: { exclude_paths: ['/health', '/orders/*/secret'] } },
  'by-status': { match: { statuses: ['404', '5xx'] } },
  'by-type': { match: { content_types: ['application/json', 'text/*'] } },
  'by-duration': { match: { min_duration_ms: 1500 } },
  'by-all-of-them': { match: { methods: ['GET'], paths: ['/orders/*'], statuses: ['2xx'] } },
  'switched-off': { enabled: false },
}

beforeAll(async () => {
  const upstream = await startUpstream((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://a')
    const status = Number(searchParams.get('status') ?? 200)
    const answer = () =>
      response
        .writeHead(status, { 'Content-Type': searchParams.get('type') ?? 'application/json' })
        .end('{"nick":"ada","password":"answer"}')
    request.resume()
    request.on('end', () => setTimeout(answer, Number(searchParams.get('wait') ?? 0)))
  })
  salt = await startCollector()
  all = await startExchangeCollector()
  const mirrors = [
    {
      ...{ name: 'salt', sink: 'salt', connection: 'salt', ...soon },
      ...{ request_url: '/requests', response_url: '/responses' },
      redact: { mode: 'remove', headers: ['x-plain'], json_fields: ['nick'] },
      capture: { response_body: false },
    },
    {
      ...{ name: 'open', sink: 'http', url: `${all.url}/all`, ...soon },
      redact: { defaults: false },
      capture: { body_bytes: 8 },
    },
    ...Object.entries(matching).map(([name, rules]) => toHole(name, rules)),
  ]
  gateway = await startTestGateway({
    config: {
      collections: [
        { name: 'api', upstreams: [{ url: upstream.url }], mirrors: mirrors.map(({ name }) => name) },
      ],
      connections: [{ name: 'salt', base_url: salt.url }],
      mirrors,
      capture: { flush_after_ms: 20 },
    },
  })
  client = new Client(gateway.port)
})

async function send(method: string, path: string, body?: string, headers: string[] = []): Promise<void> {
  await client.send({ method, path, headers, ...(body === undefined ? {} : { body }) })
  sent += 1
}

test('each mirror redacts and cuts for itself', async () => {
  const body = '{"nick":"ada","password":"canary","n":1}'
  const fields = ['Content-Type', 'application/json', 'X-Plain', 'seen', 'Authorization', 'Bearer canary']
  await send('POST', '/both?token=canary&page=2', body, fields)

  const { request, response } = await salt.pairOf('/both')
  expect(request.request).toMatchObject({
    query: 'page=2',
    body: '{"n":1}',
    redacted: true,
    truncated: false,
  })
  expect(JSON.stringify([request, response])).not.toContain('canary')
  const names = request.request.headers.map(([name]) => name.toLowerCase())
  expect(names).toContain('content-type')
  expect(names).not.toContain('x-plain')
  expect(names).not.toContain('authorization')
  expect(response.response).toMatchObject({ body: null, body_encoding: 'none', body_bytes: 34 })

  const whole = await all.of('/both')
  expect(whole.id).toBe(request.id)
  expect(whole.request).toMatchObject({
    query: 'token=canary&page=2',
    body: body.slice(0, 8),
    body_bytes: body.length,
    truncated: true,
  })
  expect(whole.request).not.toHaveProperty('redacted')
  expect(whole.request.headers).toContainEqual(['Authorization', 'Bearer canary'])
  expect(whole.response).toMatchObject({ body: '{"nick":', body_bytes: 34, truncated: true })
})

describe('rules', () => {
  const requests: [method: string, path: string, takers: (keyof typeof matching)[]][] = [
    ['GET', '/orders/1', ['by-path', 'by-excluded-path', 'by-type', 'by-all-of-them']],
    ['PUT', '/orders/1', ['by-method', 'by-path', 'by-excluded-path', 'by-type']],
    ['GET', '/orders/7/secret', ['by-path', 'by-type', 'by-all-of-them']],
    ['GET', '/health?x=/orders/1', ['by-type']],
    ['GET', '/a/b.json?type=image/png', ['by-path', 'by-excluded-path']],
    ['GET', '/orders?type=text/html;charset=utf-8', ['by-excluded-path', 'by-type']],
    ['GET', '/orders/2?status=404', ['by-path', 'by-excluded-path', 'by-status', 'by-type']],
    ['POST', '/x?status=503&type=image/png', ['by-method', 'by-excluded-path', 'by-status']],
    ['GET', '/slow?wait=1600&type=image/png', ['by-excluded-path', 'by-duration']],
  ]

  const captured = async () => {
    const { data } = await gateway.admin.json<{ data: { name: string; counts: { captured: number } }[] }>(
      'GET',
      '/api/mirrors',
    )
    return Object.fromEntries(data.map(({ name, counts }) => [name, counts.captured]))
  }

  test.each(requests)('%s %s is seen by those whose rules all hold', async (method, path, takers) => {
    const before = await captured()
    await send(method, path)
    // The mirror that takes everything counts in the same moment as the others.
    const after = await until(
      async () => {
        const now = await captured()
        return now['open'] === sent && now
      },
      { what: 'the exchange is captured' },
    )
    const changed = Object.keys(matching).filter((name) => after[name] !== before[name])
    expect(changed.toSorted()).toEqual(takers.toSorted())
  })
})

test('every mirror has its own account, and it adds up', async () => {
  for (const name of ['salt', 'open']) await gateway.delivered(sent, name)
  for (const name of Object.keys(matching)) {
    const view = await until(
      async () => {
        const now = await gateway.admin.mirror(name)
        return now.counts.waiting === 0 && now
      },
      { what: `nothing of ${name} waits` },
    )
    expectIdentity(view)
    expect(view.counts.delivered).toBe(view.counts.captured)
  }
  const off = await gateway.admin.mirror('switched-off')
  expect(off).toMatchObject({ enabled: false, state: 'disabled', counts: { captured: 0 } })
})
