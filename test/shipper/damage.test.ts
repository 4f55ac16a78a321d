/** Damaged, torn and missing segments: what can be read is delivered, the rest is counted, nothing stops. */
import fs from 'node:fs'
import { expect, test } from 'vitest'
import { FRAME_HEADER } from '../../src/queue/spool-format.ts'
import { faults } from '../support/collector.ts'
import { filesUnder } from '../support/files.ts'
import { until } from '../support/wait.ts'
import { Rig } from './rig.ts'

const SEGMENT_HEADER = 16
const patient = { attempts: 3, min_wait_ms: 3_600_000, max_wait_ms: 3_600_000, probe_ms: 3_600_000 }

/** A leg that holds three frames of 2, 3 and 4 items in one closed segment, delivering nothing yet. */
async function threeFrames(over: Parameters<typeof Rig.open>[0] = {}) {
  const rig = await Rig.open({ segment_bytes: 1 << 20, concurrency: 1, aged: true, ...over })
  rig.leg.paused = true
  for (const items of [2, 3, 4]) rig.capture(items)
  rig.roll()
  const [file] = rig.files() as [string]
  const offsets = [...(rig.leg.queue.segments.next().value?.pending ?? [])].map(({ offset }) => offset)
  return { rig, file, offsets }
}

/** In place: whoever reads the file meanwhile finds the rest of it as it was. */
function flip(file: string, at: number): void {
  const byte = Buffer.alloc(1)
  const fd = fs.openSync(file, 'r+')
  fs.readSync(fd, byte, 0, 1, at)
  byte[0] = (byte[0] as number) ^ 0x10
  fs.writeSync(fd, byte, 0, 1, at)
  fs.closeSync(fd)
}

function resume(rig: Rig): void {
  rig.leg.paused = false
  rig.leg.pump()
}

test('a flipped bit in a payload, found when it is sent: only that frame is lost', async () => {
  const { rig, file, offsets } = await threeFrames()
  flip(file, (offsets[1] as number) + FRAME_HEADER + 3)
  resume(rig)
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 6, dropped: { spool_corrupt: 3 } })
  expect(rig.arrived()).toHaveLength(6)
  await until(async () => (await filesUnder(`${rig.spool}/quarantine`)).length === 1, {
    what: 'the damaged file is kept aside',
  })
  await rig.restart()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 6, dropped: { spool_corrupt: 3 } })
})

test('a flipped bit in a header, found when it is sent: no frame before it is lost', async () => {
  const { rig, file, offsets } = await threeFrames()
  flip(file, (offsets[1] as number) + 9)
  resume(rig)
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 2, dropped: { spool_corrupt: 7 } })
})

test('a flipped bit in a payload, found at the start', async () => {
  const { rig, file, offsets } = await threeFrames()
  await rig.collector.stop()
  await rig.restart()
  rig.leg.paused = true
  flip(file, (offsets[1] as number) + FRAME_HEADER + 3)
  await rig.restart()
  rig.check()
  await rig.collector.start()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 6, dropped: { spool_corrupt: 3 } })
  await rig.restart()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 6, dropped: { spool_corrupt: 3 } })
})

test('a flipped bit in a header, found at the start: the frames behind it are found again', async () => {
  const { rig, file, offsets } = await threeFrames({ concurrency: 1 })
  await rig.collector.stop()
  flip(file, (offsets[1] as number) + 9)
  await rig.restart()
  rig.check()
  expect(rig.counts()).toMatchObject({ captured: 9, waiting: 6, dropped: { spool_corrupt: 3 } })
  await rig.collector.start()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 6, dropped: { spool_corrupt: 3 } })
})

test('a torn tail after a kill: whole frames are delivered, the rest is counted', async () => {
  const { rig, file, offsets } = await threeFrames()
  await rig.collector.stop()
  await rig.crash()
  rig.leg.paused = true
  await rig.crash()
  fs.truncateSync(file, (offsets[2] as number) + 20)
  await rig.crash()
  rig.check()
  await rig.collector.start()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 5, dropped: { spool_corrupt: 4 } })
})

test('damage behind a part that was delivered: what is delivered is not lost, nor sent again', async () => {
  const { rig, file, offsets } = await threeFrames({ retry: patient })
  rig.collector.fault = {
    onDelivery: (delivery, request, response) => {
      if (delivery.items.length > 5)
        return faults.status(413).onDelivery?.(delivery, request, response) ?? 'normal'
      if (delivery.items[0]?.id === 'item-1') return 'normal'
      flip(file, (offsets[2] as number) + FRAME_HEADER + 3)
      return faults.status(503).onDelivery?.(delivery, request, response) ?? 'normal'
    },
  }
  resume(rig)
  await until(() => rig.leg.state(rig.counts().waiting) === 'retrying', { what: 'the second half failed' })
  expect(rig.counts()).toMatchObject({ delivered: 5, waiting: 4 })
  rig.collector.fault = null
  rig.leg.replay()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 5, dropped: { spool_corrupt: 4 } })
  expect(new Set(rig.arrived()).size).toBe(rig.arrived().length)
})

test('damage before a part that is left: the rest of its frame is still delivered, once', async () => {
  const { rig, file, offsets } = await threeFrames({ retry: patient })
  const seen = { halves: 0 }
  rig.collector.fault = {
    onDelivery: (delivery, request, response) => {
      const refuse = (status: number) =>
        faults.status(status).onDelivery?.(delivery, request, response) ?? 'normal'
      if (delivery.items.length > 3) return refuse(413)
      seen.halves += 1
      if (seen.halves === 1) return 'normal'
      flip(file, (offsets[0] as number) + FRAME_HEADER + 3)
      return refuse(503)
    },
  }
  resume(rig)
  await until(() => rig.leg.state(rig.counts().waiting) === 'retrying', { what: 'the second part failed' })
  const { delivered } = rig.counts()
  // The first part ends within the second frame.
  expect(delivered).toBe(3)
  rig.collector.fault = null
  rig.leg.replay()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 9, dropped: {} })
  expect(rig.arrived().toSorted()).toEqual(Array.from({ length: 9 }, (_, at) => `item-${at + 1}`))
})

test('a file that is gone, found when it is sent', async () => {
  const { rig, file } = await threeFrames()
  fs.rmSync(file)
  rig.capture(2)
  rig.roll()
  resume(rig)
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 11, delivered: 2, dropped: { spool_corrupt: 9 } })
})

test('a file that is gone, found at the start', async () => {
  const { rig, file } = await threeFrames()
  await rig.collector.stop()
  await rig.restart()
  rig.leg.paused = true
  fs.rmSync(file)
  await rig.restart()
  rig.check()
  await rig.collector.start()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, dropped: { spool_corrupt: 9 } })
})

test.each(['nothing', 'a few bytes', 'zeros', 'noise'])(
  'a segment that holds %s does not stop the start',
  async (what) => {
    const { rig, file } = await threeFrames()
    await rig.collector.stop()
    await rig.restart()
    const bytes = fs.readFileSync(file)
    const content = {
      nothing: Buffer.alloc(0),
      'a few bytes': bytes.subarray(0, 9),
      zeros: Buffer.alloc(bytes.length),
      noise: Buffer.from(bytes.map((byte, at) => byte ^ (at * 37))),
    }[what] as Buffer
    fs.writeFileSync(file, content)
    await rig.restart()
    rig.capture(2)
    await rig.collector.start()
    await rig.drained()
    expect(rig.counts()).toMatchObject({ captured: 11, delivered: 2, dropped: { spool_corrupt: 9 } })
  },
)

test('an unreadable file at the start is counted as lost, and the others are delivered', async () => {
  const { rig, file } = await threeFrames()
  await rig.collector.stop()
  await rig.restart()
  rig.leg.paused = true
  fs.rmSync(file)
  fs.mkdirSync(file)
  await rig.restart()
  rig.capture(2)
  await rig.collector.start()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 11, delivered: 2, dropped: { spool_corrupt: 9 } })
})

test('frames of a kill in the middle of a batch go out again under the same batch id', async () => {
  const rig = await Rig.open({ timeout_ms: 60_000, segment_bytes: 1 << 20 })
  rig.collector.fault = faults.hangAfterHead
  rig.collector.fault = faults.hangBeforeHead
  for (const items of [3, 4, 5]) rig.capture(items)
  await until(() => rig.collector.deliveries.length === 1, { what: 'the batch has arrived' })
  const [first] = rig.collector.deliveries
  rig.capture(6)
  await rig.crash()
  rig.check()
  expect(rig.counts()).toMatchObject({ captured: 18, waiting: 18 })
  rig.collector.fault = null
  await rig.drained()
  const again = rig.collector.accepted('requests').find(({ batchId }) => batchId === first?.batchId)
  expect(again?.items.map(({ id }) => id)).toEqual(first?.items.map(({ id }) => id))
  expect(rig.arrived()).toHaveLength(18)
})

test('after a kill the ids are those sent last, not of a batch that was dissolved', async () => {
  const { rig, file, offsets } = await threeFrames({ timeout_ms: 60_000, concurrency: 4 })
  flip(file, (offsets[1] as number) + FRAME_HEADER + 3)
  rig.collector.fault = faults.hangBeforeHead
  resume(rig)
  await until(() => rig.collector.deliveries.length === 2, { what: 'both of its rests have arrived' })
  const sent = new Set(rig.collector.deliveries.map(({ batchId }) => batchId))
  expect(rig.sent).toHaveLength(3)
  await rig.crash()
  rig.collector.fault = null
  await rig.drained()
  expect(new Set(rig.collector.accepted('requests').map(({ batchId }) => batchId))).toEqual(sent)
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 6, dropped: { spool_corrupt: 3 } })
})

test('a draft of a replay that was never taken over is removed at the start', async () => {
  const { rig, file } = await threeFrames()
  const draft = file.replace(/-(\w+)\.seg$/, '-zzzzzz.seg.draft')
  fs.copyFileSync(file, draft)
  await rig.restart()
  await rig.drained()
  expect(rig.counts()).toMatchObject({ captured: 9, delivered: 9 })
  expect(fs.existsSync(draft)).toBe(false)
})

test('a torn segment header leaves an empty file behind: it is removed at the start', async () => {
  const { rig, file } = await threeFrames()
  fs.writeFileSync(file.replace(/-(\w+)\.seg$/, '-zzzzzz.seg'), Buffer.alloc(SEGMENT_HEADER - 3))
  await rig.restart()
  await rig.drained()
  await until(
    async () => (await filesUnder(rig.spool)).filter((name) => !name.includes('quarantine')).length === 0,
    {
      what: 'no segment is left',
    },
  )
})
