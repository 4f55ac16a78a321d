/**
 * kill -9 under load with a backlog: what was durable before is delivered after it; what comes twice, comes
 * as one batch.
 */
import { expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { faults } from '../support/collector.ts'
import { SOAK_MS, soak } from '../support/soak.ts'
import { until } from '../support/wait.ts'
import { type Bed, startBed } from './bed.ts'

/** Sends until told to stop; whoever is cut off by the kill is not counted. */
function load(port: number) {
  const client = new Client(port, 4)
  const state = { on: true }
  const lane = async () => {
    while (state.on) {
      const sent = await client
        .send({ method: 'POST', path: '/orders', body: '{"item":"book"}' })
        .catch(() => null)
      if (sent === null) return
      expect(sent.status).toBe(200)
    }
  }
  const lanes = Promise.all(Array.from({ length: 4 }, lane))
  return async () => {
    state.on = false
    await lanes
  }
}

const timeout = soak ? SOAK_MS : 60_000

/** In each round other things are on their way at the moment of the kill. */
const rounds = [
  ['nothing listens', (bed: Bed) => bed.collector.stop()],
  ['deliveries hang', (bed: Bed) => (bed.collector.fault = faults.hangBeforeHead)],
  ['deliveries arrive', (bed: Bed) => (bed.collector.fault = null)],
] as const

/** Three kills in a test run, twenty-one in a soak. */
const lives = soak ? 7 : 1

test('kills under load: every durable item is delivered, and counting goes on', { timeout }, async () => {
  const bed = await startBed({
    mirror: { spool: { fsync_ms: 100 }, batch: { max_items: 20, max_wait_ms: 10 } },
  })
  let delivered = 0
  for (const [what, prepare] of Array.from({ length: lives }, () => rounds).flat()) {
    await prepare(bed)
    const endLoad = load(bed.gateway.port)
    const last = await until(
      async () => {
        const view = await bed.view()
        return view.legs.every(({ counts }) => counts.captured > delivered + 300) && view
      },
      { what: `${what}: there is load` },
    )
    await bed.gateway.kill9()
    await endLoad()

    bed.collector.fault = null
    await bed.collector.stop()
    await bed.restart()
    const { unclean_shutdown } = await bed.gateway.admin.status()
    expect(unclean_shutdown, what).toBe(true)
    expect((await bed.gateway.admin.metrics()).sum('unclean_shutdown'), what).toBe(1)
    await bed.collector.start()
    const view = await bed.sees(`${what}: nothing waits`, ({ counts }) => counts.waiting === 0)
    for (const [at, leg] of view.legs.entries()) {
      const before = last.legs[at]
      const durable = (before?.durable_items ?? 0) + (before?.counts.delivered ?? 0)
      expect(leg.counts.captured, what).toBeGreaterThanOrEqual(durable)
      expect(leg.counts, what).toMatchObject({
        delivered: leg.counts.captured,
        dead_lettered: 0,
        dropped: {},
      })
      const totals = bed.collector.totals(leg.name as 'requests')
      expect(totals.distinct, what).toBe(leg.counts.captured)
      expectWholeDuplicates(bed, leg.name as 'requests')
    }
    delivered = view.counts.delivered / 2
  }
})

/** An item that arrived twice arrived in batches of one id and the same items. */
function expectWholeDuplicates(bed: Bed, leg: 'requests' | 'responses'): void {
  const batchOf = new Map<string, string>()
  for (const { batchId, items } of bed.collector.accepted(leg)) {
    for (const { id } of items) {
      expect(batchOf.get(id) ?? batchId, `batch of ${id}`).toBe(batchId)
      batchOf.set(id, batchId)
    }
  }
}
