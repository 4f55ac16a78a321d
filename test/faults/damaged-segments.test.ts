/**
 * Segments that were torn or flipped between two runs: what can be read is delivered, the rest is counted.
 */
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { filesUnder } from '../support/files.ts'
import { droppedOf } from '../support/wait.ts'
import { allLegs, type Bed, startBed } from './bed.ts'

const segmentsOf = async (bed: Bed, leg: string) => {
  const files = await filesUnder(path.join(bed.gateway.dataDir, 'spool', 'salt', leg))
  return files.filter((file) => file.endsWith('.seg')).sort()
}

const mutations: Readonly<Record<string, (file: string) => void>> = {
  'a torn tail': (file) => fs.truncateSync(file, Math.floor(fs.statSync(file).size * 0.7)),
  'a flipped bit in the middle': (file) => {
    const bytes = fs.readFileSync(file)
    const at = Math.floor(bytes.length / 2)
    fs.writeFileSync(file, bytes.with(at, (bytes[at] as number) ^ 1))
  },
  'a file of zeros': (file) => fs.writeFileSync(file, Buffer.alloc(fs.statSync(file).size)),
  'no file': (file) => fs.rmSync(file),
}

test.each(Object.keys(mutations))(
  '%s, after a clean stop: the start goes on, and the loss is exact',
  async (what) => {
    const bed = await startBed()
    await bed.collector.stop()
    for (let round = 0; round < 5; round += 1) {
      await bed.send(20)
      // A frame per round.
      await bed.sees('they are on disk', ({ legs }) =>
        legs.every(({ durable_items }) => durable_items === (round + 1) * 20),
      )
    }
    await bed.sees('parked', allLegs('parked'))
    expect(await bed.gateway.stop()).toBe(0)
    const [file] = await segmentsOf(bed, 'requests')
    mutations[what]?.(file as string)

    await bed.collector.start()
    await bed.restart()
    await bed.send(10)
    const view = await bed.sees(
      'nothing waits',
      ({ counts }) => counts.captured === 220 && counts.waiting === 0,
    )
    const [requests, responses] = view.legs
    expect(requests?.counts).toMatchObject({ captured: 110, dead_lettered: 0 })
    expect(Object.keys(requests?.counts.dropped ?? {})).toEqual(['spool_corrupt'])
    expect(bed.collector.totals('requests').distinct).toBe(110 - droppedOf(requests?.counts ?? view.counts))
    expect(responses?.counts).toMatchObject({ captured: 110, delivered: 110, dropped: {} })
    expect((await bed.gateway.admin.metrics()).sum('mirror_dropped_total', { reason: 'spool_corrupt' })).toBe(
      droppedOf(view.counts),
    )
  },
)

test('every segment torn after a kill: the start goes on with what is whole', async () => {
  const bed = await startBed()
  await bed.collector.stop()
  await bed.send(100)
  await bed.sees('all is on disk', ({ legs }) => legs.every(({ durable_items }) => durable_items === 100))
  await bed.gateway.kill9()
  for (const leg of ['requests', 'responses']) {
    for (const file of await segmentsOf(bed, leg)) fs.truncateSync(file, fs.statSync(file).size - 30)
  }
  await bed.collector.start()
  await bed.restart()
  await bed.send(10)
  const view = await bed.sees('nothing waits', ({ counts }) => counts.waiting === 0 && counts.delivered > 20)
  for (const { name, counts } of view.legs) {
    expect(counts.captured).toBeLessThan(110)
    expect(bed.collector.totals(name as 'requests').distinct).toBe(counts.delivered)
  }
})
