/** A backlog above its cap gives way as configured, counted; clients are answered all the while. */
import path from 'node:path'
import { expect, test } from 'vitest'
import { bytesUnder } from '../support/files.ts'
import { droppedOf } from '../support/wait.ts'
import { allLegs, type SharedBed, sharedGateway } from './bed.ts'

const startBed = sharedGateway()

const CAP = 1_048_576
const body = JSON.stringify({ text: 'x'.repeat(4000) })

/** Fills the spool well over its cap; the first exchange and the last one can be told from the others. */
async function fill(when_full: 'drop_oldest' | 'drop_newest'): Promise<SharedBed> {
  const bed = await startBed({
    mirror: { spool: { max_bytes: CAP, when_full }, batch: { max_wait_ms: 50, max_bytes: 60_000 } },
  })
  await bed.collector.stop()
  await bed.send(1, '{"note":"the first one"}')
  await bed.sees('parked', allLegs('parked'))
  for (let round = 0; round < 5; round += 1) await bed.send(60, body)
  await bed.send(1, '{"note":"the last one"}')
  const full = await bed.sees('the spool is within its cap, the rest is dropped', ({ legs }) =>
    legs.every(
      ({ counts, durable_items, waiting_bytes }) =>
        counts.captured === bed.answered && counts.waiting === durable_items && waiting_bytes <= CAP / 2,
    ),
  )
  const [requests] = full.legs
  expect(Object.keys(requests?.counts.dropped ?? {})).toEqual(['spool_full'])
  expect(await bytesUnder(path.join(bed.gateway.dataDir, 'spool', bed.mirror))).toBeLessThan(CAP * 1.5)
  return bed
}

/** Brings the collector back; the bodies of the requests that arrive. */
async function deliverRest(bed: SharedBed): Promise<string[]> {
  await bed.collector.start()
  await bed.gateway.admin.replay(bed.mirror)
  const view = await bed.sees('nothing waits', ({ counts }) => counts.waiting === 0)
  const bodies = bed.collector
    .accepted('requests')
    .flatMap(({ items }) => items.map((item) => ('request' in item ? String(item.request.body) : '')))
  expect(bodies).toHaveLength(view.legs[0]?.counts.delivered ?? 0)
  return bodies
}

/** Capture goes on as if nothing had been. */
async function expectRoomAgain(bed: SharedBed): Promise<void> {
  const before = droppedOf((await bed.view()).counts)
  await bed.send(40, body)
  const after = await bed.sees(
    'all is delivered',
    ({ counts }) => counts.captured === 2 * bed.answered && counts.waiting === 0,
  )
  expect(droppedOf(after.counts)).toBe(before)
}

test('drop_oldest: the newest stay', async () => {
  const bed = await fill('drop_oldest')
  const bodies = await deliverRest(bed)
  expect(bodies.length).toBeGreaterThan(50)
  expect(bodies).toContain('{"note":"the last one"}')
  await expectRoomAgain(bed)
})

test('drop_newest: the oldest stay', async () => {
  const bed = await fill('drop_newest')
  const bodies = await deliverRest(bed)
  expect(bodies.length).toBeGreaterThan(50)
  expect(bodies).toContain('{"note":"the first one"}')
  await expectRoomAgain(bed)
})
