/** What a leg does with each outcome of a delivery: retry, park, probe, split, isolate, dead-letter. */
import { describe, expect, test } from 'vitest'
import { purge } from '../../src/shipper/janitor.ts'
import { faults } from '../support/collector.ts'
import { until } from '../support/wait.ts'
import { Rig } from './rig.ts'

/** A policy whose next try would come long after the test. */
const patient = { attempts: 3, min_wait_ms: 3_600_000, max_wait_ms: 3_600_000, probe_ms: 3_600_000 }

const state = (rig: Rig) => rig.leg.state(rig.counts().waiting)

const parked = (rig: Rig) => until(() => rig.leg.parked, { what: 'the leg is parked' })
const retrying = (rig: Rig) => until(() => state(rig) === 'retrying', { what: 'the leg is retrying' })

describe('a destination that fails', () => {
  test('500, then works: the batch comes again under its id', async () => {
    const rig = await Rig.open()
    rig.collector.fault = faults.times(2, faults.status(500))
    rig.capture(5)
    await rig.drained()
    expect(new Set(rig.collector.deliveries.map(({ batchId }) => batchId)).size).toBe(1)
    expect(rig.collector.deliveries.map(({ accepted }) => accepted)).toEqual([false, false, true])
    expect(rig.counts()).toMatchObject({ captured: 5, delivered: 5 })
    expect(state(rig)).toBe('idle')
  })

  test('the budget is spent: parked after so many retries, back when a probe succeeds', async () => {
    const rig = await Rig.open({ concurrency: 1 })
    rig.collector.fault = faults.status(500)
    rig.capture(5)
    await parked(rig)
    expect(rig.leg.ledger.attempts).toBe(3)
    rig.capture(5)
    const before = rig.leg.ledger.attempts
    await until(() => rig.leg.ledger.attempts >= before + 2, { what: 'the leg probes' })
    expect(new Set(rig.collector.deliveries.map(({ batchId }) => batchId)).size).toBe(1)
    rig.check()
    rig.collector.fault = null
    await rig.drained()
    expect([state(rig), rig.counts().delivered]).toEqual(['idle', 10])
  })

  test('while it is retrying no new batch is started', async () => {
    const rig = await Rig.open({ retry: patient, concurrency: 4 })
    rig.collector.fault = faults.status(503)
    rig.capture(1)
    await retrying(rig)
    for (let frame = 0; frame < 10; frame += 1) rig.capture(1)
    rig.roll()
    expect([rig.sent.length, rig.leg.busy]).toEqual([1, false])
  })

  test.each([401, 403, 404, 410, 302, 405])('%i parks at once, and loses nothing', async (status) => {
    const rig = await Rig.open({ concurrency: 1 })
    rig.collector.fault = faults.status(status)
    rig.capture(5)
    await parked(rig)
    expect(rig.leg.ledger.attempts).toBe(1)
    expect(rig.leg.ledger.lastResponseCode).toBe(status)
    rig.check()
    rig.collector.fault = null
    await rig.drained()
    expect(rig.counts()).toMatchObject({ delivered: 5, dead_lettered: 0, dropped: {} })
  })

  test('a connection that is refused is probed without a byte, and the next try comes forward', async () => {
    const rig = await Rig.open({ retry: { ...patient, probe_ms: 20 } })
    await rig.collector.stop()
    rig.capture(5)
    await retrying(rig)
    await rig.collector.start()
    await rig.drained()
    expect(rig.collector.posts).toBe(1)
  })
})

describe('Retry-After', () => {
  test('is waited for', async () => {
    const rig = await Rig.open()
    rig.collector.fault = faults.times(1, faults.tooManyRequests(1))
    rig.capture(5)
    await retrying(rig)
    const next = rig.leg.nextAttemptAt() as number
    expect(next - rig.leg.ledger.lastAttemptAt).toBeGreaterThanOrEqual(1000)
    await rig.drained()
    const [first, second] = rig.collector.deliveries
    expect(second?.batchId).toBe(first?.batchId)
    expect(rig.leg.ledger.lastAttemptAt).toBeGreaterThanOrEqual(next)
  })

  test('also holds when another batch that was on its way is accepted', async () => {
    const rig = await Rig.open({ segment_bytes: 1, concurrency: 2 })
    rig.collector.fault = {
      onDelivery: (delivery, request, response) => {
        if (delivery.items[0]?.id === 'item-1') {
          return faults.tooManyRequests(3600).onDelivery?.(delivery, request, response) ?? 'normal'
        }
        setTimeout(() => response.end(), 100)
        return 'accepted'
      },
    }
    rig.capture(1)
    rig.capture(1)
    rig.roll()
    await until(() => rig.counts().delivered === 1, { what: 'the other batch is delivered' })
    rig.capture(1)
    rig.roll()
    expect([rig.leg.busy, rig.sent.length]).toEqual([false, 2])
    expect(rig.leg.nextAttemptAt()).not.toBeNull()
    rig.collector.fault = null
    rig.leg.replay()
    await rig.drained()
  })
})

describe('a batch that is refused', () => {
  test('413: split until it fits, with ids that derive from its own', async () => {
    const rig = await Rig.open({ concurrency: 1 })
    rig.collector.fault = faults.tooLarge(1000)
    rig.capture(8, 'x'.repeat(150))
    await rig.drained()
    const accepted = rig.collector.accepted('requests')
    const [whole] = rig.collector.deliveries
    expect(accepted.length).toBeGreaterThan(1)
    expect(accepted.every(({ batchId }) => batchId.startsWith(`${whole?.batchId}.`))).toBe(true)
    expect(rig.arrived()).toEqual(Array.from({ length: 8 }, (_, at) => `item-${at + 1}`))
    expect(rig.counts()).toMatchObject({ delivered: 8, dead_lettered: 0 })
  })

  test('413 on a single item: that one is a dead letter', async () => {
    const rig = await Rig.open()
    rig.collector.fault = faults.tooLarge(1000)
    rig.capture(2)
    const [large] = rig.capture(1, 'x'.repeat(1000))
    rig.capture(2)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 5, delivered: 4, dead_lettered: 1 })
    const letters = await rig.deadLetters()
    expect(letters.map(({ reason, status }) => [reason, status])).toEqual([['too_large', 413]])
    expect(JSON.parse(letters[0]?.item ?? '')).toMatchObject({ id: large })
  })

  test.each([1, 2, 3, 7, 16, 100])(
    '400 on one poison item of %i: only that one is a dead letter',
    async (items) => {
      const rig = await Rig.open()
      const poison = `item-${Math.ceil(items / 2)}`
      rig.collector.fault = faults.poison(({ id }) => id === poison)
      rig.capture(items)
      await rig.drained()
      expect(rig.counts()).toMatchObject({ captured: items, delivered: items - 1, dead_lettered: 1 })
      const [letter] = await rig.deadLetters()
      expect(JSON.parse(letter?.item ?? '')).toMatchObject({ id: poison })
      expect([letter?.reason, letter?.status, letter?.answer]).toEqual([
        'rejected',
        400,
        expect.stringContaining('fault: 400'),
      ])
      expect(new Set(rig.arrived()).size).toBe(items - 1)
      expect(rig.arrived()).toHaveLength(items - 1)
    },
  )

  test('every item is poison: all are dead letters, and the leg goes on', async () => {
    const rig = await Rig.open()
    rig.collector.fault = faults.status(422)
    rig.capture(9)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ delivered: 0, dead_lettered: 9 })
    rig.collector.fault = null
    rig.capture(3)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ delivered: 3, dead_lettered: 9 })
  })

  test('a split batch goes on after a restart with what was left of it', async () => {
    const rig = await Rig.open({ concurrency: 1, retry: patient })
    rig.collector.fault = {
      onDelivery: (delivery, request, response) => {
        const last = delivery.items.at(-1)?.id
        const fault =
          delivery.items.length > 4 ? faults.status(413) : last === 'item-4' ? null : faults.status(503)
        return fault?.onDelivery?.(delivery, request, response) ?? 'normal'
      },
    }
    rig.capture(16)
    await until(() => rig.counts().delivered === 4 && state(rig) === 'retrying', {
      what: 'a part is delivered',
    })
    const [whole] = rig.collector.deliveries
    await rig.restart()
    rig.check()
    expect(rig.counts()).toMatchObject({ captured: 16, delivered: 4, waiting: 12 })
    rig.collector.fault = null
    await rig.drained()
    expect(rig.arrived()).toEqual(Array.from({ length: 16 }, (_, at) => `item-${at + 1}`))
    const ids = rig.collector.accepted('requests').map(({ batchId }) => batchId)
    expect(ids.every((id) => id.startsWith(`${whole?.batchId}.`))).toBe(true)
    await rig.restart()
    expect(rig.counts()).toMatchObject({ captured: 16, delivered: 16, waiting: 0 })
  })
})

describe('what people ask of a leg', () => {
  test('pause stops delivery and not capture; resume goes on', async () => {
    const rig = await Rig.open()
    rig.leg.paused = true
    rig.capture(5)
    rig.roll()
    rig.leg.replay()
    expect([state(rig), rig.sent.length, rig.counts().waiting]).toEqual(['paused', 0, 5])
    rig.leg.paused = false
    rig.leg.pump()
    await rig.drained()
  })

  test('replay tries the oldest batch now, parked or retrying', async () => {
    const rig = await Rig.open({ retry: { ...patient, attempts: 1 } })
    rig.collector.fault = faults.status(500)
    rig.capture(5)
    await retrying(rig)
    rig.leg.replay()
    await parked(rig)
    rig.leg.replay()
    await until(() => rig.leg.ledger.attempts === 3 && !rig.leg.busy, { what: 'the replay was tried' })
    expect(state(rig)).toBe('parked')
    rig.collector.fault = null
    rig.leg.replay()
    await rig.drained()
    expect(rig.sent).toHaveLength(4)
  })

  test('another destination is tried at once, with what waited for the old one', async () => {
    const rig = await Rig.open({ retry: patient })
    rig.collector.fault = faults.status(401)
    rig.capture(5)
    await parked(rig)
    rig.collector.fault = null
    rig.configure({ timeout_ms: 2000 })
    expect(rig.leg.busy).toBe(false)
    rig.mirror = {
      ...rig.mirror,
      options: { ...rig.mirror.options, request_url: `${rig.collector.url}/responses` },
    }
    rig.configure()
    await rig.drained()
    expect(rig.collector.accepted('responses').flatMap(({ items }) => items)).toHaveLength(5)
  })

  test('purge gives up what waits; the leg takes what comes after', async () => {
    const rig = await Rig.open({ retry: { ...patient, probe_ms: 50 } })
    rig.collector.fault = faults.status(401)
    rig.capture(5)
    await parked(rig)
    rig.capture(5)
    await purge(rig.leg, 'purged')
    rig.check()
    expect(rig.counts()).toMatchObject({ waiting: 0, dropped: { purged: 10 } })
    await rig.restart()
    expect(rig.counts()).toMatchObject({ captured: 10, waiting: 0, dropped: { purged: 10 } })
  })

  test.each([
    ['parked', faults.status(401)],
    ['retrying', faults.status(500)],
  ])('purge while %s: what comes after is delivered when the destination is back', async (mode, fault) => {
    const rig = await Rig.open({ retry: { attempts: 2, min_wait_ms: 100, max_wait_ms: 100, probe_ms: 100 } })
    rig.collector.fault = fault
    rig.capture(5)
    await until(() => state(rig) === mode && !rig.leg.busy, { what: `the leg is ${mode}` })
    await purge(rig.leg, 'purged')
    rig.collector.fault = null
    rig.capture(7)
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 12, delivered: 7, dropped: { purged: 5 } })
    expect(state(rig)).toBe('idle')
  })
})
