/** The end of a gateway: what is in flight is finished, what was captured is kept, and everyone is told. */
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { RawClient, untilRefused } from '../support/client.ts'
import { startCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

/** A gateway whose upstream holds every request to /held… until `release` is called. */
async function setUp(timeouts: Record<string, number>) {
  const held: ServerResponse[] = []
  const upstream = await startUpstream((request, response) => {
    request.resume()
    if (request.url?.startsWith('/held')) held.push(response)
    else response.end('ok')
  })
  const collector = await startCollector()
  const config = {
    ...mirrorConfig({ upstream: upstream.url, collector: collector.url }),
    listen: { threads: 2, timeouts },
  }
  const gateway = await startTestGateway({ config })
  const release = () => {
    for (const response of held.splice(0)) response.end('late')
  }
  const hold = async (path: string) => {
    const client = await RawClient.connect(gateway.port)
    const before = held.length
    client.send(get(path))
    await until(() => held.length > before, { what: `${path} is at the upstream` })
    return client
  }
  const terminate = async () => {
    gateway.process.child.kill('SIGTERM')
    await until(async () => (await gateway.admin.call('GET', '/readyz')).status === 503, {
      what: 'the gateway is not ready any more',
    })
  }
  return { gateway, collector, config, held, hold, release, terminate }
}

test('a drain: not ready, closing, refusing, finished, delivered, 0', async () => {
  const { gateway, collector, hold, release, terminate } = await setUp({
    drain_grace_ms: 1500,
    drain_ms: 20_000,
  })
  const idle = await RawClient.connect(gateway.port)
  expect((await idle.request(get('/before'))).header('connection')).toBe('keep-alive')
  const busy = await Promise.all([1, 2, 3, 4].map((at) => hold(`/held/${at}`)))

  await terminate()
  const ready = await gateway.admin.call('GET', '/readyz')
  expect(JSON.parse(ready.text)).toEqual({
    status: 'draining',
    reasons: ['the gateway is shutting down'],
  })
  expect((await gateway.admin.call('GET', '/healthz')).status).toBe(200)
  expect((await gateway.admin.status()).state).toBe('draining')
  // While the grace lasts, balancers that have not noticed yet are still served, and told to go.
  const late = await RawClient.connect(gateway.port)
  const served = await late.request(get('/during'))
  expect([served.status, served.header('connection')]).toEqual([200, 'close'])
  await late.closed

  // Then nobody listens any more, and who was idle is closed.
  await idle.closed
  await untilRefused(gateway.port)
  expect(gateway.process.running).toBe(true)
  release()
  for (const client of busy) {
    const answer = await client.response()
    expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, 'late', true])
    expect(answer.header('connection')).toBe('close')
    await client.closed
  }
  expect(await gateway.process.exited).toBe(0)
  expect(gateway.logs().at(-1)).toMatchObject({ msg: 'stopped', clean: true, captured: 12, delivered: 12 })
  expect(collector.pairs).toBe(6)
})

test('drain_ms over: connections are cut, exit 4, and what was captured is still delivered', async () => {
  const { gateway, collector, config, hold, terminate } = await setUp({ drain_ms: 400 })
  const cut = await hold('/held/cut')
  await terminate()
  const answer = await cut.response().catch((error: Error) => error.message)
  expect(answer).toContain('the connection ended')
  expect(await gateway.process.exited).toBe(4)

  const next = await startTestGateway({ config, folder: gateway.folder })
  expect((await next.admin.status()).unclean_shutdown).toBe(false)
  const view = await next.delivered(1)
  expect(view.counts).toMatchObject({ captured: 2, delivered: 2, dropped: {} })
  expect((await collector.pairOf('/held/cut')).response.response.status).toBeNull()
})

test('a second SIGTERM ends at once with 4; the next start says so and counts on', async () => {
  const { gateway, collector, config, hold, terminate } = await setUp({ drain_ms: 60_000 })
  const client = await RawClient.connect(gateway.port)
  await client.request(get('/whole'))
  await gateway.delivered(1)
  await hold('/held/never')
  await terminate()
  // One within the first second is the same signal, delivered twice.
  await until(() => !gateway.process.child.kill('SIGTERM') && !gateway.process.running, {
    what: 'the end',
    every_ms: 100,
  })
  expect(await gateway.process.exited).toBe(4)

  const next = await startTestGateway({ config, folder: gateway.folder })
  expect((await next.admin.status()).unclean_shutdown).toBe(true)
  expect((await next.admin.metrics()).sum('unclean_shutdown')).toBe(1)
  const view = await next.admin.mirror('salt')
  expectIdentity(view)
  // What was delivered before is not delivered again.
  await until(async () => (await next.admin.mirror('salt')).counts.waiting === 0, { what: 'nothing waits' })
  expect(collector.totals('requests').distinct).toBe(1)
})
