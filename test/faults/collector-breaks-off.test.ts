/**
 * A collector that resets, trickles, closes or floods: every item arrives, and memory does not follow its
 * answers.
 */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Fault, faults } from '../support/collector.ts'
import { sharedGateway } from './bed.ts'

const startBed = sharedGateway()

test.each<[string, Fault]>([
  ['resets in the middle of the body', faults.times(2, faults.resetMidRequest)],
  ['answers byte by byte', faults.byteByByte],
  ['closes every connection, and says so', faults.closeConnections],
  ['closes every connection without a word', faults.closeSilently],
])('a collector that %s', async (_name, fault) => {
  const bed = await startBed({ mirror: { batch: { max_wait_ms: 50, max_items: 20 } } })
  bed.collector.fault = fault
  await bed.send(100)
  await bed.expectAllDelivered()
  for (const leg of ['requests', 'responses'] as const) {
    expect(bed.collector.totals(leg)).toMatchObject({ items: 100, distinct: 100 })
  }
})

test('a collector that resets in mid-answer has acknowledged: nothing comes twice', async () => {
  const bed = await startBed()
  bed.collector.fault = faults.resetMidAnswer
  await bed.send(50)
  await bed.expectAllDelivered()
  expect(bed.collector.totals('requests').items).toBe(50)
})

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

test.skipIf(process.platform !== 'linux')(
  'a collector that answers with 100 MB: little of it is taken, and memory stays (reads /proc, Linux only)',
  async () => {
    const bed = await startBed({ mirror: { batch: { max_wait_ms: 10, max_items: 10 } } })
    const huge = faults.hugeAnswer()
    await bed.send(50)
    await bed.expectAllDelivered()
    const before = await residentBytes(bed.gateway.pid)
    bed.collector.fault = huge
    await bed.send(100)
    await bed.expectAllDelivered()
    expect(bed.collector.accepted('requests').length).toBeGreaterThan(5)
    const grown = (await residentBytes(bed.gateway.pid)) - before
    expect(grown, 'bytes of memory for more than a gigabyte of answers').toBeLessThan(100_000_000)
    expect(huge.sent(), 'bytes taken of each answer').toBeLessThan(bed.collector.posts * 10_000_000)
  },
)
