/** The memory of batches is used again, and never while somebody may still read it. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BufferPool } from '../../src/contract/buffers.ts'
import { OutcomeError } from '../../src/contract/errors.ts'
import { limits } from '../../src/contract/limits.ts'
import {
  type Batch,
  defineSink,
  intoJsonArray,
  jsonArray,
  type SinkDefinition,
  Type,
} from '../../src/contract/plugin.ts'
import type { ShipTask } from '../../src/contract/tasks.ts'
import { SegmentWriter } from '../../src/queue/spool.ts'
import { closeSinks, configureSinks, deliver } from '../../src/shipper/deliver.ts'
import { target } from './target.ts'

let folder: string
type Send = (body: Buffer) => Promise<unknown>
let write: (batch: Batch, post: Send, send: Send) => Promise<unknown>

const sink = defineSink({
  name: 'probe',
  summary: 'Does what a test says.',
  options: Type.Object({ url: Type.String() }, { additionalProperties: false }),
  formats: ['exchange'],
  urls: [],
  limits: { batch_bytes: 1000, batch_items: 10, item_bytes: 1000 },
  legs: () => [{ name: 'exchanges', half: 'exchange', url: 'probe:' }],
  create: ({ options, http }) => ({
    async write(batch, signal) {
      const request = { method: 'PUT', url: options.url, headers: {} }
      await write(
        batch,
        (body) => http.post(options.url, { body, batch }, signal),
        (body) => http.send({ ...request, body }, signal),
      )
    },
    close() {},
  }),
})

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'batch-memory-'))
  configureSinks([sink as SinkDefinition])
})
afterEach(async () => {
  await closeSinks()
  await rm(folder, { recursive: true })
})

/** A batch of one item whose text is `letter`, `bytes` times. */
function task(letter: string, bytes = 1000, url = 'http://127.0.0.1:9/'): ShipTask {
  const writer = new SegmentWriter(folder, { segmentBytes: 100_000_000, fsyncMs: 0 })
  const about = { items: 1, oldest: 1, newest: 2, thread: 0, sequence: 0 }
  const { segment, offset, length } = writer.append(Buffer.from(`"${letter.repeat(bytes)}"\n`), about, {
    parked: false,
  })
  writer.close()
  return {
    target: target({ sink: 'probe', options: { url } }),
    leg: 'exchanges',
    batchId: letter,
    timeoutMs: 5000,
    source: {
      path: path.join(folder, segment),
      from: offset,
      to: offset + length,
      itemFrom: 0,
      itemTo: 1,
      mark: false,
      fresh: false,
    },
    keepItem: false,
  }
}

test('the next batch takes the memory of the one before', async () => {
  const seen: ArrayBufferLike[] = []
  write = async ({ ndjson }) => seen.push(ndjson.buffer, jsonArray(ndjson).buffer)
  expect(await deliver(task('a'))).toMatchObject({ ok: true })
  expect(await deliver(task('b'))).toMatchObject({ ok: true })
  expect(new Set(seen.slice(2))).toEqual(new Set(seen.slice(0, 2)))
})

test('batches that are on their way at once have their own', async () => {
  const both = Promise.withResolvers<void>()
  const texts: string[] = []
  let begun = 0
  write = async ({ ndjson }) => {
    const body = jsonArray(ndjson)
    if (++begun === 2) both.resolve()
    await both.promise
    texts.push(body.toString())
  }
  const results = await Promise.all([deliver(task('a', 5)), deliver(task('b', 5))])
  expect(results).toMatchObject([{ ok: true }, { ok: true }])
  expect(texts.sort()).toEqual(['["aaaaa"]', '["bbbbb"]'])
})

test('what a sink failed with is not written over: it may not have stopped', async () => {
  let kept: Buffer = Buffer.alloc(0)
  write = async ({ ndjson }) => {
    kept = jsonArray(ndjson)
    throw new OutcomeError('retry', 'not now')
  }
  await deliver(task('a', 5))
  write = async ({ ndjson }) => jsonArray(ndjson)
  await deliver(task('b', 5))
  expect(kept.toString()).toBe('["aaaaa"]')
})

test.each(['post', 'send'])(
  'an answer before the body of a %s was read does not let the next batch into it',
  async (how) => {
    // More than the sockets of both ends hold, and no more than the pool keeps.
    const bytes = limits.batch_memory_spare_bytes / 2 - 1000
    const connected = Promise.withResolvers<Socket>()
    const collector = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.pause()
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        connected.resolve(socket)
      })
    }).listen(0, '127.0.0.1')
    await once(collector, 'listening')
    const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`

    write = ({ ndjson }, post, send) => (how === 'post' ? post(ndjson) : send(ndjson.subarray(0)))
    expect(await deliver(task('a', bytes, url))).toMatchObject({ ok: true })
    write = async () => undefined
    expect(await deliver(task('B', bytes, url))).toMatchObject({ ok: true })
    let rest = 0
    let foreign = 0
    const socket = await connected.promise
    const all = new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        rest += chunk.length
        if (chunk.includes('B')) foreign += 1
        if (rest >= bytes - 65_536) resolve()
      })
    })
    socket.resume()
    await all
    expect(foreign).toBe(0)
    collector.close()
  },
)

test('a batch that is sent as one array becomes it where it lies', async () => {
  let made: Buffer = Buffer.alloc(0)
  write = async ({ ndjson }) => {
    made = intoJsonArray(ndjson)
    expect(made.buffer).toBe(ndjson.buffer)
    expect(made.toString()).toBe('["aaaaa"]')
    throw new OutcomeError('retry', 'not now')
  }
  expect(await deliver(task('a', 5))).toMatchObject({ ok: false, kind: 'retry', item: null })
})

test('an item that may have to be kept stays what it is', async () => {
  write = async ({ ndjson }) => {
    const made = intoJsonArray(ndjson)
    expect(made.buffer).not.toBe(ndjson.buffer)
    expect(made.toString()).toBe('["aaaaa"]')
    throw new OutcomeError('rejected', 'never')
  }
  const kept = { ...task('a', 5), keepItem: true }
  expect(await deliver(kept)).toMatchObject({ kind: 'rejected', item: '"aaaaa"' })
})

test('memory is written over only with room on both sides', () => {
  const pool = new BufferPool()
  const lent = pool.lend(100)
  expect(pool.spend(lent, 1, 0)).toBeNull()
  expect(pool.spend(lent.subarray(1), 1, 0)?.byteLength).toBe(100)
  const end = lent.buffer.byteLength - 100
  expect(pool.spend(lent, 0, end)?.byteLength).toBe(100 + end)
  expect(pool.spend(lent, 0, end + 1)).toBeNull()
  pool.end(lent, true)
  expect(pool.spend(lent.subarray(1), 1, 0)).toBeNull()
})

test('spare memory is bounded', () => {
  const pool = new BufferPool()
  const many = Array.from({ length: 64 }, () => pool.lend(1_000_000))
  for (const lent of many) pool.end(lent, true)
  expect(pool.spareBytes).toBe(limits.batch_memory_spare_bytes)
})

test('memory that nobody lent is left alone', () => {
  const pool = new BufferPool()
  const own = Buffer.from('mine')
  expect(pool.derive(own, 10)).toHaveLength(10)
  pool.end(own, true)
  expect(pool.spareBytes).toBe(0)
})
