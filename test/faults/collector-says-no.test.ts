/**
 * What a collector answers decides what its legs do; no answer of it ever reaches a client or loses an
 * item.
 */
import { expect, test } from 'vitest'
import { faults, startCollector } from '../support/collector.ts'
import { until } from '../support/wait.ts'
import { allLegs, sharedGateway } from './bed.ts'

const startBed = sharedGateway()

test('500, then works: retried under the same batch ids', async () => {
  const bed = await startBed()
  bed.collector.fault = faults.times(4, faults.status(500))
  await bed.send(100)
  await bed.expectAllDelivered()
  for (const leg of ['requests', 'responses'] as const) {
    const refused = bed.collector.deliveries.filter((delivery) => delivery.leg === leg && !delivery.accepted)
    const accepted = new Set(bed.collector.accepted(leg).map(({ batchId }) => batchId))
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.every(({ batchId }) => accepted.has(batchId))).toBe(true)
    expect(bed.collector.totals(leg).items).toBe(100)
  }
})

test('429 with Retry-After: no leg comes back before', async () => {
  // One at a time: nothing else is on its way when the answer comes.
  const bed = await startBed({ mirror: { concurrency: 1 } })
  const refusedAt = new Map<string, number>()
  const early: number[] = []
  bed.collector.fault = {
    onDelivery: (delivery, request, response) => {
      const before = refusedAt.get(delivery.leg)
      if (before !== undefined) {
        if (performance.now() - before < 990) early.push(performance.now() - before)
        return 'normal'
      }
      refusedAt.set(delivery.leg, performance.now())
      return faults.tooManyRequests(1).onDelivery?.(delivery, request, response) ?? 'normal'
    },
  }
  await bed.send(20)
  await until(() => refusedAt.size === 2, { what: 'both legs were told to wait' })
  await bed.send(20)
  await bed.expectAllDelivered()
  expect(early).toEqual([])
})

test('401, then mended: parked at once, nothing is lost, delivered by the next probe', async () => {
  const bed = await startBed({
    mirror: { retry: { attempts: 100, min_wait_ms: 10, max_wait_ms: 10, probe_ms: 300 } },
  })
  bed.collector.fault = faults.status(401)
  await bed.send(50)
  const parked = await bed.sees('both legs are parked', allLegs('parked'))
  expect(parked.legs.map(({ last_response_code }) => last_response_code)).toEqual([401, 401])
  expect(parked.legs.every(({ next_attempt_at }) => next_attempt_at !== null)).toBe(true)
  await bed.send(50)
  bed.collector.fault = null
  await bed.expectAllDelivered()
})

test('a redirect is not followed: parked, and nothing goes to the other place', async () => {
  const elsewhere = await startCollector()
  const bed = await startBed()
  bed.collector.fault = faults.redirect(`${elsewhere.url}/requests`)
  await bed.send(20)
  const parked = await bed.sees('both legs are parked', allLegs('parked'))
  expect(parked.legs.map(({ last_response_code }) => last_response_code)).toEqual([307, 307])
  expect(elsewhere.posts).toBe(0)
  bed.collector.fault = null
  await bed.gateway.admin.replay(bed.mirror)
  await bed.expectAllDelivered()
})

test('400 on one poison item: only that one is a dead letter, with the answer', async () => {
  const bed = await startBed()
  bed.collector.fault = faults.poison((item) => 'request' in item && item.request.path === '/orders/13')
  await bed.send(64)
  const view = await bed.sees(
    'nothing waits',
    ({ counts }) => counts.captured === 128 && counts.waiting === 0,
  )
  expect(view.counts).toMatchObject({ delivered: 127, dead_lettered: 1, dropped: {} })
  const page = await bed.gateway.admin.json<{
    total: number
    data: {
      leg: string
      status: number
      reason: string
      answer: string
      item: { request: { path: string } }
    }[]
  }>('GET', `/api/mirrors/${bed.mirror}/dead-letters`)
  expect(page.total).toBe(1)
  expect(page.data[0]).toMatchObject({
    leg: 'requests',
    status: 400,
    reason: 'rejected',
    answer: expect.stringContaining('fault: 400'),
    item: { request: { path: '/orders/13' } },
  })
  expect(bed.collector.totals('requests')).toMatchObject({ items: 63, distinct: 63 })

  bed.collector.fault = null
  await bed.gateway.admin.json('POST', `/api/mirrors/${bed.mirror}/dead-letters/replay`)
  await bed.expectAllDelivered()
  expect(bed.collector.totals('requests')).toMatchObject({ items: 64, distinct: 64 })
})

test('413: batches are split until they fit', async () => {
  const bed = await startBed({ mirror: { batch: { max_wait_ms: 300 } } })
  bed.collector.fault = faults.tooLarge(5000)
  await bed.send(100)
  await bed.expectAllDelivered()
  expect(bed.collector.refusals).toBeGreaterThan(0)
  expect(bed.collector.totals('requests')).toMatchObject({ items: 100, distinct: 100, duplicate_batches: 0 })
})

test('413 on a single item: a dead letter, and the rest goes on', async () => {
  const bed = await startBed()
  bed.collector.fault = faults.tooLarge(5000)
  await bed.send(20)
  await bed.send(1, 'x'.repeat(20_000))
  await bed.send(20)
  const view = await bed.sees('nothing waits', ({ counts }) => counts.captured === 82 && counts.waiting === 0)
  expect(view.counts).toMatchObject({ delivered: 81, dead_lettered: 1, dropped: {} })
})

test('nothing listens: parked on disk, and delivered when something does', async () => {
  const bed = await startBed()
  await bed.collector.stop()
  await bed.send(100)
  await bed.sees('both legs are parked', allLegs('parked'))
  await bed.collector.start()
  await bed.expectAllDelivered()
})
