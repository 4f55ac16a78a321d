/**
 * The backlog keeps its bounds, its dead letters and its account: caps, retention, replays, a store that
 * refuses.
 */
import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { deleteDeadLetters, replayDeadLetters } from '../../src/shipper/dead-letters.ts'
import { legSpoolBytes, roomOf } from '../../src/shipper/janitor.ts'
import { faults } from '../support/collector.ts'
import { until } from '../support/wait.ts'
import { Rig } from './rig.ts'

const patient = { attempts: 3, min_wait_ms: 3_600_000, max_wait_ms: 3_600_000, probe_ms: 3_600_000 }
const parked = (rig: Rig) => until(() => rig.leg.parked, { what: 'the leg is parked' })

/** A leg whose collector refuses everything, with the first batch tried. */
async function down(over: Parameters<typeof Rig.open>[0] = {}): Promise<Rig> {
  const rig = await Rig.open({ retry: patient, ...over })
  rig.collector.fault = faults.status(401)
  rig.capture(1)
  await parked(rig)
  return rig
}

test('asked to try while a try is on its way: should that fail, another one follows at once', async () => {
  const rig = await down()
  const held = Promise.withResolvers<ServerResponse>()
  rig.collector.fault = {
    onDelivery: (_delivery, _request, response) => {
      held.resolve(response)
      return 'refused'
    },
  }
  rig.leg.replay()
  const response = await held.promise
  // As when a secret is mended while the refused one is still under way.
  rig.leg.replay()
  rig.collector.fault = null
  response.writeHead(401).end()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 1, delivered: 1 })
})

describe('the cap of the spool', () => {
  const spool = { max_bytes: 40_000, when_full: 'drop_oldest' as const }

  test('drop_oldest gives up the oldest segments, and no more than needed', async () => {
    const rig = await down({ spool, segment_bytes: 2000 })
    rig.roll()
    for (let frame = 0; frame < 60; frame += 1) rig.capture(1, 'x'.repeat(800))
    const cap = legSpoolBytes(rig.mirror)
    expect(rig.leg.queue.fileBytes).toBeGreaterThan(cap)
    rig.housekeep()
    // Again before the files are gone: nothing more is given up.
    rig.housekeep()
    rig.check()
    await until(() => rig.leg.queue.fileBytes <= cap, { what: 'the files are gone' })
    expect(rig.leg.queue.fileBytes).toBeGreaterThan(cap - 4000)
    const { dropped, waiting } = rig.counts()
    rig.collector.fault = null
    rig.leg.replay()
    await rig.drained()
    // The batch on its way is never given up; of the others the youngest stay.
    const kept = Array.from({ length: waiting - 1 }, (_, at) => `item-${61 - at}`).reverse()
    expect(new Set(rig.arrived())).toEqual(new Set(['item-1', ...kept]))
    expect(rig.counts()).toMatchObject({ captured: 61, delivered: waiting, dropped })
    await rig.restart()
    expect(rig.counts()).toMatchObject({ captured: 61, delivered: waiting, dropped })
  })

  test('drop_newest leaves no room, and gives up nothing', async () => {
    const rig = await down({ spool: { ...spool, when_full: 'drop_newest' }, segment_bytes: 2000 })
    while (roomOf(rig.leg, rig.mirror, false) > 0) rig.capture(1, 'x'.repeat(800))
    const { waiting } = rig.counts()
    rig.housekeep()
    expect(rig.counts()).toMatchObject({ waiting, dropped: {} })
    rig.collector.fault = null
    rig.leg.replay()
    await rig.drained()
    await until(() => roomOf(rig.leg, rig.mirror, false) > 10_000, { what: 'there is room again' })
  })

  test('a disk that is nearly full leaves no room', async () => {
    const rig = await down({ spool })
    expect(roomOf(rig.leg, rig.mirror, true)).toBe(0)
    expect(roomOf(rig.leg, rig.mirror, false)).toBeGreaterThan(0)
  })
})

describe('retention', () => {
  test('what is too old is dropped as expired, also what was tried', async () => {
    const rig = await down({ segment_bytes: 300, spool: { retention_ms: 60_000 } })
    for (let frame = 0; frame < 5; frame += 1) rig.capture(2)
    rig.housekeep(Date.now() + 30_000)
    expect(rig.counts()).toMatchObject({ waiting: 11, dropped: {} })
    rig.housekeep(Date.now() + 61_000)
    rig.check()
    expect(rig.counts()).toMatchObject({ captured: 11, waiting: 0, dropped: { expired: 11 } })
    rig.collector.fault = null
    rig.capture(4)
    rig.leg.replay()
    await rig.drained()
    await rig.restart()
    expect(rig.counts()).toMatchObject({ captured: 15, delivered: 4, dropped: { expired: 11 } })
  })

  test('only the frames that are too old go, also in the segment that still grows', async () => {
    const rig = await down({ segment_bytes: 1 << 20, spool: { retention_ms: 60_000 } })
    rig.capture(3)
    const between = Date.now() + 60_000
    await until(() => Date.now() + 60_000 > between + 1, { what: 'the clock moves on' })
    rig.capture(5)
    rig.housekeep(between + 1)
    rig.check()
    expect(rig.counts()).toMatchObject({ waiting: 5, dropped: { expired: 4 } })
    rig.collector.fault = null
    rig.leg.replay()
    await rig.drained()
  })

  test('a part of a split batch that was delivered does not expire', async () => {
    const rig = await Rig.open({ retry: patient, concurrency: 1, spool: { retention_ms: 60_000 } })
    rig.collector.fault = {
      onDelivery: (delivery, request, response) => {
        const status = delivery.items.length > 2 ? 413 : delivery.items[0]?.id === 'item-1' ? 200 : 503
        return status === 200
          ? 'normal'
          : (faults.status(status).onDelivery?.(delivery, request, response) ?? 'normal')
      },
    }
    rig.capture(4)
    await until(() => rig.leg.state(1) === 'retrying', { what: 'the second half failed' })
    rig.housekeep(Date.now() + 61_000)
    rig.check()
    expect(rig.counts()).toMatchObject({ captured: 4, delivered: 2, waiting: 0, dropped: { expired: 2 } })
    await rig.restart()
    expect(rig.counts()).toMatchObject({ captured: 4, delivered: 2, waiting: 0, dropped: { expired: 2 } })
  })
})

describe('dead letters', () => {
  async function withLetters(over: Parameters<typeof Rig.open>[0] = {}) {
    const rig = await Rig.open(over)
    rig.collector.fault = faults.poison(({ id }) => Number(id.slice(5)) % 3 === 0)
    rig.capture(12)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ delivered: 8, dead_lettered: 4 })
    rig.collector.fault = null
    return rig
  }

  test('replay: they go out again, each once, and are no longer dead', async () => {
    const rig = await withLetters()
    await replayDeadLetters(rig.leg, rig.store)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 12, dead_lettered: 0 })
    expect(rig.arrived().toSorted()).toEqual(
      Array.from({ length: 12 }, (_, at) => `item-${at + 1}`).toSorted(),
    )
    await rig.restart()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 12, dead_lettered: 0, waiting: 0 })
  })

  test('replay asked for twice at a time sends them once', async () => {
    const rig = await withLetters()
    await Promise.all([1, 2, 3].map(() => replayDeadLetters(rig.leg, rig.store)))
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 12, dead_lettered: 0 })
    expect(rig.arrived()).toHaveLength(12)
  })

  test('replay while other items keep the leg busy loses none', async () => {
    const rig = await withLetters({ segment_bytes: 1 })
    const busy = { on: true }
    const work = (async () => {
      while (busy.on) {
        rig.capture(1)
        rig.leg.pump()
        await delay(0)
      }
    })()
    await replayDeadLetters(rig.leg, rig.store)
    busy.on = false
    await work
    await rig.drained()
    expect(rig.counts()).toMatchObject({ delivered: rig.captured, dead_lettered: 0, dropped: {} })
  })

  test('replay keeps to the bounds of a batch', async () => {
    const rig = await withLetters()
    const before = rig.collector.accepted('requests').length
    rig.configure({ batch: { max_items: 3 } })
    await replayDeadLetters(rig.leg, rig.store)
    await rig.drained()
    const sizes = rig.collector
      .accepted('requests')
      .slice(before)
      .map(({ items }) => items.length)
    expect(sizes.toSorted()).toEqual([1, 3])
  })

  test('replay that is refused again: they are dead letters again', async () => {
    const rig = await withLetters()
    rig.collector.fault = faults.status(400)
    await replayDeadLetters(rig.leg, rig.store)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 8, dead_lettered: 4 })
    expect(await rig.deadLetters()).toHaveLength(4)
  })

  test('replay, then a kill before anything is sent', async () => {
    const rig = await withLetters()
    rig.leg.paused = true
    await replayDeadLetters(rig.leg, rig.store)
    rig.check()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 8, dead_lettered: 0, waiting: 4 })
    await rig.crash()
    rig.check()
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 12, dead_lettered: 0 })
    expect(rig.arrived()).toHaveLength(12)
  })

  test('delete: counted as purged; the oldest first where only some may stay', async () => {
    const rig = await withLetters()
    await deleteDeadLetters(rig.leg, rig.store, 'spool_full', 1)
    const left = await rig.deadLetters()
    expect(left.map(({ item }) => (JSON.parse(item) as { id: string }).id)).toEqual([
      'item-6',
      'item-9',
      'item-12',
    ])
    await Promise.all([1, 2].map(() => deleteDeadLetters(rig.leg, rig.store, 'purged')))
    rig.check()
    const after = { captured: 12, delivered: 8, dead_lettered: 0, dropped: { spool_full: 1, purged: 3 } }
    expect(rig.counts()).toMatchObject(after)
    await rig.restart()
    expect(rig.counts()).toMatchObject(after)
  })

  test('ids go on after a restart: none is overwritten', async () => {
    const rig = await withLetters()
    await rig.restart()
    rig.collector.fault = faults.status(400)
    rig.capture(2)
    await rig.drained()
    expect((await rig.deadLetters()).map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6])
  })
})

describe('a store that refuses', () => {
  test('deliveries go on, and the counts are written when it takes them again', async () => {
    const rig = await Rig.open({ segment_bytes: 300 })
    rig.store.refuses = true
    for (let frame = 0; frame < 10; frame += 1) rig.capture(2)
    await rig.drained()
    expect(rig.files().length, 'files stay while nobody knows that they are done').toBe(10)
    rig.store.refuses = false
    rig.roll()
    rig.housekeep()
    await until(() => rig.files().length === 0, { what: 'the files are gone' })
    await rig.crash()
    expect(rig.counts()).toMatchObject({ captured: 20, delivered: 20, waiting: 0 })
  })

  test('a kill meanwhile: what was delivered is delivered again, and nothing is lost', async () => {
    const rig = await Rig.open({ segment_bytes: 300 })
    rig.store.refuses = true
    for (let frame = 0; frame < 10; frame += 1) rig.capture(2)
    await rig.drained()
    await rig.crash()
    rig.check()
    expect(rig.counts()).toMatchObject({ captured: 20, delivered: 0, waiting: 20 })
    await rig.drained()
    expect(new Set(rig.arrived()).size).toBe(20)
  })

  test('replay of dead letters says so, and changes nothing', async () => {
    const rig = await Rig.open()
    rig.collector.fault = faults.status(400)
    rig.capture(2)
    await rig.drained()
    rig.store.refuses = true
    rig.leg.ledger.touch()
    await expect(replayDeadLetters(rig.leg, rig.store)).rejects.toThrow('writing to the store')
    rig.check()
    expect(rig.counts()).toMatchObject({ dead_lettered: 2, waiting: 0 })
  })
})

describe('a long backlog', () => {
  test('frames far behind the head are read again when their turn comes, each delivered once', async () => {
    const rig = await down({ segment_bytes: 12_000, batch: { max_items: 10 }, concurrency: 2 })
    for (let frame = 0; frame < 1000; frame += 1) rig.capture(1)
    const unloaded = [...rig.leg.queue.segments].filter(({ pending }) => pending === null)
    expect(unloaded.length).toBeGreaterThan(3)
    await rig.restart()
    rig.check()
    const after = [...rig.leg.queue.segments].filter(({ pending }) => pending === null)
    expect(after.length).toBeGreaterThan(3)
    rig.collector.fault = null
    await rig.drained()
    expect(rig.arrived()).toHaveLength(1001)
    expect(new Set(rig.arrived()).size).toBe(1001)
    expect(rig.counts()).toMatchObject({ captured: 1001, delivered: 1001 })
  })

  test('a file that is gone when its turn comes is counted', async () => {
    const rig = await down({ segment_bytes: 12_000 })
    for (let frame = 0; frame < 1000; frame += 1) rig.capture(1)
    rig.roll()
    const lost = [...rig.leg.queue.segments].find(({ pending }) => pending === null)
    const { rm } = await import('node:fs/promises')
    await rm(`${rig.spool}/${lost?.name}`)
    const items = lost?.pendingItems ?? 0
    rig.collector.fault = null
    rig.leg.replay()
    await rig.drained()
    expect(rig.counts()).toMatchObject({
      captured: 1001,
      delivered: 1001 - items,
      dropped: { spool_corrupt: items },
    })
  })
})
