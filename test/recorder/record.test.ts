/**
 * A slab becomes frames in real segments: within the limits of its legs, and every item it does not keep
 * is counted.
 */
import fs, { mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { CapturedExchange } from '../../src/contract/exchange.ts'
import type { RecordMirror, RecordResult } from '../../src/contract/tasks.ts'
import { FRAME_HEADER } from '../../src/queue/spool-format.ts'
import { indexSegment, readRange } from '../../src/queue/spool-reader.ts'
import { stringAt } from '../../src/queue/slab-format.ts'
import { ItemEncoder } from '../../src/recorder/encode.ts'
import { Recorder, record } from '../../src/recorder/record.ts'
import { sealedOf, slabWith, type WrittenSlab } from '../support/slab.ts'
import { bodyOf, exchangeOf, filesIn, pairMirror, recordAll, redactOf, taskOf } from './sample.ts'

function exchanges(count: number, changes: Partial<CapturedExchange> = {}): CapturedExchange[] {
  return Array.from({ length: count }, (_, index) =>
    exchangeOf({ id: `id-${index}`, startedAt: 1_000_000 + index, ...changes }),
  )
}

function folderOf(mirror: RecordMirror, leg: number): string {
  const found = mirror.legs.find((one) => one.leg === leg)
  if (found === undefined) throw new Error(`the mirror must have leg ${leg}`)
  return found.folder
}

/** Items of each frame of a leg, read back from its segments. */
async function framesOf(mirror: RecordMirror, result: RecordResult, leg: number): Promise<string[][]> {
  const mine = result.frames.filter((frame) => frame.leg === leg)
  return Promise.all(
    mine.map(async ({ segment, offset, length, items }) => {
      const file = path.join(folderOf(mirror, leg), segment)
      const read = await readRange({ path: file, from: offset, to: offset + length, fresh: true })
      expect(read).toMatchObject({ items, corrupt: [] })
      expect(read.ndjson.at(-1)).toBe(0x0a)
      return read.ndjson.toString('utf8').trimEnd().split('\n')
    }),
  )
}
/** Bytes of the request item of an exchange, with its newline. */
function requestBytes(exchange: CapturedExchange): number {
  const result = recordAll(new Recorder(), taskOf([pairMirror(0)]), [exchange])
  return (result.frames[0]?.length ?? 0) - FRAME_HEADER
}

const idOf = (line: string): string => (JSON.parse(line) as { id: string }).id
const total = (result: RecordResult, leg: number): number =>
  [...result.frames, ...result.drops].reduce((sum, one) => sum + (one.leg === leg ? one.items : 0), 0)

function slabOf(list: readonly CapturedExchange[]): WrittenSlab {
  return slabWith(list.map(sealedOf))
}

test('a slab gives one frame per leg, and both halves of a pair have one id', async () => {
  const mirror = pairMirror(0)
  const task = taskOf([mirror], { ...slabOf(exchanges(20)), thread: 3, sequence: 7 })
  const result = record(task)
  expect(result).toMatchObject({ slab: task.slab, drops: [], closed: [], notRedactable: 0, error: null })
  expect(result.frames.map(({ leg, items, oldest, newest }) => ({ leg, items, oldest, newest }))).toEqual([
    { leg: 0, items: 20, oldest: 1_000_000, newest: 1_000_019 },
    { leg: 1, items: 20, oldest: 1_000_000, newest: 1_000_019 },
  ])
  const [requests] = await framesOf(mirror, result, 0)
  const [responses] = await framesOf(mirror, result, 1)
  expect(requests?.map(idOf)).toEqual(exchanges(20).map(({ id }) => id))
  expect(responses?.map(idOf)).toEqual(requests?.map(idOf))
  const segment = path.join(folderOf(mirror, 0), result.frames[0]?.segment ?? '')
  const { frames } = await indexSegment({ path: segment, from: 0, verify: true })
  expect(frames).toMatchObject([{ thread: 3, sequence: 7, items: 20 }])
})

test('slab after slab: buffers are used again, nothing of one shows in the next', async () => {
  const mirror = pairMirror(0)
  const recorder = new Recorder()
  const task = taskOf([mirror])
  const large = exchanges(3, { requestBody: bodyOf('x'.repeat(200_000)), requestHeaders: [] })
  for (const list of [large, exchanges(2), [], large, exchanges(1)]) {
    const result = recordAll(recorder, task, list)
    const lines = (await framesOf(mirror, result, 0)).flat()
    expect(lines.map(idOf)).toEqual(list.map(({ id }) => id))
    expect(lines.map((line) => JSON.parse(line).request.body)).toEqual(
      list.map(({ requestBody }) => requestBody.bytes.toString()),
    )
  }
})

describe('several mirrors', () => {
  test('each gets its own: format, redaction, cap', async () => {
    const pair = pairMirror(0)
    const same = pairMirror(1)
    const open = pairMirror(2, { ...redactOf({ defaults: false }), bodyBytes: 5, environment: 'prod' })
    const both = pairMirror(3)
    const legs = both.legs.slice(0, 1).map((leg) => ({ ...leg, half: 'exchange' as const }))
    const whole = { ...both, format: 'ndjson' as const, legs }
    const list = exchanges(3, { mirrors: [0, 1, 2, 3], requestHeaders: ['Cookie', 'canary'] })
    const result = recordAll(new Recorder(), taskOf([pair, same, open, whole]), list)
    expect(await framesOf(same, result, 2)).toEqual(await framesOf(pair, result, 0))
    expect(await framesOf(same, result, 3)).toEqual(await framesOf(pair, result, 1))
    const [opened] = await framesOf(open, result, 4)
    expect(JSON.parse(opened?.[0] ?? '')).toMatchObject({
      environment: 'prod',
      request: { headers: [['Cookie', 'canary']], body: '{"ite', truncated: true },
    })
    const [joined] = await framesOf(whole, result, 6)
    expect(JSON.parse(joined?.[2] ?? '')).toMatchObject({
      ...{ id: 'id-2', request: { headers: [['Cookie', '[redacted]']] }, response: { body: '{"ok":true}' } },
    })
    expect(result.frames.map(({ leg }) => leg)).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test('formats that are made of items hold nothing else', async () => {
    const list = exchanges(3, { mirrors: [0, 1] })
    const made = (slot: number, format: RecordMirror['format']): RecordMirror => {
      const mirror = pairMirror(slot)
      return { ...mirror, format, legs: mirror.legs.map((leg) => ({ ...leg, half: 'exchange' })) }
    }
    const [akto, har] = [made(0, 'akto'), made(1, 'har')]
    const result = recordAll(new Recorder(), taskOf([akto, har]), list)
    const paths = (await framesOf(akto, result, 0)).flat().map((line) => JSON.parse(line).path)
    expect(paths).toEqual(list.map(({ target }) => target))
    const entries = (await framesOf(har, result, 2)).flat().map((line) => JSON.parse(line))
    expect(entries.map((entry) => entry.request.method)).toEqual(list.map(({ method }) => method))
    expect(await framesOf(har, result, 3)).toEqual(await framesOf(har, result, 2))
  })

  test('an exchange goes to the mirrors it names', () => {
    const result = recordAll(new Recorder(), taskOf([pairMirror(0), pairMirror(1)]), [
      ...exchanges(2, { mirrors: [0] }),
      ...exchanges(3, { mirrors: [1, 0] }),
    ])
    expect([0, 1, 2, 3].map((leg) => total(result, leg))).toEqual([5, 5, 3, 3])
  })

  test('a mirror that its plan does not hold is reported, the others go on', () => {
    const result = recordAll(new Recorder(), taskOf([pairMirror(0)]), exchanges(2, { mirrors: [9, 0] }))
    expect(result.error).toMatch(/must hold every mirror, got slot 9$/)
    expect(total(result, 0)).toBe(2)
  })
})

describe('limits', () => {
  test('a frame holds at most so many items', async () => {
    const mirror = pairMirror(0, { frameItems: 3 })
    const result = recordAll(new Recorder(), taskOf([mirror]), exchanges(8))
    expect((await framesOf(mirror, result, 0)).map((lines) => lines.length)).toEqual([3, 3, 2])
    expect(result.frames.filter(({ leg }) => leg === 1).map(({ oldest, newest }) => newest - oldest)).toEqual(
      [2, 2, 1],
    )
  })

  test('a frame holds at most so many bytes; a larger item travels alone', async () => {
    const plain = (size: number) => ({ requestHeaders: [], requestBody: bodyOf('x'.repeat(size)) })
    const sizes = [10, 10, 3000, 10, 900, 900, 10]
    const list = sizes.map((size, index) => exchangeOf({ id: `id-${index}`, ...plain(size) }))
    const mirror = pairMirror(0, { frameBytes: 2000, itemBytes: 10_000 })
    const result = recordAll(new Recorder(), taskOf([mirror]), list)
    const frames = await framesOf(mirror, result, 0)
    expect(frames.map((lines) => lines.map(idOf))).toEqual([
      ...[['id-0', 'id-1'], ['id-2'], ['id-3', 'id-4'], ['id-5', 'id-6']],
    ])
    for (const { leg, length } of result.frames.filter(({ items }) => items > 1)) {
      expect(length, `leg ${leg}`).toBeLessThanOrEqual(2000 + FRAME_HEADER)
    }
  })

  test('an item above the sink’s own limit is dropped, its other half is not', () => {
    const small = exchangeOf({ id: 'small' })
    const bytes = requestBytes(small) - 1
    const list = [small, exchangeOf({ id: 'smal2', requestBody: bodyOf('{"item":"books"}') }), small]
    const mirror = pairMirror(0, { itemBytes: bytes })
    const result = recordAll(new Recorder(), taskOf([mirror]), list)
    expect(result.drops).toEqual([{ leg: 0, reason: 'item_too_large', items: 1 }])
    expect([total(result, 0), total(result, 1)]).toEqual([3, 3])
  })

  test('what does not fit the spool is dropped, and no byte more is written', () => {
    const mirror = pairMirror(0)
    const probe = recordAll(new Recorder(), taskOf([pairMirror(0)]), exchanges(10))
    const length = probe.frames[0]?.length ?? 0
    for (const room of [0, 1, FRAME_HEADER + 1, length - 1, length, length * 2]) {
      const result = recordAll(
        new Recorder(),
        taskOf([mirror], { room: { 0: room, 1: 1_000_000 } }),
        exchanges(10),
      )
      const written = result.frames
        .filter(({ leg }) => leg === 0)
        .reduce((sum, frame) => sum + frame.length, 0)
      expect(written).toBeLessThanOrEqual(room)
      expect([total(result, 0), total(result, 1)]).toEqual([10, 10])
      const dropped = result.drops.reduce((sum, { items }) => sum + items, 0)
      expect(result.drops.map(({ leg, reason }) => `${leg} ${reason}`)).toEqual(
        dropped === 0 ? [] : ['0 spool_full'],
      )
      expect(dropped > 0).toBe(room < length)
    }
  })
})

describe('failures', () => {
  test('a leg whose folder cannot be written loses its items, counted; the others do not', async () => {
    const mirror = pairMirror(0, { frameItems: 4 })
    const folder = folderOf(mirror, 0)
    mkdirSync(path.dirname(folder), { recursive: true })
    writeFileSync(folder, 'a file where the folder should be')
    const recorder = new Recorder()
    const result = recordAll(recorder, taskOf([mirror]), exchanges(10))
    expect(result.drops).toEqual([{ leg: 0, reason: 'spool_error', items: 10 }])
    expect(result.error).toMatch(/^appending to the spool: E(NOTDIR|EXIST)/)
    expect((await framesOf(mirror, result, 1)).flat()).toHaveLength(10)
    expect(recordAll(recorder, taskOf([mirror]), []).error).toBeNull()
  })

  test('what cannot be encoded is dropped for every leg of its mirrors; the slab is not', async () => {
    const bad = exchangeOf({ id: 'bad', mirrors: [0, 1] })
    const { item } = ItemEncoder.prototype
    vi.spyOn(ItemEncoder.prototype, 'item').mockImplementation(function (this: ItemEncoder, ...all) {
      const [record, , , out] = all
      if (record.string(stringAt.id) !== 'bad') return item.call(this, ...all)
      out.text('{"half":')
      throw new Error('a bug')
    })
    onTestFinished(() => void vi.restoreAllMocks())
    const list = [...exchanges(2, { mirrors: [0] }), bad, ...exchanges(2, { mirrors: [0, 1] })]
    const mirror = pairMirror(0)
    const result = recordAll(new Recorder(), taskOf([mirror, pairMirror(1)]), list)
    expect(result.drops).toEqual([0, 1, 2, 3].map((leg) => ({ leg, reason: 'capture_error', items: 1 })))
    expect([0, 1, 2, 3].map((leg) => total(result, leg))).toEqual([5, 5, 3, 3])
    expect(result.error).toMatch(/^encoding an item: /)
    expect((await framesOf(mirror, result, 1)).flat().map(idOf)).toEqual(['id-0', 'id-1', 'id-0', 'id-1'])
  })

  test('what a recorder wrote before it died is passed over, what it dropped is not', async () => {
    const mirror = pairMirror(0, { frameItems: 2, itemBytes: 2000 })
    const list = exchanges(7).map((exchange, index) =>
      index === 1 ? { ...exchange, requestBody: bodyOf('x'.repeat(3000)) } : exchange,
    )
    const task = taskOf([mirror], { written: { 0: 3, 1: 2 } })
    const result = recordAll(new Recorder(), task, list)
    const idsOf = async (leg: number) => (await framesOf(mirror, result, leg)).flat().map(idOf)
    expect(await idsOf(0)).toEqual(['id-4', 'id-5', 'id-6'])
    expect(await idsOf(1)).toEqual(['id-2', 'id-3', 'id-4', 'id-5', 'id-6'])
    expect(result.drops).toEqual([{ leg: 0, reason: 'item_too_large', items: 1 }])
    const full = recordAll(new Recorder(), { ...task, room: { 0: 0, 1: 0 } }, list)
    expect(full.frames).toEqual([])
    expect(full.drops).toEqual([
      { leg: 0, reason: 'item_too_large', items: 1 },
      ...[0, 1].map((leg) => ({ leg, reason: 'spool_full', items: leg === 0 ? 3 : 5 })),
    ])
  })

  test('where an item does not fit, nothing of the slab behind it is kept', async () => {
    const mirror = pairMirror(0)
    const [first, ...others] = exchanges(4)
    const large = exchangeOf({ id: 'large', requestBody: bodyOf('x'.repeat(3000)) })
    const room = 2 * requestBytes(first as CapturedExchange) + FRAME_HEADER + 50
    const task = taskOf([mirror], { room: { 0: room, 1: 1_000_000 } })
    const result = recordAll(new Recorder(), task, [first as CapturedExchange, large, ...others])
    expect((await framesOf(mirror, result, 0)).flat().map(idOf)).toEqual(['id-0'])
    expect(result.drops).toEqual([{ leg: 0, reason: 'spool_full', items: 4 }])
  })

  test.each(['items', 'bytes'])('behind a frame that the disk refused nothing is kept (%s)', async (by) => {
    const mirror = pairMirror(0, by === 'items' ? { frameItems: 2 } : { frameBytes: 1200 })
    const recorder = new Recorder()
    const task = taskOf([mirror], { room: { 0: 1_000_000, 1: 0 } })
    const { writevSync } = fs
    let writes = 0
    vi.spyOn(fs, 'writevSync').mockImplementation((...all) => {
      writes += 1
      // The first is the header of the segment.
      if (writes === 3) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
      return writevSync(...all)
    })
    onTestFinished(() => void vi.restoreAllMocks())
    const result = recordAll(recorder, task, exchanges(9))
    const kept = (await framesOf(mirror, result, 0)).flat().map(idOf)
    expect(kept).toEqual(exchanges(kept.length).map(({ id }) => id))
    expect(kept.length).toBeGreaterThan(0)
    expect(result.frames).toHaveLength(1)
    expect(result.drops[0]).toEqual({ leg: 0, reason: 'spool_error', items: 9 - kept.length })
    const next = recordAll(recorder, task, exchanges(3))
    expect((await framesOf(mirror, next, 0)).flat().map(idOf)).toEqual(['id-0', 'id-1', 'id-2'])
  })

  test('a damaged slab gives what stands before the damage', () => {
    const { slab, used } = slabOf(exchanges(4))
    new Uint8Array(slab, used / 2, 4).fill(0)
    const result = record(taskOf([pairMirror(0)], { slab, used, generation: 40 }))
    expect(total(result, 0)).toBe(2)
    expect(result.error).toMatch(/^reading a slab: /)
    expect(record(taskOf([pairMirror(0)], { ...slabOf(exchanges(4)), generation: 41 })).error).toBeNull()
  })

  test('bodies that cannot be redacted are counted, per encoding', () => {
    const list = exchanges(3, {
      mirrors: [0, 1, 2],
      requestHeaders: ['Content-Encoding', 'gzip'],
      requestBody: bodyOf('no gzip'),
    })
    const open = pairMirror(2, redactOf({ defaults: false }))
    const recorder = new Recorder()
    const task = taskOf([pairMirror(0), pairMirror(1), open])
    expect(recordAll(recorder, task, list).notRedactable).toBe(3)
    expect(recordAll(recorder, task, exchanges(3)).notRedactable).toBe(0)
  })
})

describe('reload', () => {
  test('segments of a mirror that is gone are closed, those of others go on', () => {
    const [stays, goes] = [pairMirror(0), pairMirror(1)]
    const recorder = new Recorder()
    const before = recordAll(recorder, taskOf([stays, goes]), exchanges(1, { mirrors: [0, 1] }))
    const after = recordAll(recorder, taskOf([stays], { generation: 2 }), exchanges(1))
    const segments = (result: RecordResult, legs: number[]) =>
      result.frames.filter(({ leg }) => legs.includes(leg)).map(({ leg, segment }) => ({ leg, segment }))
    expect(after.closed).toEqual(segments(before, [2, 3]))
    expect(segments(after, [0, 1])).toEqual(segments(before, [0, 1]))
  })

  test('a slab of the configuration before is recorded by its own rules', async () => {
    const old = pairMirror(0)
    const strict = { ...old, ...redactOf({ headers: ['x-a'] }) }
    const recorder = new Recorder()
    const list = exchanges(1, { requestHeaders: ['X-A', 'v'] })
    const seen: unknown[] = []
    for (const [mirror, generation] of [
      [old, 1],
      [strict, 2],
      [old, 1],
      [strict, 2],
    ] as const) {
      const result = recordAll(recorder, taskOf([mirror], { generation }), list)
      const [lines] = await framesOf(old, result, 0)
      seen.push(JSON.parse(lines?.[0] ?? '').request.headers[0][1])
    }
    expect(seen).toEqual(['v', '[redacted]', 'v', '[redacted]'])
  })

  test('a changed segment size begins a new segment', () => {
    const mirror = pairMirror(0)
    const recorder = new Recorder()
    const before = recordAll(recorder, taskOf([mirror]), exchanges(1))
    const smaller = { ...mirror, segmentBytes: 65_536 }
    const after = recordAll(recorder, taskOf([smaller], { generation: 2 }), exchanges(1))
    expect(after.closed.map(({ segment }) => segment)).toEqual(before.frames.map(({ segment }) => segment))
    expect(filesIn(folderOf(mirror, 0))).toHaveLength(2)
  })
})

test('full segments are reported as closed, and files are for their owner only', () => {
  const mirror = pairMirror(0, { segmentBytes: 65_536 })
  const recorder = new Recorder()
  const closed: string[] = []
  for (let slab = 0; slab < 10; slab++) {
    const list = exchanges(10, { requestHeaders: [], requestBody: bodyOf('x'.repeat(2000)) })
    for (const { leg, segment } of recordAll(recorder, taskOf([mirror]), list).closed)
      if (leg === 0) closed.push(segment)
  }
  expect(closed.length).toBeGreaterThanOrEqual(2)
  expect(new Set(closed).size).toBe(closed.length)
  for (const segment of closed) {
    expect(statSync(path.join(folderOf(mirror, 0), segment)).mode & 0o777).toBe(0o600)
  }
})
