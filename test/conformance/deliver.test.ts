/**
 * Delivery of one batch in a shipper thread: where it is read from, what comes back, which sinks stay open.
 */
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OutcomeError } from '../../src/contract/errors.ts'
import { type Batch, defineSink, type Sink, type SinkDefinition, Type } from '../../src/contract/plugin.ts'
import type { RenderRules, ShipTask, Target } from '../../src/contract/tasks.ts'
import { FRAME_HEADER } from '../../src/queue/spool-format.ts'
import { indexSegment } from '../../src/queue/spool-reader.ts'
import { markBatch, SegmentWriter } from '../../src/queue/spool.ts'
import { closeSinks, configureSinks, deliver } from '../../src/shipper/deliver.ts'
import { probe } from '../../src/shipper/probe.ts'
import { canMount, makeReadOnly } from '../faults/mount.ts'
import { tempDir } from '../support/files.ts'
import { startCollector } from './collector.ts'
import { target } from './target.ts'

let written: Batch[] = []
let created: string[] = []
let closed: string[] = []
let write: (batch: Batch, signal: AbortSignal) => Promise<void>
let create: () => void

const probeSink = defineSink({
  name: 'probe',
  summary: 'Does what a test says.',
  options: Type.Object({ tag: Type.String() }, { additionalProperties: false }),
  formats: ['exchange'],
  urls: [],
  limits: { batch_bytes: 1000, batch_items: 10, item_bytes: 1000 },
  legs: () => [{ name: 'exchanges', half: 'exchange', url: 'probe:' }],
  create({ options }): Sink {
    create()
    created.push(options.tag)
    return {
      async write(batch, signal) {
        written.push(batch)
        await write(batch, signal)
      },
      close() {
        closed.push(options.tag)
      },
    }
  },
})

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'deliver-'))
  written = []
  created = []
  closed = []
  write = async () => undefined
  create = () => undefined
  configureSinks([probeSink as SinkDefinition])
})
afterEach(async () => {
  await closeSinks()
  await rm(folder, { recursive: true })
})

const aim = (tag: string, about: Partial<Target> = {}, headers: Record<string, string> = {}) =>
  target({ key: tag, sink: 'probe', options: { tag }, ...about }, { headers })

function task(about: Partial<ShipTask> = {}): ShipTask {
  return {
    target: aim('a'),
    leg: 'exchanges',
    batchId: 'batch-1',
    timeoutMs: 5000,
    source: { ndjson: '{"n":1}\n', items: 1 },
    keepItem: false,
    ...about,
  }
}

/** A segment of three frames with two items each: n = 0…5. */
function segment() {
  const writer = new SegmentWriter(folder, { segmentBytes: 1_000_000, fsyncMs: 0 })
  const about = { items: 2, oldest: 1, newest: 2, thread: 0, sequence: 0 }
  const frames = [0, 2, 4].map((n) =>
    writer.append(Buffer.from(`{"n":${n}}\n{"n":${n + 1}}\n`), about, { parked: false }),
  )
  writer.close()
  const [first] = frames
  const last = frames.at(-1)
  if (first === undefined || last === undefined) throw new Error('no frames')
  return { frames, path: path.join(folder, first.segment), from: first.offset, to: last.offset + last.length }
}

const numbers = () =>
  written.map(({ ndjson }) =>
    ndjson
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).n),
  )

describe('what is read', () => {
  test('is marked in its segment before it is sent', async () => {
    const { path: file, from, to } = segment()
    await deliver(
      task({ source: { path: file, from, to, itemFrom: 0, itemTo: 6, mark: true, fresh: false } }),
    )
    const { frames } = await indexSegment({ path: file, from: 0, verify: true })
    expect(frames[0]).toMatchObject({ offset: from, batchBytes: to - from })
  })

  test.skipIf(!canMount)('is sent even where no mark can be written (needs root to mount)', async () => {
    const { path: made, from, to } = segment()
    const readOnly = await tempDir()
    const file = path.join(readOnly, path.basename(made))
    await copyFile(made, file)
    makeReadOnly(readOnly)
    expect(() => markBatch(file, from, to - from)).toThrow('EROFS')
    const source = { path: file, from, to, itemFrom: 0, itemTo: 6, mark: true, fresh: false }
    expect(await deliver(task({ source }))).toMatchObject({ ok: true })
  })

  test.each([
    [0, 6, [0, 1, 2, 3, 4, 5]],
    [0, 3, [0, 1, 2]],
    [3, 6, [3, 4, 5]],
    [2, 3, [2]],
    [5, 6, [5]],
  ])('items %i to %i of a range', async (itemFrom, itemTo, expected) => {
    const { path: file, from, to } = segment()
    const result = await deliver(
      task({ source: { path: file, from, to, itemFrom, itemTo, mark: false, fresh: true } }),
    )
    expect(result).toMatchObject({ ok: true, bytes: expected.length * 8 })
    expect(numbers()).toEqual([expected])
    expect(written[0]).toMatchObject({
      id: 'batch-1',
      mirror: 'mirror-1',
      leg: 'exchanges',
      items: expected.length,
    })
  })

  test('a damaged frame is named, and nothing is sent', async () => {
    const { frames, path: file, from, to } = segment()
    const damaged = frames[1]
    if (damaged === undefined) throw new Error('no frame')
    const handle = await open(file, 'r+')
    await handle.write(Buffer.from('X'), 0, 1, damaged.offset + FRAME_HEADER + 2)
    await handle.close()
    const result = await deliver(
      task({ source: { path: file, from, to, itemFrom: 0, itemTo: 6, mark: false, fresh: false } }),
    )
    const { offset, length, items } = damaged
    expect(result).toMatchObject({ ok: false, kind: 'corrupt', corrupt: [{ offset, length, items }] })
    expect(written).toHaveLength(0)
  })

  test('a segment that is gone has lost its items', async () => {
    const source = {
      path: path.join(folder, 'gone.seg'),
      from: 16,
      to: 100,
      itemFrom: 0,
      itemTo: 1,
      mark: false,
      fresh: true,
    }
    const result = await deliver(task({ source }))
    expect(result).toMatchObject({
      ok: false,
      kind: 'corrupt',
      network: false,
      message: 'reading the spool: ENOENT',
    })
  })
})

describe('what comes of it', () => {
  test('an outcome keeps its kind and detail, without the secrets of the connection', async () => {
    write = async () => {
      throw new OutcomeError('rejected', 'no: hunter2-token', {
        status: 422,
        answer: 'bad hunter2-token',
        retryAfterMs: 5,
      })
    }
    const result = await deliver(
      task({ keepItem: true, target: aim('a', {}, { authorization: 'Bearer hunter2-token' }) }),
    )
    expect(result).toMatchObject({
      ok: false,
      kind: 'rejected',
      message: 'no: ***',
      answer: 'bad ***',
      status: 422,
      retryAfterMs: 5,
      item: '{"n":1}',
    })
  })

  test('the item is returned only where it was asked for and is a single one', async () => {
    write = () => Promise.reject(new OutcomeError('rejected', 'no'))
    const several = { ndjson: '{"n":1}\n{"n":2}\n', items: 2 }
    expect(await deliver(task({ keepItem: true, source: several }))).toMatchObject({ ok: false, item: null })
    expect(await deliver(task({ keepItem: false }))).toMatchObject({ ok: false, item: null })
  })

  test.each([
    ['an error', new TypeError('x is not a function'), 'the sink threw TypeError: x is not a function'],
    ['a text', 'oops', 'the sink threw oops'],
    ['nothing', undefined, 'the sink threw undefined'],
  ])('anything else that a sink throws is a bug: %s', async (_what, thrown, message) => {
    write = () => Promise.reject(thrown)
    expect(await deliver(task())).toMatchObject({ ok: false, kind: 'bug', message })
  })

  test('a sink that obeys its signal is timed out', async () => {
    write = (_batch, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const result = await deliver(task({ timeoutMs: 100 }))
    expect(result).toMatchObject({ ok: false, kind: 'retry', message: 'timed out after 100 ms' })
  })

  test('a sink that ignores its signal is given up', async () => {
    write = () => new Promise(() => undefined)
    const result = await deliver(task({ timeoutMs: 100 }))
    expect(result).toMatchObject({
      ok: false,
      kind: 'retry',
      message: 'timed out after 100 ms, and the sink did not stop',
    })
  })

  test('a sink that is unknown, or cannot be opened, says so; the next try opens it anew', async () => {
    expect(await deliver(task({ target: aim('x', { sink: 'nowhere' }) }))).toMatchObject({
      ok: false,
      kind: 'refused',
    })
    create = () => {
      throw new OutcomeError('unauthorized', 'no key')
    }
    expect(await deliver(task())).toMatchObject({ ok: false, kind: 'unauthorized', message: 'no key' })
    create = () => undefined
    expect(await deliver(task())).toMatchObject({ ok: true })
  })
})

describe('what cannot be rendered', () => {
  const render: RenderRules = {
    format: 'json',
    dialect: 'plain',
    signingKeyFile: null,
    template: null,
    maskData: false,
    environment: 'dev',
    workspace: { id: 1, name: 'w', time_zone: 'UTC' },
    name: 's',
    organizationId: '',
  }

  test('says what is wrong, and is tried again', async () => {
    const signingKeyFile = path.join(folder, 'hunter2-token', 'audit-key.pem')
    const without = aim(
      'a',
      { render: { ...render, signingKeyFile } },
      { authorization: 'Bearer hunter2-token' },
    )
    const result = await deliver(task({ target: without }))
    expect(result).toMatchObject({ ok: false, kind: 'retry' })
    expect(result).toHaveProperty('message', expect.stringMatching(/^rendering the batch: ENOENT.*audit-key/))
    expect(JSON.stringify(result)).not.toContain('hunter2')
    const bad = aim('a', { render: { ...render, template: '{{' } })
    expect(await deliver(task({ target: bad }))).toMatchObject({
      ok: false,
      kind: 'retry',
      message: expect.stringContaining('rendering the batch: '),
    })
    expect(written).toHaveLength(0)
  })
})

describe('which sinks stay open', () => {
  test('one per target', async () => {
    await deliver(task())
    await deliver(task())
    await deliver(task({ target: aim('other', { owner: 'mirror-2', mirror: 'mirror-2' }) }))
    expect(created).toEqual(['a', 'other'])
    expect(closed).toEqual([])
  })

  test('a changed target closes the old one, after its writes', async () => {
    const release = Promise.withResolvers<void>()
    write = () => release.promise
    const first = deliver(task())
    while (written.length === 0) await new Promise(setImmediate)
    write = async () => undefined
    expect(await deliver(task({ target: aim('b') }))).toMatchObject({ ok: true })
    expect(closed).toEqual([])
    release.resolve()
    expect(await first).toMatchObject({ ok: true })
    await expect.poll(() => closed).toEqual(['a'])
  })
})

describe('probe', () => {
  test('says whether anyone listens, and sends nothing', async () => {
    const collector = await startCollector()
    expect(await probe({ url: `${collector.url}/x`, timeoutMs: 5000 })).toBe(true)
    expect(collector.deliveries).toHaveLength(0)
    await collector.close()
    expect(await probe({ url: `${collector.url}/x`, timeoutMs: 5000 })).toBe(false)
  })

  test('a destination without a host is there; a text that is no URL is not', async () => {
    expect(await probe({ url: 'file:///var/log/x', timeoutMs: 100 })).toBe(true)
    expect(await probe({ url: '/requests', timeoutMs: 100 })).toBe(false)
  })
})
