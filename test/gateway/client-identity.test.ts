/** Who the client is, by its connection or by trusted proxies: in the items and for the upstream. */
import { beforeAll, expect, test } from 'vitest'
import { RawClient, valuesOf } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'

let upstream: HttpUpstream
let collector: TestCollector
let gateway: TestGateway
/** One connection over all reloads. */
let client: RawClient

const configWith = (trusted_proxies: string[]) => ({
  ...mirrorConfig({ upstream: upstream.url, collector: collector.url }),
  listen: { trusted_proxies },
})

beforeAll(async () => {
  upstream = await startUpstream()
  collector = await startCollector()
  gateway = await startTestGateway({ config: configWith([]) })
  client = await RawClient.connect(gateway.port)
})

async function reload(trusted: string[]): Promise<void> {
  await gateway.rewrite({ config: configWith(trusted) })
  await gateway.admin.json('POST', '/api/config/reload')
}

const claims = [
  'X-Forwarded-For: 203.0.113.9, 198.51.100.2',
  'X-Forwarded-For: 10.1.1.1',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: public.example.com',
  'Forwarded: for=203.0.113.9;proto=https',
  'X-Request-Id: outside-1',
]

/** What the upstream saw of the claims, and what the items say. */
async function claim(path: string, fields = claims) {
  const answer = await client.request(
    `GET ${path} HTTP/1.1\r\nHost: inner.test\r\n${fields.join('\r\n')}\r\n\r\n`,
  )
  expect(answer.status).toBe(200)
  const sent = upstream.received.at(-1)?.rawHeaders ?? []
  const { request, response } = await collector.pairOf(path)
  const names = [
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'forwarded',
    'x-request-id',
    'via',
  ]
  return {
    seen: Object.fromEntries(names.map((name) => [name, valuesOf(sent, name)])),
    request,
    response,
  }
}

test('from anyone: what is claimed is written anew, and kept in the item as it was sent', async () => {
  const { seen, request } = await claim('/untrusted')
  expect(seen).toEqual({
    'x-forwarded-for': ['127.0.0.1'],
    'x-forwarded-proto': ['http'],
    'x-forwarded-host': ['inner.test'],
    forwarded: [],
    'x-request-id': ['outside-1'],
    via: ['1.1 mirrorgate'],
  })
  expect(request.client).toEqual({ ip: '127.0.0.1', port: client.socket.localPort })
  expect(request.request).toMatchObject({ scheme: 'http', host: 'inner.test' })
  expect(request.request.headers).toContainEqual(['X-Forwarded-For', '10.1.1.1'])
})

test('after a reload the same connection is one of a trusted proxy: believed and extended', async () => {
  await reload(['127.0.0.0/8', '10.0.0.0/8'])
  const { seen, request } = await claim('/trusted')
  expect(seen).toMatchObject({
    'x-forwarded-for': ['203.0.113.9, 198.51.100.2, 10.1.1.1, 127.0.0.1'],
    'x-forwarded-proto': ['https'],
    'x-forwarded-host': ['public.example.com'],
    forwarded: ['for=203.0.113.9;proto=https, for=127.0.0.1;proto=http;host=inner.test'],
  })
  // The first address from the right that nobody trusts.
  expect(request.client.ip).toBe('198.51.100.2')
  expect(request.request.scheme).toBe('https')
})

test('a trusted proxy that says nothing is the client itself', async () => {
  const { seen, request } = await claim('/silent', ['X-Plain: 1'])
  expect(seen['x-forwarded-for']).toEqual(['127.0.0.1'])
  expect(seen['x-request-id']).toEqual([request.id])
  expect(request.client.ip).toBe('127.0.0.1')
})

test('rubbish in the list ends the trust', async () => {
  const { request } = await claim('/rubbish', ['X-Forwarded-For: 203.0.113.9, <script>, 10.1.1.1'])
  expect(request.client.ip).toBe('10.1.1.1')
})

test('an IPv6 client behind a proxy', async () => {
  const { request } = await claim('/six', ['X-Forwarded-For: 2001:db8::7'])
  expect(request.client.ip).toBe('2001:db8::7')
})

test('taken back by a reload, the same connection is anyone again', async () => {
  await reload([])
  const { seen, request } = await claim('/again')
  expect(seen['x-forwarded-for']).toEqual(['127.0.0.1'])
  expect(request.client.ip).toBe('127.0.0.1')
})

test('a second hop adds itself to via, and trace context passes', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const { seen, request, response } = await claim('/via', ['Via: 1.1 edge', `traceparent: ${traceparent}`])
  expect(seen['via']?.join(', ')).toBe('1.1 edge, 1.1 mirrorgate')
  expect(valuesOf(upstream.received.at(-1)?.rawHeaders ?? [], 'traceparent')).toEqual([traceparent])
  expect(request.traceparent).toBe(traceparent)
  expect(response.id).toBe(request.id)
})
