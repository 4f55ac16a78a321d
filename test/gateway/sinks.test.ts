/** The sinks beside `salt`, through the whole gateway: form, coding, header names, counts. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { ExchangeItem } from '../../src/contract/exchange.ts'
import { Client } from '../support/client.ts'
import { type ExchangeCollector, startExchangeCollector } from '../support/exchanges.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const exchanges = 30
const body = JSON.stringify({ text: 'ü'.repeat(1000) })
const forms = ['exchange', 'ndjson'] as const
const codings = ['none', 'gzip', 'zstd'] as const
const cases = forms.flatMap((format) => codings.map((compression) => ({ format, compression })))
const nameOf = ({ format, compression }: (typeof cases)[number]) => `${format}-${compression}`

/** Credentials of the collectors; the first is written as typed. */
const connections = [
  { name: 'typed', case_sensitive_headers: true },
  { name: 'lower', case_sensitive_headers: false },
]

let gateway: TestGateway
let config: Record<string, unknown>
let file: string
const collectors = new Map<string, ExchangeCollector>()

/** Lines of the file and of those it was renamed to, newest file first. */
async function filesOf(path: string): Promise<ExchangeItem[][]> {
  const found: ExchangeItem[][] = []
  for (const name of [path, `${path}.1`, `${path}.2`, `${path}.3`]) {
    const text = await readFile(name, 'utf8').catch(() => null)
    if (text === null) continue
    const lines = text.split('\n')
    expect(lines.pop(), `${name} ends with a whole line`).toBe('')
    found.push(lines.map((line) => JSON.parse(line) as ExchangeItem))
  }
  return found
}

async function send(count: number): Promise<void> {
  const client = new Client(gateway.port)
  const headers = ['Content-Type', 'application/json']
  for (let at = 0; at < count; at += 1)
    expect((await client.send({ method: 'POST', path: `/${at}`, headers, body })).status).toBe(200)
}

beforeAll(async () => {
  const upstream = await startUpstream()
  const folder = await tempDir()
  file = join(folder, 'exchanges.ndjson')
  const posting = []
  for (const [at, one] of cases.entries()) {
    const name = nameOf(one)
    const collector = await startExchangeCollector()
    collectors.set(name, collector)
    posting.push({
      ...{ name, sink: 'http', url: collector.url, connection: connections[at % 2]?.name },
      format: one.format,
      batch: { max_wait_ms: 20, compression: one.compression },
    })
  }
  const mirrors = [
    ...posting,
    { name: 'file', sink: 'file', path: file, max_bytes: 65_536, max_files: 3, batch: { max_items: 7 } },
    { name: 'hole', sink: 'blackhole' },
  ]
  config = {
    collections: [
      { name: 'api', upstreams: [{ url: upstream.url }], mirrors: mirrors.map(({ name }) => name) },
    ],
    connections: connections.map((connection) => ({
      ...connection,
      headers: { 'X-SALT-Token': 'abc', 'x-Second-NAME': 'def' },
    })),
    mirrors,
    capture: { flush_after_ms: 20 },
  }
  gateway = await startTestGateway({ config })
  await send(exchanges)
})

describe.each(cases)('http, format $format, compression $compression', (one) => {
  const name = nameOf(one)

  test('every exchange arrives once, whole, under one leg', async () => {
    const { legs, counts } = await gateway.delivered(exchanges, name)
    expect(legs.map((leg) => leg.name)).toEqual(['exchanges'])
    expect(counts).toEqual({
      captured: exchanges,
      delivered: exchanges,
      waiting: 0,
      dead_lettered: 0,
      dropped: {},
    })
    const items = collectors.get(name)?.items() ?? []
    expect(new Set(items.map(({ id }) => id)).size).toBe(exchanges)
    for (const item of items) {
      expect(item).toMatchObject({
        ...{ collection: 'api', outcome: 'complete', client: { ip: '127.0.0.1' } },
        request: { method: 'POST', body, body_encoding: 'utf8', truncated: false },
        response: { status: 200, body: '{"ok":true}' },
      })
    }
  })

  test('a batch says what it is', async () => {
    await gateway.delivered(exchanges, name)
    const batches = collectors.get(name)?.batches ?? []
    const ids = batches.map(({ headers }) => headers['x-mirrorgate-batch-id'])
    expect(new Set(ids).size).toBe(batches.length)
    for (const { headers, items, text } of batches) {
      expect(headers['x-mirrorgate-items']).toBe(String(items.length))
      expect(headers['content-encoding']).toBe(one.compression === 'none' ? undefined : one.compression)
      expect(headers['content-type']).toBe(
        one.format === 'ndjson' ? 'application/x-ndjson' : 'application/json',
      )
      expect(text.startsWith(one.format === 'ndjson' ? '{' : '[')).toBe(true)
    }
  })

  test('the connection’s header names are written as it says', () => {
    const typed = cases.indexOf(one) % 2 === 0
    const names = collectors.get(name)?.batches[0]?.rawHeaders ?? []
    expect(names.includes('X-SALT-Token')).toBe(typed)
    expect(names.includes('x-Second-NAME')).toBe(typed)
    expect(names.includes('x-salt-token')).toBe(!typed)
    expect(names.includes('x-second-name')).toBe(!typed)
  })
})

test('blackhole: everything counts as delivered', async () => {
  const view = await gateway.delivered(exchanges, 'hole')
  expect(view).toMatchObject({ sink: 'blackhole', counts: { delivered: exchanges } })
})

test('file: whole lines, rotated by size, going on after a restart', async () => {
  await gateway.delivered(exchanges, 'file')
  const before = await filesOf(file)
  expect(before.length).toBeGreaterThan(1)
  const ids = new Set(before.flat().map(({ id }) => id))
  expect([before.flat().length, ids.size]).toEqual([exchanges, exchanges])

  expect(await gateway.stop()).toBe(0)
  gateway = await startTestGateway({ config, folder: gateway.folder })
  await send(2)
  const view = await until(
    async () => {
      const now = await gateway.admin.mirror('file')
      return now.counts.delivered === exchanges + 2 && now
    },
    { what: 'the file goes on' },
  )
  expect(view.counts).toMatchObject({ captured: exchanges + 2, waiting: 0, dropped: {} })
  const after = (await filesOf(file)).flat()
  expect(after).toHaveLength(exchanges + 2)
  for (const id of ids) expect(after.some((item) => item.id === id)).toBe(true)
})
