/** The file sink: conformance, rotation, and what it does when the disk says no. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import file from './sink.ts'

let folder: string
let log: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'file-sink-'))
  log = path.join(folder, 'exchanges.ndjson')
})
afterEach(() => rm(folder, { recursive: true }))

const defaults = { max_bytes: 65_536, max_files: 3, fsync: false }
const never = new AbortController().signal

async function linesOf(name: string): Promise<string[]> {
  return (await readFile(name, 'utf8')).split('\n').slice(0, -1)
}

async function open(options: Partial<typeof defaults> & { path?: string } = {}) {
  const { http } = createSinkHttp(target())
  return file.create(sinkContext({ path: log, ...defaults, ...options }, http, { format: 'ndjson' }))
}

const batch = (first: number, count: number, pad = 0) => ({
  id: `b-${first}`,
  mirror: 'm',
  leg: 'exchanges',
  items: count,
  ndjson: Buffer.from(
    Array.from(
      { length: count },
      (_, n) => `${JSON.stringify({ n: first + n, pad: 'x'.repeat(pad) })}\n`,
    ).join(''),
  ),
})

sinkConformance({
  definition: file,
  options: () => ({ path: log, ...defaults, max_bytes: 100_000_000, fsync: true }),
  http: { because: 'it writes to the disk' },
  stored: async () =>
    (await linesOf(log)).map((line) => {
      const value = JSON.parse(line)
      return value.log?.entries[0] ?? value
    }),
})

test('rotates by size, keeps so many files, and never splits a batch', async () => {
  const sink = await open()
  for (let n = 0; n < 40; n += 1) await sink.write(batch(n * 10, 10, 1000), never)
  expect((await readdir(folder)).sort()).toEqual(
    ['', '.1', '.2', '.3'].map((end) => `exchanges.ndjson${end}`),
  )
  const kept: number[] = []
  for (const end of ['.3', '.2', '.1', '']) {
    const lines = await linesOf(log + end)
    expect(lines.length % 10).toBe(0)
    expect((await stat(log + end)).size).toBeLessThanOrEqual(defaults.max_bytes)
    kept.push(...lines.map((line) => JSON.parse(line).n))
  }
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, n) => 400 - kept.length + n))
})

test('a batch above max_bytes has a file of its own', async () => {
  const sink = await open()
  await sink.write(batch(0, 1), never)
  await sink.write(batch(1, 2, 60_000), never)
  await sink.write(batch(3, 1), never)
  expect(await linesOf(`${log}.2`)).toHaveLength(1)
  expect(await linesOf(`${log}.1`)).toHaveLength(2)
  expect(await linesOf(log)).toHaveLength(1)
})

test('threads that write to one file lose nothing while it rotates', async () => {
  const source = `
    const { workerData } = require('node:worker_threads')
    import(workerData.plugin).then(async ({ default: file }) => {
      const options = { path: workerData.log, max_bytes: 65536, max_files: 100, fsync: false }
      const sink = file.create({ mirror: 'm', options, format: 'ndjson', http: null })
      const signal = new AbortController().signal
      // A lock that is waited for does not keep a thread alive; in the shipper its clock does.
      const clock = setInterval(() => undefined, 1000)
      for (let n = 0; n < 50; n += 1) {
        const line = JSON.stringify({ n: workerData.first + n, pad: 'x'.repeat(10000) }) + '\\n'
        const ndjson = Buffer.from(line)
        await sink.write({ id: 'b', mirror: 'm', leg: 'exchanges', items: 1, ndjson }, signal)
      }
      clearInterval(clock)
    })`
  const plugin = new URL('sink.ts', import.meta.url).href
  const threads = [0, 50, 100].map(
    (first) => new Worker(source, { eval: true, workerData: { plugin, log, first } }),
  )
  await Promise.all(
    threads.map((thread) => new Promise((done, fail) => thread.once('exit', done).once('error', fail))),
  )
  const numbers: number[] = []
  for (const name of await readdir(folder)) {
    for (const line of await linesOf(path.join(folder, name))) numbers.push(JSON.parse(line).n)
  }
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, n) => n))
})

test('half a line left by a kill does not spoil the next batch', async () => {
  await writeFile(log, '{"n":1}\n{"n":2,"pa')
  await (await open()).write(batch(2, 2), never)
  expect(await linesOf(log)).toEqual(['{"n":1}', '{"n":2,"pa', '{"n":2,"pad":""}', '{"n":3,"pad":""}'])
})

test('only the owner may read it', async () => {
  await (await open()).write(batch(0, 1), never)
  expect((await stat(log)).mode & 0o777).toBe(0o600)
})

test('a folder that is missing, or a folder in place of the file, needs a person', async () => {
  const missing = await open({ path: path.join(folder, 'no', 'x.ndjson') })
  await expect(missing.write(batch(0, 1), never)).rejects.toMatchObject({
    kind: 'refused',
    message: 'writing the file: ENOENT',
  })
  await mkdir(path.join(folder, 'dir'))
  const wrong = await open({ path: path.join(folder, 'dir') })
  await expect(wrong.write(batch(0, 1), never)).rejects.toMatchObject({
    kind: 'refused',
    message: 'writing the file: EISDIR',
  })
})

test.skipIf(process.platform !== 'linux')('a full disk is tried again', async () => {
  const full = await open({ path: '/dev/full' })
  await expect(full.write(batch(0, 1), never)).rejects.toMatchObject({
    kind: 'retry',
    message: 'writing the file: ENOSPC',
  })
})

test('an aborted write ends, and writes nothing', async () => {
  const sink = await open()
  await expect(sink.write(batch(0, 1), AbortSignal.abort())).rejects.toMatchObject({ kind: 'retry' })
  expect(await readdir(folder)).toEqual([])
})
