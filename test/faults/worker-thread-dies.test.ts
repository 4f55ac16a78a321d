/**
 * A recorder or shipper thread that dies is replaced and costs nothing; what ends one thread after the other
 * is given up, counted exactly, and clients notice nothing.
 */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startBed } from './bed.ts'

const program = fileURLToPath(new URL('./fixtures/dying-gateway.ts', import.meta.url))

const bedThatDies = (die: string) =>
  startBed(
    { rest: { capture: { flush_after_ms: 50 } }, mirror: { batch: { max_wait_ms: 50 } } },
    { program, env: { DIE: die } },
  )

// The sixth write is that of the second leg, where each slab is two.
test.each(['record:before:3', 'record:within:6'])('recorders die (%s): the next one goes on', async (die) => {
  const bed = await bedThatDies(die)
  for (let slab = 0; slab < 6; slab += 1) {
    await bed.send(40)
    await bed.sees(
      'the slab is recorded',
      ({ counts }) => counts.captured === 2 * bed.answered && counts.waiting === 0,
    )
  }
  const view = await bed.view()
  expect(bed.gateway.logs().some(({ msg }) => msg === 'recorder failed')).toBe(true)
  for (const leg of view.legs) {
    // While a thread is replaced, memory may run out: nothing else may cost an item.
    const { buffer_full: full = 0, ...others } = leg.counts.dropped
    expect(others).toEqual({})
    expect(leg.counts.delivered).toBe(240 - full)
    const items = bed.collector.accepted(leg.name as 'requests').flatMap((batch) => batch.items)
    expect(new Set(items.map(({ id }) => id)).size).toBe(240 - full)
    expect(items).toHaveLength(240 - full)
  }
})

test('a recorder dies after it has written: nothing is lost, and the counts survive a restart', async () => {
  const bed = await bedThatDies('record:after:3')
  await bed.send(400)
  await bed.expectAllDelivered()
  expect(bed.collector.totals('requests').items).toBe(400)
  expect(await bed.gateway.stop()).toBe(0)
  await bed.restart()
  await bed.expectAllDelivered()
})

test.each(['before', 'after'])(
  'a shipper thread dies %s each third delivery: all is delivered',
  async (when) => {
    const bed = await bedThatDies(`ship:${when}:3`)
    await bed.send(200)
    const view = await bed.sees(
      'all is delivered',
      ({ counts }) => counts.captured === 400 && counts.waiting === 0,
    )
    expect(view.counts).toMatchObject({ delivered: 400, dead_lettered: 0, dropped: {} })
    expect(bed.collector.pairs).toBe(200)
    // What came twice came as the same batch.
    for (const leg of ['requests', 'responses'] as const) {
      const batches = new Map<string, string>()
      for (const { batchId, items } of bed.collector.accepted(leg)) {
        const ids = items.map(({ id }) => id).join()
        expect(batches.get(batchId) ?? ids).toBe(ids)
        batches.set(batchId, ids)
      }
      expect([...batches.values()].flatMap((ids) => ids.split(','))).toHaveLength(200)
    }
    const { threads } = await bed.gateway.admin.status()
    expect(threads.shipper).toBeGreaterThan(0)
  },
)

test('a slab that ends every recorder is given up, and the account adds up', async () => {
  const bed = await bedThatDies('record:before:1')
  await bed.send(100)
  const view = await bed.sees(
    'all is given up',
    ({ counts }) => counts.captured === 200 && counts.waiting === 0,
  )
  expect(view.counts).toMatchObject({ delivered: 0, dropped: { worker_crash: 200 } })
})
