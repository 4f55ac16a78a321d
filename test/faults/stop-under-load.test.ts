/** SIGTERM under load: a clean end, and the counts go on exactly after the next start. */
import { expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { type Fault, faults } from '../support/collector.ts'
import { until } from '../support/wait.ts'
import { type Bed, startBed } from './bed.ts'

/** Clients that go on until they are turned away, as a drain does; before the signal none may be. */
function load(bed: Bed) {
  const client = new Client(bed.gateway.port, 4)
  const state = { signalled: false, answered: 0 }
  const lane = async () => {
    for (;;) {
      const answer = await client
        .send({ method: 'POST', path: '/orders', body: '{}' })
        .catch((error: Error) => error)
      if (state.signalled && (answer instanceof Error || answer.status !== 200)) return
      expect(answer).toMatchObject({ status: 200 })
      state.answered += 1
    }
  }
  return { state, lanes: Promise.all(Array.from({ length: 4 }, lane)) }
}

async function stopUnderLoad(bed: Bed): Promise<number> {
  const { state, lanes } = load(bed)
  await until(() => state.answered > 300, { what: 'there is load' })
  state.signalled = true
  expect(await bed.gateway.stop()).toBe(0)
  await lanes
  return state.answered
}

test.each<[string, Fault | null]>([
  ['that is gone', null],
  ['that hangs', faults.hangBeforeHead],
])('with a collector %s', async (_name, fault) => {
  const bed = await startBed()
  bed.collector.fault = fault
  if (fault === null) await bed.collector.stop()
  const answered = await stopUnderLoad(bed)
  const stopped = bed.gateway.logs().find(({ msg }) => msg === 'stopped')
  expect(stopped).toMatchObject({ clean: true, delivered: 0, dropped: {}, connections_open: 0 })
  expect(stopped?.['captured']).toBeGreaterThanOrEqual(2 * answered)

  bed.collector.fault = null
  await bed.restart()
  const view = await bed.view()
  expect(view.counts.captured).toBe(stopped?.['captured'])
  expect((await bed.gateway.admin.status()).unclean_shutdown).toBe(false)
  if (fault === null) await bed.collector.start()
  const end = await bed.sees('all is delivered', ({ counts }) => counts.waiting === 0)
  expect(end.counts).toMatchObject({
    captured: stopped?.['captured'],
    delivered: stopped?.['captured'],
    dropped: {},
  })
  expect(bed.collector.pairs).toBe(end.counts.captured / 2)
})

test('with a collector that works: what it takes is delivered before the end', async () => {
  const bed = await startBed()
  await stopUnderLoad(bed)
  const stopped = bed.gateway.logs().find(({ msg }) => msg === 'stopped')
  expect(stopped).toMatchObject({ clean: true, waiting: 0, dropped: {} })
  expect(stopped?.['delivered']).toBe(stopped?.['captured'])
  expect(bed.collector.totals('requests').duplicate_batches).toBe(0)
  expect(2 * bed.collector.pairs).toBe(stopped?.['captured'])
})
