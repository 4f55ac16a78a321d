/** Streams of exchanges: one line each, with bodies or without, redacted, of the collections that match. */
import { expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type Event, startReceiver } from '../support/receiver.ts'
import { arrived, stream, streamed, streamsConfig } from '../support/streams.ts'
import { startUpstream } from '../support/upstream.ts'

/** A stream that takes exchanges. */
const api = (name: string, more: object = {}) => stream(name, { events: ['api_summary'], match: {}, ...more })

async function post(gateway: TestGateway, path: string, body: object): Promise<number> {
  const response = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'tester/1' },
    body: JSON.stringify(body),
  })
  await response.arrayBuffer()
  return response.status
}

const secret = 'hunter2-hunter2'

async function start(streams: readonly Record<string, unknown>[]) {
  const receiver = await startReceiver()
  const upstream = await startUpstream()
  const collections = [
    { name: 'orders', prefix: '/orders', upstreams: [{ url: upstream.url }] },
    { name: 'nowhere', prefix: '/nowhere', upstreams: [{ url: 'http://127.0.0.1:9' }] },
  ]
  const config = streamsConfig(receiver.url, streams, { collections, capture: { flush_after_ms: 20 } })
  return { receiver, gateway: await startTestGateway({ config }) }
}

test('a summary says who, what and how it went, and keeps no body and no secret', async () => {
  const { receiver, gateway } = await start([api('log')])
  expect(await post(gateway, `/orders/1?token=${secret}&page=2`, { password: secret })).toBe(200)
  expect(await post(gateway, '/nowhere', {})).toBe(502)
  const events = await arrived(receiver, 'log', 2)
  const [good, bad] = [...events].sort((a, b) => Number(a['code']) - Number(b['code'])) as [Event, Event]
  expect(good).toMatchObject({
    ...{ event: 'api_summary', type: 'Success', code: 200, status_text: 'OK', gateway_code: null },
    ...{ collection: 'orders', endpoint: 'POST /orders/1', method: 'POST', path: '/orders/1' },
    ...{ ip: '127.0.0.1', client: { user_agent: 'tester/1' }, outcome: 'complete', environment: 'dev' },
  })
  expect(good['timing_ms']).toBeGreaterThan(0)
  expect(bad).toMatchObject({
    ...{ type: 'Error', code: 502, gateway_code: 'upstream_unreachable', collection: 'nowhere' },
    ...{ status_details: 'the upstream cannot be reached' },
  })
  expect(JSON.stringify(events)).not.toContain(secret)
  expect(Object.keys(good)).not.toContain('request')
  const view = await streamed(gateway, 'log', 2)
  expect(view.counts.captured).toBe(2)
})

test('details hold redacted bodies, masked where asked for; rules choose', async () => {
  const { receiver, gateway } = await start([
    api('details', { events: ['api_details'], match: { collections: ['orders'] } }),
    api('masked', { events: ['api_details'], match: { statuses: ['2xx'] }, mask_data: true }),
    api('errors', { match: { statuses: ['5xx'] } }),
  ])
  await post(gateway, '/orders/2', { item: 'book', password: secret })
  await post(gateway, '/nowhere', {})
  const [details = {}] = await arrived(receiver, 'details', 1)
  expect((details['request'] as { body: string }).body).toContain('book')
  expect(JSON.stringify(details)).not.toContain(secret)
  const [masked = {}] = await arrived(receiver, 'masked', 1)
  expect((masked['request'] as { body: unknown }).body).toEqual({ data: 'masked' })
  expect(JSON.stringify(masked)).not.toContain('book')
  const [error] = await arrived(receiver, 'errors', 1)
  expect(error).toMatchObject({ code: 502, collection: 'nowhere' })
  for (const name of ['details', 'masked', 'errors'])
    expect((await streamed(gateway, name, 1)).counts.captured, name).toBe(1)
})
