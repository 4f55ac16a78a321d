/** The demo: its parts keep an honest account, and the whole of it ends well and leaves nothing behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { checkAccount } from '../../demo/accounting.ts'
import { Collector } from '../../demo/collector.ts'
import { Load } from '../../demo/load.ts'
import { SampleApi } from '../../demo/sample-api.ts'
import type { Counts, DeliveryView } from '../../src/admin/commands.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { until } from '../support/wait.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

function post(
  port: number,
  path: string,
  body: Buffer | string,
  headers: Record<string, string>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port, path, method: 'POST', agent: false, headers },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode as number))
      },
    )
    call.on('error', reject)
    call.end(body)
  })
}

const half = (id: string, part: 'request' | 'response') => ({ id, [part]: {} })
const send = (collector: Collector, leg: 'requests' | 'responses', batch: string, ids: string[]) =>
  post(
    collector.port,
    `/${leg}`,
    JSON.stringify(ids.map((id) => half(id, leg === 'requests' ? 'request' : 'response'))),
    { authorization: 'Bearer right', 'x-mirrorgate-batch-id': batch },
  )

async function startCollector(options = {}): Promise<Collector> {
  const collector = new Collector({ authorization: 'Bearer right', ...options })
  await collector.start()
  onEnd(() => collector.stop())
  return collector
}

describe('the collector', () => {
  test('pairs by id and counts a batch that comes twice once', async () => {
    const collector = await startCollector()
    expect(await send(collector, 'requests', 'a', ['1', '2', '3'])).toBe(200)
    expect(await send(collector, 'requests', 'a', ['1', '2', '3'])).toBe(200)
    expect(await send(collector, 'responses', 'b', ['2', '3', '4'])).toBe(200)
    expect(collector.totals('requests')).toEqual({ items: 6, distinct: 3, batches: 2, duplicate_batches: 1 })
    expect(collector.totals('responses')).toEqual({ items: 3, distinct: 3, batches: 1, duplicate_batches: 0 })
    expect([collector.pairs, collector.ids]).toEqual([2, 4])
    expect(collector.pair('2')).toEqual({ request: half('2', 'request'), response: half('2', 'response') })
  })

  test('refuses wrong credentials, what is no array, and unknown paths, and counts none of it', async () => {
    const collector = await startCollector()
    const right = { authorization: 'Bearer right' }
    expect(await post(collector.port, '/requests', '[]', { authorization: 'Bearer wrong' })).toBe(401)
    expect(await post(collector.port, '/requests', '{}', right)).toBe(400)
    expect(await post(collector.port, '/requests', '[{"id":', right)).toBe(400)
    expect(await post(collector.port, '/others', '[]', right)).toBe(404)
    expect(collector.totals('requests').batches).toBe(0)
    expect(collector.refusals).toBe(4)
  })

  test.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ] as const)('takes %s, and sees a credential inside', async (encoding, compress) => {
    const collector = await startCollector({ watch_for: ['hunter2'] })
    const headers = { authorization: 'Bearer right', 'content-encoding': encoding }
    const item = { ...half('1', 'request'), leaked: 'hunter2' }
    expect(await post(collector.port, '/requests', compress(JSON.stringify([item])), headers)).toBe(200)
    expect(collector.totals('requests').distinct).toBe(1)
    expect(collector.leaks).toBe(1)
  })

  test('refuses connections while it is stopped, and goes on counting on the same port', async () => {
    const collector = await startCollector()
    const { port } = collector
    await send(collector, 'requests', 'a', ['1'])
    await collector.stop()
    await expect(send(collector, 'requests', 'b', ['2'])).rejects.toThrow('ECONNREFUSED')
    await collector.start()
    expect(collector.port).toBe(port)
    await send(collector, 'requests', 'b', ['2'])
    expect(collector.totals('requests').distinct).toBe(2)
  })

  test('remembers no more ids and items than it is told, and says how many it forgot', async () => {
    const collector = await startCollector({ ids_max: 2, items_max: 1 })
    await send(collector, 'requests', 'a', ['1', '2', '3'])
    expect([collector.ids, collector.forgotten, [...collector.kept()].length]).toEqual([2, 1, 1])
  })
})

test('the load has no error against the sample API alone, and every request reaches it', async () => {
  const api = new SampleApi()
  await api.start()
  onEnd(() => api.stop())
  const load = new Load({ origin: api.url, rate_per_second: 1000 })
  onEnd(() => load.close())
  load.start()
  // More than one round of the mix, so that every operation was sent.
  await until(() => load.figures().answered > 250, { what: 'the load has sent one round of its mix' })
  await load.stop()
  const { sent, answered, errors, first_error } = load.figures()
  expect(first_error).toBeNull()
  expect([errors, answered, api.requests]).toEqual([0, sent, sent])
})

describe('the account', () => {
  const counts = (of: Partial<Counts> = {}): Counts => ({
    captured: 10,
    delivered: 10,
    waiting: 0,
    dead_lettered: 0,
    dropped: {},
    ...of,
  })
  const input = (leg: Counts, distinct = 10, more = {}) => ({
    answered: 10,
    client_errors: 0,
    mirror: { legs: [{ name: 'requests', counts: leg }] } as DeliveryView,
    collector: {
      totals: () => ({ items: distinct, distinct, batches: 1, duplicate_batches: 0 }),
      pairs: distinct,
      forgotten: 0,
      leaks: 0,
      ...more,
    },
  })
  const adds = (account: Parameters<typeof checkAccount>[0]) =>
    checkAccount(account).every(({ holds }) => holds)

  test('adds up when everything was delivered', () => {
    expect(adds(input(counts()))).toBe(true)
    expect(adds({ ...input(counts()), exit_code: 0 })).toBe(true)
  })

  test.each([
    ['an item is in no column', input(counts({ delivered: 9 }), 9)],
    ['an item is still waiting', input(counts({ delivered: 9, waiting: 1 }), 9)],
    ['the collector has fewer items than were delivered', input(counts(), 9)],
    ['an exchange was not captured', { ...input(counts()), answered: 11 }],
    ['a client saw an error', { ...input(counts()), client_errors: 1 }],
    ['half of a pair is missing', input(counts(), 10, { pairs: 9 })],
    ['a credential reached the collector', input(counts(), 10, { leaks: 1 })],
    ['the gateway did not drain', { ...input(counts()), exit_code: 4 }],
    ['the gateway was killed', { ...input(counts()), exit_code: null }],
  ])('does not add up when %s', (_what, account) => {
    expect(adds(account)).toBe(false)
  })
})

interface DemoRun {
  child: ChildProcess
  folder: string
  text: () => string
  exited: Promise<number | null>
}

/** `mirrorgate demo` without a terminal, with a temporary folder of its own. */
async function startDemo(...args: string[]): Promise<DemoRun> {
  const folder = await tempDir()
  const child = spawn(process.execPath, [main, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  onEnd(() => child.kill('SIGKILL'))
  return { child, folder, text: () => text, exited }
}

describe('mirrorgate demo', () => {
  test('ends by itself with an account that adds up, and removes its files', {
    timeout: 60_000,
  }, async () => {
    const demo = await startDemo('--seconds', '1')
    const code = await demo.exited
    expect(code, demo.text()).toBe(0)
    expect(demo.text()).toContain('The account adds up.')
    expect(demo.text()).toContain('2. The collector is down')
    expect(demo.text()).not.toContain('\x1b[')
    expect(await readdir(demo.folder)).toEqual([])
  })

  test('cleans up when it is interrupted', async () => {
    const demo = await startDemo()
    await until(() => demo.text().includes('1. Everything is up'), {
      what: 'the demo begins its story',
      within_ms: 20_000,
    })
    demo.child.kill('SIGINT')
    expect(await demo.exited, demo.text()).toBe(130)
    expect(await readdir(demo.folder)).toEqual([])
  })

  test('refuses arguments that it does not know', async () => {
    const demo = await startDemo('--rate', '5')
    expect(await demo.exited).toBe(2)
    expect(demo.text()).toContain('--rate must be a whole number from 10 to 2000, got 5')
  })
})
