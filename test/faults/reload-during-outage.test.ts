/**
 * A reload while a collector is down: the backlog follows the mirror, dead letters go on, nothing is lost
 * (trap B17).
 */
import { expect, test } from 'vitest'
import { faults, startCollector } from '../support/collector.ts'
import { mirrorConfig } from '../support/gateway.ts'
import { until } from '../support/wait.ts'
import { allLegs, type BedChanges, onMirror, type SharedBed, sharedGateway, startBed } from './bed.ts'

const sharedBed = sharedGateway()

const patient = { attempts: 1, min_wait_ms: 10, max_wait_ms: 10, probe_ms: 3_600_000 }

async function reload(bed: SharedBed, changes: BedChanges & { to?: string }): Promise<void> {
  const { to = bed.collector.url, ...rest } = changes
  const config = mirrorConfig({ upstream: bed.upstream.url, collector: to, ...onMirror(bed.mirror, rest) })
  await bed.gateway.rewrite({ config })
  await bed.gateway.admin.json('POST', '/api/config/reload')
}

async function outage<B extends SharedBed>(start: (changes: BedChanges) => Promise<B>): Promise<B> {
  const bed = await start({ mirror: { retry: patient } })
  await bed.collector.stop()
  await bed.send(50)
  await bed.sees('parked', allLegs('parked'))
  return bed
}

test('a changed URL applies to the backlog, at once', async () => {
  const bed = await outage(sharedBed)
  const other = await startCollector()
  await reload(bed, { to: other.url, mirror: { retry: patient } })
  const view = await bed.sees(
    'all is delivered',
    ({ counts }) => counts.captured === 100 && counts.waiting === 0,
  )
  expect(view.counts).toMatchObject({ delivered: 100, dropped: {} })
  expect([other.pairs, bed.collector.pairs]).toEqual([50, 0])
})

test('mended credentials apply to the backlog, at once', async () => {
  const bed = await sharedBed({ mirror: { retry: patient } })
  bed.collector.fault = {
    onDelivery: (delivery, request, response) =>
      delivery.headers['authorization'] === 'Bearer right'
        ? 'normal'
        : (faults.status(401).onDelivery?.(delivery, request, response) ?? 'normal'),
  }
  await bed.send(30)
  await bed.sees('parked', allLegs('parked'))
  await reload(bed, {
    connection: { headers: { Authorization: 'Bearer right' } },
    mirror: { retry: patient },
  })
  await bed.expectAllDelivered()
})

test('dead letters are made, kept and replayed over a reload', async () => {
  const bed = await sharedBed()
  bed.collector.fault = faults.poison((item) => 'request' in item && item.request.path.endsWith('/3'))
  await bed.send(10)
  await bed.sees('one is dead', ({ counts }) => counts.captured === 20 && counts.waiting === 0)
  await reload(bed, { mirror: { batch: { max_wait_ms: 20, max_items: 4 } } })
  await bed.send(10)
  const dead = await bed.sees('two are dead', ({ counts }) => counts.captured === 40 && counts.waiting === 0)
  expect(dead.counts).toMatchObject({ delivered: 38, dead_lettered: 2 })
  bed.collector.fault = null
  await bed.gateway.admin.json('POST', `/api/mirrors/${bed.mirror}/dead-letters/replay`)
  await bed.expectAllDelivered()
})

test('a mirror that is removed keeps its backlog, and delivers it when it returns', async () => {
  const bed = await outage(sharedBed)
  await reload(bed, { rest: { mirrors: [] }, collection: { mirrors: [] } })
  await bed.collector.start()
  const removed = await bed.sees('disabled', ({ state }) => state === 'disabled')
  expect(removed.counts).toMatchObject({ captured: 100, waiting: 100 })
  expect(await bed.gateway.admin.call('POST', `/api/mirrors/${bed.mirror}/replay`)).toMatchObject({
    status: 409,
  })
  expect(bed.collector.posts).toBe(0)
  await reload(bed, { mirror: { retry: patient } })
  await bed.expectAllDelivered()
})

test('a mirror that is removed keeps its backlog over a restart, until it is purged', async () => {
  const bed = await outage(startBed)
  const without = { rest: { mirrors: [] }, collection: { mirrors: [] } }
  await reload(bed, without)
  expect(await bed.gateway.stop()).toBe(0)
  await bed.restart(mirrorConfig({ upstream: bed.upstream.url, collector: bed.collector.url, ...without }))
  expect((await bed.view()).counts).toMatchObject({ captured: 100, waiting: 100 })
  const answer = await bed.gateway.admin.call('DELETE', '/api/mirrors/salt/backlog')
  expect(answer.status).toBe(200)
  await until(async () => (await bed.gateway.admin.call('GET', '/api/mirrors/salt')).status === 404, {
    what: 'nothing is left of the mirror',
  })
  await reload(bed, {})
  const back = await bed.view()
  expect(back.counts).toMatchObject({ captured: 100, waiting: 0, dropped: { purged: 100 } })
})

test('a reload that is refused leaves the outage as it was', async () => {
  const bed = await outage(sharedBed)
  await bed.gateway.rewrite({ yaml: 'collections: 7\n' })
  expect((await bed.gateway.admin.call('POST', '/api/config/reload')).status).toBe(400)
  await bed.send(10)
  await bed.collector.start()
  await bed.gateway.admin.replay(bed.mirror)
  await bed.expectAllDelivered()
})

test('reloads one after the other under load lose nothing', async () => {
  const bed = await sharedBed()
  const sending = bed.send(400)
  for (let round = 0; round < 5; round += 1) {
    await reload(bed, { mirror: { batch: { max_wait_ms: 20 + round, max_items: 50 + round } } })
  }
  await sending
  await bed.expectAllDelivered()
})
