/** Which collection and which upstream a request goes to, and what happens when an upstream is gone. */
import { beforeAll, expect, test } from 'vitest'
import type { CollectionView } from '../../src/admin/commands.ts'
import { Client, RawClient } from '../support/client.ts'
import { startExchangeCollector } from '../support/exchanges.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

/** Answers with its own name and the path that it was asked for. */
const startNamed = (name: string) =>
  startUpstream((request, response) => {
    request.resume()
    request.on('end', () => response.end(`${name} ${request.url}`))
  })

let gateway: TestGateway
let taken: Awaited<ReturnType<typeof startExchangeCollector>>
const upstreams = {} as Record<'heavy' | 'light' | 'first' | 'second' | 'plain', HttpUpstream>

beforeAll(async () => {
  for (const name of ['heavy', 'light', 'first', 'second', 'plain'] as const)
    upstreams[name] = await startNamed(name)
  taken = await startExchangeCollector()
  const { heavy, light, first, second, plain } = upstreams
  const on = (name: string, prefix: string, more: object = {}) => ({
    ...{ name, prefix, upstreams: [{ url: plain.url }], mirrors: ['all'], ...more },
  })
  gateway = await startTestGateway({
    config: {
      collections: [
        on('weights', '/weights', {
          upstreams: [
            { url: heavy.url, weight: 3 },
            { url: light.url, weight: 1 },
          ],
        }),
        on('failing', '/failing', {
          upstreams: [{ url: first.url }, { url: second.url }],
          eject: { after_failures: 2, for_ms: 2500 },
        }),
        on('api', '/api'),
        on('api-v2', '/api/v2', { strip_prefix: true }),
        on('wildcard', '/', { hosts: ['*.example.com'] }),
        on('exact', '/', { hosts: ['shop.example.com'] }),
        on('exact-deep', '/deep', { hosts: ['shop.example.com'], strip_prefix: true }),
      ],
      mirrors: [{ name: 'all', sink: 'http', url: taken.url, batch: { max_wait_ms: 20 } }],
      capture: { flush_after_ms: 20 },
    },
  })
})

test('requests are spread by weight', async () => {
  const client = new Client(gateway.port, 4)
  const answers = await Promise.all(Array.from({ length: 40 }, () => client.send({ path: '/weights' })))
  const names = answers.map(({ text }) => text.split(' ')[0])
  expect(names.filter((name) => name === 'heavy')).toHaveLength(30)
  expect(names.filter((name) => name === 'light')).toHaveLength(10)
})

const failing = async () => {
  const view = await gateway.admin.json<CollectionView>('GET', '/api/collections/failing')
  return view.upstreams
}

test('an upstream that is gone: nobody notices, it is left out, and used again when it is back', async () => {
  const { first } = upstreams
  const client = new Client(gateway.port)
  const ask = async (method = 'GET') => (await client.send({ method, path: '/failing' })).text.split(' ')[0]
  await first.stop()
  for (let at = 0; at < 6; at += 1) expect(await ask(at % 2 === 0 ? 'GET' : 'POST')).toBe('second')
  const [one, two] = await failing()
  expect([one?.healthy, two?.healthy]).toEqual([false, true])
  expect(one?.failures).toBe(2)
  const metrics = await gateway.admin.metrics()
  expect(metrics.values('upstream_healthy', { upstream: first.url })).toEqual([0])
  expect(metrics.sum('upstream_errors_total', { collection: 'failing', reason: 'unreachable' })).toBe(2)
  // The client was answered by another one: nothing was rejected.
  expect(metrics.sum('http_rejected_total', { reason: 'upstream_unreachable' })).toBe(0)

  await first.start()
  await until(async () => (await failing())[0]?.healthy, { what: 'the ejection ends' })
  const names = [await ask(), await ask(), await ask(), await ask()]
  expect(names.filter((name) => name === 'first')).toHaveLength(2)
  expect((await taken.of('/failing')).upstream).toBe(upstreams.second.url)
})

test('the last one standing is asked, and its failure told', async () => {
  const { first, second } = upstreams
  await Promise.all([first.stop(), second.stop()])
  const client = new Client(gateway.port)
  for (let at = 0; at < 6; at += 1)
    expect((await client.send({ method: 'PUT', path: '/failing/all-down' })).status).toBe(502)
  expect((await failing()).some(({ healthy }) => healthy)).toBe(true)
  await Promise.all([first.start(), second.start()])
  expect((await client.send({ path: '/failing' })).status).toBe(200)
})

test.each([
  ['any.test', '/api/x', 'api', '/api/x'],
  ['any.test', '/api', 'api', '/api'],
  ['any.test', '/api/v2/x?q=/api', 'api-v2', '/x?q=/api'],
  ['any.test', '/api/v2', 'api-v2', '/'],
  ['any.test', '/api/v20', 'api', '/api/v20'],
  ['any.test', '/apis', null, ''],
  ['a.example.com', '/apis', 'wildcard', '/apis'],
  ['A.B.Example.COM:8080', '/anything', 'wildcard', '/anything'],
  ['example.com', '/apis', null, ''],
  ['shop.example.com', '/anything', 'exact', '/anything'],
  ['shop.example.com', '/deep/down', 'exact-deep', '/down'],
  ['shop.example.com', '/deeper', 'exact', '/deeper'],
])('%s%s belongs to %s', async (host, path, collection, seen) => {
  const client = await RawClient.connect(gateway.port)
  const marker = `${host} ${path}`
  const answer = await client.request(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nX-Marker: ${marker}\r\n\r\n`)
  if (collection === null) {
    expect(answer.status).toBe(404)
    return
  }
  expect(answer.body.toString()).toBe(`plain ${seen}`)
  const item = await until(
    () => taken.items().find(({ request }) => request.headers.some(([, value]) => value === marker)),
    { what: 'the exchange' },
  )
  expect(item).toMatchObject({ collection, request: { host, path: path.split('?')[0] } })
})
