/** The counts go on exactly over a clean restart, and what was waiting is delivered afterwards. */
import { expect, test } from 'vitest'
import type { DeliveryView } from '../../src/admin/commands.ts'
import { Client } from '../support/client.ts'
import { faults, startCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

async function sendMany(port: number, count: number): Promise<void> {
  const client = new Client(port)
  for (let at = 0; at < count; at += 1) {
    const { status } = await client.send({ method: 'PUT', path: `/orders/${at}`, body: '{}' })
    expect(status).toBe(200)
  }
}

const countsOf = (view: DeliveryView) => view.legs.map(({ name, counts }) => ({ name, ...counts }))

async function setUp() {
  const upstream = await startUpstream()
  const collector = await startCollector()
  const config = mirrorConfig({ upstream: upstream.url, collector: collector.url })
  return { collector, config, gateway: await startTestGateway({ config }) }
}

test('a clean stop with a backlog: the same counts and metrics after it, each item once', async () => {
  const { collector, config, gateway: first } = await setUp()
  await sendMany(first.port, 100)
  await first.delivered(100)
  await collector.stop()
  await sendMany(first.port, 100)
  const before = await until(
    async () => {
      const view = await first.admin.mirror('salt')
      return view.legs.every(({ durable_items }) => durable_items === 100) && view
    },
    { what: 'the backlog is on disk' },
  )
  expectIdentity(before)
  expect(await first.stop()).toBe(0)

  const second = await startTestGateway({ config, folder: first.folder })
  const after = await second.admin.mirror('salt')
  expectIdentity(after)
  expect(countsOf(after)).toEqual(countsOf(before))
  const metrics = await second.admin.metrics()
  for (const { name, captured, delivered } of countsOf(after)) {
    const labels = { mirror: 'salt', leg: name }
    expect([captured, delivered]).toEqual([200, 100])
    expect(metrics.sum('mirror_captured_total', labels)).toBe(captured)
    expect(metrics.sum('mirror_delivered_total', labels)).toBe(delivered)
  }
  expect((await second.admin.status()).unclean_shutdown).toBe(false)

  await sendMany(second.port, 50)
  await collector.start()
  await second.admin.replay('salt')
  const end = await second.delivered(250)
  expect(end.legs.map(({ counts }) => [counts.captured, counts.delivered])).toEqual([
    [250, 250],
    [250, 250],
  ])
  expect([collector.pairs, collector.totals('requests').distinct]).toEqual([250, 250])
  expect(collector.totals('requests').duplicate_batches).toBe(0)
})

test('dead letters stay counted, and a stop right after the last answer loses nothing', async () => {
  const { collector, config, gateway: first } = await setUp()
  collector.fault = faults.poison((item) => 'request' in item && item.request.path === '/orders/7')
  await sendMany(first.port, 20)
  const before = await first.delivered(20)
  expect(before.counts).toMatchObject({ captured: 40, delivered: 39, dead_lettered: 1 })
  expect(await first.stop()).toBe(0)

  const second = await startTestGateway({ config, folder: first.folder })
  expect(countsOf(await second.admin.mirror('salt'))).toEqual(countsOf(before))
  const letters = await second.admin.json<{ total: number }>('GET', '/api/mirrors/salt/dead-letters')
  expect(letters.total).toBe(1)

  collector.fault = null
  await collector.stop()
  await sendMany(second.port, 100)
  expect(await second.stop(), 'what was still in memory is written').toBe(0)
  await collector.start()
  const third = await startTestGateway({ config, folder: first.folder })
  const end = await third.delivered(120)
  expect(end.counts).toMatchObject({ captured: 240, delivered: 239, dead_lettered: 1 })
  expect(collector.totals('responses').distinct).toBe(120)
})
