/** A batch is a run of whole frames within its bounds, sent when it is full or has waited long enough. */
import { expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { Rig } from './rig.ts'

const sizes = (rig: Rig) => rig.collector.accepted('requests').map(({ items }) => items.length)

test('max_items: frames join up to it, and none is cut', async () => {
  const rig = await Rig.open({ batch: { max_items: 10, max_wait_ms: 50 }, concurrency: 1 })
  for (const items of [4, 4, 4, 4, 4]) rig.capture(items)
  await rig.drained()
  expect(sizes(rig)).toEqual([8, 8, 4])
})

test('max_items: exactly full is full', async () => {
  const rig = await Rig.open({ batch: { max_items: 10, max_wait_ms: 3_600_000 }, concurrency: 1 })
  for (const items of [5, 5]) rig.capture(items)
  await rig.drained()
  expect(sizes(rig)).toEqual([10])
})

test('max_bytes: frames join up to it; a frame above it goes alone', async () => {
  const rig = await Rig.open({
    batch: { max_bytes: 3000, max_wait_ms: 50 },
    concurrency: 1,
    segment_bytes: 1 << 20,
  })
  for (const filler of [1000, 1000, 1000, 5000, 10]) rig.capture(1, 'x'.repeat(filler))
  await rig.drained()
  expect(sizes(rig)).toEqual([2, 1, 1, 1])
})

test('a single item is sent without another one coming (trap B12)', async () => {
  const rig = await Rig.open({ batch: { max_wait_ms: 30 } })
  rig.capture(1)
  expect(rig.sent).toHaveLength(0)
  await rig.drained()
  expect(sizes(rig)).toEqual([1])
})

test('max_wait_ms: until it has passed items wait for others; replay does not wait', async () => {
  const rig = await Rig.open({ batch: { max_wait_ms: 3_600_000 } })
  rig.capture(3)
  rig.capture(3)
  expect(rig.counts()).toMatchObject({ waiting: 6, delivered: 0 })
  rig.leg.replay()
  await rig.drained()
  expect(sizes(rig)).toEqual([6])
})

test('a batch stays within its segment', async () => {
  const rig = await Rig.open({ concurrency: 1, segment_bytes: 1 })
  for (let frame = 0; frame < 5; frame += 1) rig.capture(2)
  await rig.drained()
  expect(sizes(rig)).toEqual([2, 2, 2, 2, 2])
})

test('files go when their last item is settled', async () => {
  const rig = await Rig.open({ segment_bytes: 1 })
  for (let frame = 0; frame < 5; frame += 1) rig.capture(2)
  rig.roll()
  await rig.drained()
  await until(() => rig.files().length === 0, { what: 'the files of delivered segments are gone' })
  rig.check()
  expect(rig.leg.queue.fileBytes).toBe(0)
})

test('concurrency 1 keeps order, also over failures and a restart', async () => {
  const rig = await Rig.open({ concurrency: 1, batch: { max_items: 2 }, segment_bytes: 300 })
  await rig.collector.stop()
  for (let frame = 0; frame < 20; frame += 1) rig.capture(1)
  await until(() => rig.leg.parked, { what: 'the leg is parked' })
  await rig.restart()
  for (let frame = 0; frame < 20; frame += 1) rig.capture(1)
  await rig.collector.start()
  await rig.drained()
  expect(rig.arrived()).toEqual(Array.from({ length: 40 }, (_, at) => `item-${at + 1}`))
})

test('concurrency bounds the deliveries on their way', async () => {
  const rig = await Rig.open({ concurrency: 3, segment_bytes: 1, timeout_ms: 60_000 })
  let open = 0
  let most = 0
  rig.collector.fault = {
    onDelivery: (_delivery, _request, response) => {
      open += 1
      most = Math.max(most, open)
      setImmediate(() => {
        open -= 1
        response.end()
      })
      return 'accepted'
    },
  }
  for (let frame = 0; frame < 30; frame += 1) rig.capture(1)
  await rig.drained()
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(3)
})

test('max_bytes_per_second spreads a backlog instead of sending it at once', async () => {
  const rig = await Rig.open({ concurrency: 4, segment_bytes: 1, max_bytes_per_second: 10_000 })
  rig.leg.paused = true
  for (let frame = 0; frame < 5; frame += 1) rig.capture(1, 'x'.repeat(400))
  rig.leg.paused = false
  rig.leg.pump()
  expect(rig.leg.queue.waitingItems).toBe(5)
  const first = performance.now()
  await rig.drained()
  // Each takes 50 ms of the rate; the last one starts after four of them.
  expect(performance.now() - first).toBeGreaterThan(150)
})

test('max_bytes_per_second holds from the first batch on, whatever the concurrency', async () => {
  const rig = await Rig.open({ concurrency: 4, segment_bytes: 1, max_bytes_per_second: 1 })
  rig.leg.paused = true
  for (let frame = 0; frame < 5; frame += 1) rig.capture(1, 'x'.repeat(400))
  rig.leg.paused = false
  rig.leg.pump()
  await until(() => rig.counts().delivered === 1, { what: 'the first delivery' })
  expect(rig.sent.filter(({ leg }) => leg === rig.leg.name)).toHaveLength(1)
})
