/** What people do to a running gateway: pause, resume, disconnect, stop all capture, test, purge. */
import { beforeEach, expect, test } from 'vitest'
import type { DeliveryView, StatusView, TestResult } from '../../src/admin/commands.ts'
import { Client } from '../support/client.ts'
import { faults, startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

type Section = Record<string, unknown>

let upstream: HttpUpstream
let collector: TestCollector
let config: Section
let gateway: TestGateway
let client: Client
let turn = 0
/** Names of the mirrors of one test: two over one connection, one beside it, one that is switched off. */
let names: Readonly<Record<'salt' | 'second' | 'beside' | 'off', string>>

/** A start takes more than most of these tests: each changes the configuration of one gateway instead. */
beforeEach(async () => {
  upstream = await startUpstream()
  collector = await startCollector()
  turn += 1
  names = { salt: `salt-${turn}`, second: `second-${turn}`, beside: `beside-${turn}`, off: `off-${turn}` }
  const base = mirrorConfig({ upstream: upstream.url, collector: collector.url })
  const [salt] = base['mirrors'] as [Section]
  const beside = { sink: 'blackhole', batch: { max_wait_ms: 20 } }
  config = {
    ...base,
    collections: [{ name: 'orders', upstreams: [{ url: upstream.url }], mirrors: Object.values(names) }],
    mirrors: [
      { ...salt, name: names.salt },
      { ...salt, name: names.second },
      { ...beside, name: names.beside },
      { ...beside, name: names.off, enabled: false },
    ],
  }
  if (turn === 1) await start()
  else await reload(config)
  client = new Client(gateway.port)
})

async function start(folder?: string): Promise<void> {
  gateway = await startTestGateway({ config, shared: true, ...(folder === undefined ? {} : { folder }) })
  client = new Client(gateway.port)
}

async function reload(next: Section): Promise<void> {
  await gateway.rewrite({ config: next })
  await gateway.admin.json('POST', '/api/config/reload')
}

async function send(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) expect((await client.send({ path: `/${at}` })).status).toBe(200)
}

const post = (path: string) => gateway.admin.call('POST', path)

/** Waits until this many exchanges wait on disk. */
const waiting = (name: string, exchanges: number): Promise<DeliveryView> =>
  until(
    async () => {
      const view = await gateway.admin.mirror(name)
      return view.legs.every((leg) => leg.durable_items === exchanges) && view
    },
    { what: `${exchanges} exchanges of ${name} wait on disk` },
  )

async function expectConflict(path: string, sentence: string): Promise<void> {
  const { status, text } = await post(path)
  expect([status, (JSON.parse(text) as { message: string }).message]).toEqual([409, sentence])
}

test('pause stops delivery, not capture, also over a restart and a reload; resume delivers', async () => {
  await send(3)
  await gateway.delivered(3, names.salt)
  expect(await gateway.admin.pause(names.salt)).toMatchObject({ state: 'paused', counts: { waiting: 0 } })
  // Again is no error.
  expect((await post(`/api/mirrors/${names.salt}/pause`)).status).toBe(200)
  await send(5)
  const paused = await waiting(names.salt, 5)
  expectIdentity(paused)
  expect(paused).toMatchObject({ state: 'paused', counts: { captured: 16, delivered: 6, waiting: 10 } })
  await expectConflict(`/api/mirrors/${names.salt}/replay`, `mirror ${names.salt} is paused: resume it first`)
  await gateway.delivered(8, names.second)

  await gateway.admin.json('POST', '/api/config/reload')
  expect((await gateway.admin.mirror(names.salt)).state).toBe('paused')
  expect(await gateway.stop()).toBe(0)
  await start(gateway.folder)
  expect(await gateway.admin.mirror(names.salt)).toMatchObject({
    state: 'paused',
    counts: { captured: 16, delivered: 6, waiting: 10 },
  })
  expect((await gateway.admin.resume(names.salt)).state).not.toBe('paused')
  expect((await gateway.delivered(8, names.salt)).counts).toMatchObject({ delivered: 16, dropped: {} })
})

test('a disconnected connection pauses every mirror that uses it, and no other', async () => {
  const act = (verb: string) => gateway.admin.json('POST', `/api/connections/collector/${verb}`)
  expect(await act('disconnect')).toEqual({ name: 'collector', connected: false })
  await send(4)
  for (const name of [names.salt, names.second]) {
    expect((await waiting(name, 4)).state).toBe('paused')
    expect((await post(`/api/mirrors/${name}/replay`)).status).toBe(409)
  }
  await gateway.delivered(4, names.beside)
  expect(collector.posts).toBe(0)
  // Resuming one mirror does not put the connection back.
  await gateway.admin.resume(names.salt)
  expect((await gateway.admin.mirror(names.salt)).state).toBe('paused')

  await gateway.admin.pause(names.second)
  expect(await act('connect')).toEqual({ name: 'collector', connected: true })
  await gateway.delivered(4, names.salt)
  expect((await waiting(names.second, 4)).state).toBe('paused')
  expect((await post('/api/connections/nobody/disconnect')).status).toBe(404)
})

test('the kill switch stops all capture and nothing else, also over a reload and a restart', async () => {
  await send(2)
  await gateway.delivered(2, names.salt)
  const paused = async () => (await gateway.admin.json<StatusView>('GET', '/api/status')).capture.paused
  expect(await gateway.admin.json('POST', '/api/capture/pause')).toEqual({ paused: true })
  await send(3)
  await gateway.admin.json('POST', '/api/config/reload')
  await send(3)
  expect(await paused()).toBe(true)
  expect(await gateway.stop()).toBe(0)
  await start(gateway.folder)
  await send(1)
  expect(await paused()).toBe(true)

  expect(await gateway.admin.json('POST', '/api/capture/resume')).toEqual({ paused: false })
  await send(1)
  expect(await paused()).toBe(false)
  for (const name of [names.salt, names.second, names.beside]) await gateway.delivered(3, name)
  expect(upstream.received).toHaveLength(10)
})

test('a mirror that is switched off captures nothing, keeps what waits, and is not replayed', async () => {
  await collector.stop()
  await send(2)
  await waiting(names.salt, 2)
  const off = (config['mirrors'] as Section[]).map((mirror) => ({ ...mirror, enabled: false }))
  await reload({ ...config, mirrors: off })
  await send(3)
  const view = await gateway.admin.mirror(names.salt)
  expectIdentity(view)
  expect(view).toMatchObject({ enabled: false, state: 'disabled', counts: { captured: 4, waiting: 4 } })
  await expectConflict(
    `/api/mirrors/${names.salt}/replay`,
    `mirror ${names.salt} is disabled: enable it first`,
  )

  await collector.start()
  await reload(config)
  await gateway.admin.replay(names.salt)
  expect((await gateway.delivered(2, names.salt)).counts).toMatchObject({ delivered: 4, dropped: {} })
})

test('purge throws the backlog away and counts it', async () => {
  await collector.stop()
  await send(6)
  await waiting(names.salt, 6)
  // A batch on its way at that moment is not taken back: it waits again when it has failed.
  const purged = await until(
    async () => {
      const view = await gateway.admin.json<DeliveryView>('DELETE', `/api/mirrors/${names.salt}/backlog`)
      return view.counts.waiting === 0 && view
    },
    { what: 'nothing is left to purge' },
  )
  expectIdentity(purged)
  expect(purged.counts).toMatchObject({ captured: 12, waiting: 0, dropped: { purged: 12 } })
  await collector.start()
  await send(1)
  await gateway.admin.replay(names.second)
  await gateway.delivered(7, names.second)
  const view = await gateway.delivered(7, names.salt)
  expect(view.counts).toMatchObject({ delivered: 2, dropped: { purged: 12 } })
  const labels = { mirror: names.salt, reason: 'purged' }
  expect((await gateway.admin.metrics()).sum('mirror_dropped_total', labels)).toBe(12)
})

test('a test sends one marked sample per leg, counts nowhere, and says what fails', async () => {
  const run = async () =>
    (await gateway.admin.json<TestResult>('POST', `/api/mirrors/${names.salt}/test`)).legs
  await gateway.admin.pause(names.salt)
  for (const leg of await run()) {
    expect(leg).toMatchObject({ ok: true, status: expect.any(Number), error: null })
    expect(leg.latency_ms).toBeGreaterThan(0)
  }
  for (const leg of ['requests', 'responses'] as const) {
    const items = collector.accepted(leg).flatMap((delivery) => delivery.items)
    expect(items).toMatchObject([{ test: true, environment: 'dev' }])
  }
  collector.fault = faults.onLeg('responses', faults.status(401))
  const [requests, responses] = await run()
  expect(requests).toMatchObject({ name: 'requests', ok: true })
  expect(responses).toMatchObject({ name: 'responses', ok: false, status: 401 })
  expect(responses?.error).toContain('401')
  await collector.stop()
  for (const leg of await run()) {
    expect(leg).toMatchObject({ ok: false, status: null })
    expect(leg.error).toContain('connection refused')
  }
  const { counts, legs } = await gateway.admin.mirror(names.salt)
  expect(counts).toMatchObject({ captured: 0, delivered: 0 })
  // A failed test is no failed delivery.
  expect(legs.map(({ attempts }) => attempts)).toEqual([0, 0])
})

test('the log level changes at once', async () => {
  const told = (verb: string) =>
    gateway.logs().some(({ msg, mirror }) => msg === `mirror ${verb}` && mirror === names.salt)
  expect(await gateway.admin.json('PUT', '/api/logging', { level: 'error' })).toEqual({ level: 'error' })
  await gateway.admin.pause(names.salt)
  await gateway.admin.json('PUT', '/api/logging', { level: 'debug' })
  await gateway.admin.resume(names.salt)
  await until(() => told('resumed'), { what: 'the line of the resume' })
  expect(told('paused')).toBe(false)
  expect((await gateway.admin.call('PUT', '/api/logging', { level: 'loud' })).status).toBe(400)
})
