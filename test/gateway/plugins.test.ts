/** Plugins outside the tree get real traffic: TypeScript beside the file, JavaScript as a package. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Problem } from '../../src/config/problems.ts'
import { Client } from '../support/client.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { printed } from '../support/plugins-readme.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

/** A sink and a provider in plain JavaScript, without the builders where there is no need of them. */
const audit = `
import { appendFile } from 'node:fs/promises'
import { OutcomeError } from 'mirrorgate/plugin'

const text = (description) => ({ type: 'string', minLength: 1, description })

const sink = {
  name: 'audit',
  summary: 'Appends exchanges to a file.',
  options: {
    type: 'object',
    properties: { path: text('Where.'), stamp: { ...text('Written before each.'), secret: true } },
    required: ['path', 'stamp'],
    additionalProperties: false,
  },
  formats: ['exchange'],
  urls: [],
  limits: { batch_bytes: 100_000, batch_items: 10, item_bytes: 100_000 },
  rule: ({ path }) => (path.endsWith('.log') ? null : { key: 'path', rule: 'must end with .log' }),
  legs: ({ path }) => [{ name: 'lines', half: 'exchange', url: path }],
  create: ({ options }) => ({
    async write({ ndjson, items }) {
      if (ndjson.includes('poison')) throw new OutcomeError('rejected', 'holds poison, said ' + options.stamp)
      await appendFile(options.path, options.stamp + ' ' + items + '\\n' + ndjson)
    },
    close() {},
  }),
}

const provider = {
  name: 'vault-of-ours',
  summary: 'Knows everything.',
  options: { type: 'object', properties: {}, additionalProperties: false },
  secretOptions: [],
  workato: () => ({ rule: 'has no form' }),
  create: () => ({ read: async ({ path }) => 'stamp-of-' + path, close() {} }),
}

export default [sink, provider]
`

let gateway: TestGateway
let acme: HttpUpstream
let upstream: HttpUpstream
let lines: string
let accepted: string

beforeAll(async () => {
  upstream = await startUpstream()
  acme = await startUpstream()
  const folder = await tempDir(undefined, true)
  const packed = join(folder, 'node_modules/acme-audit')
  await mkdir(packed, { recursive: true })
  const manifest = { name: 'acme-audit', type: 'module', exports: { '.': { import: './index.js' } } }
  await writeFile(join(packed, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(packed, 'index.js'), audit)
  await writeFile(join(folder, 'acme.ts'), printed.sink)
  lines = join(folder, 'lines.log')

  const config = parse(printed.config)
  const [collection, connection, mirror] = [config.collections, config.connections, config.mirrors].map(
    ([one]) => one,
  )
  collection.upstreams = [{ url: upstream.url }]
  collection.mirrors.push('lines')
  connection.base_url = acme.url
  const batch = { max_wait_ms: 20 }
  mirror.batch = { ...mirror.batch, ...batch }
  config.mirrors.push({ name: 'lines', sink: 'audit', path: lines, stamp: '${secret:ours:lines}', batch })
  config.secrets = { providers: [{ name: 'ours', provider: 'vault-of-ours' }] }
  config.plugins.push('acme-audit')
  config.capture = { flush_after_ms: 20 }
  gateway = await startTestGateway({ config, folder, shared: true })
  accepted = await readFile(gateway.configFile, 'utf8')
})

const client = () => new Client(gateway.port)

async function problemsOf(method: string, path: string, body?: unknown): Promise<Partial<Problem>[]> {
  const { status, text } = await gateway.admin.call(method, path, body)
  expect({ status, text }).toMatchObject({ status: 400 })
  return JSON.parse(text).problems
}

test('both get what passes the gateway, with secrets of a provider that is not built in', async () => {
  for (let at = 0; at < 20; at += 1) await client().send({ path: `/orders/${at}` })
  await gateway.delivered(20, 'audit')
  await gateway.delivered(20, 'lines')
  const events = acme.received.flatMap(({ body }) => JSON.parse(String(body)).events)
  const wanted = Array.from({ length: 20 }, (_, at) => `/orders/${at}`).sort()
  expect(events.map(({ request }) => request.path).sort()).toEqual(wanted)
  expect(acme.received[0]?.headers).toMatchObject({ authorization: 'Bearer test' })
  expect(JSON.parse(String(acme.received[0]?.body)).index).toBe('payments')

  const written = (await readFile(lines, 'utf8')).trim().split('\n')
  const stamps = written.filter((line) => line.startsWith('stamp-of-lines '))
  // Its limit of ten items a batch holds, though the file sets none.
  expect(stamps.every((line) => Number(line.split(' ')[1]) <= 10)).toBe(true)
  const items = written.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  expect(items.map(({ request }) => request.path).sort()).toEqual(wanted)
})

test('what it throws on purpose decides what becomes of an item', async () => {
  await client().send({ path: '/poison' })
  const view = await until(
    async () => {
      const now = await gateway.admin.mirror('lines')
      return now.counts.dead_lettered === 1 && now
    },
    { what: 'the poisoned item is a dead letter' },
  )
  // The secret that it quotes is covered.
  expect(view.legs[0]?.last_error).toBe('holds poison, said ***')
})

test('the API validates, describes and covers its options like those of any sink', async () => {
  const mirror = {
    name: 'more',
    sink: 'audit',
    path: lines,
    stamp: 'hunter2-in-clear',
    collections: ['orders'],
  }
  const problems = await problemsOf('POST', '/api/mirrors', { ...mirror, path: './x.txt', stmp: 1 })
  expect(problems.map(({ path, message }) => `${path}: ${message}`).sort()).toEqual([
    'path: must end with .log, got "./x.txt"',
    'stmp: is not a known key, did you mean `stamp`?',
  ])
  const made = await gateway.admin.call('POST', '/api/mirrors', mirror)
  expect(made.status).toBe(201)
  expect(made.text).not.toContain('hunter2')
  const document = await gateway.admin.json<{ paths: object }>('GET', '/api/openapi.json')
  expect(JSON.stringify(document.paths)).toContain(
    '"stamp":{"type":"string","minLength":1,"description":"Written before each."}',
  )
  expect((await gateway.admin.call('DELETE', '/api/mirrors/more')).status).toBe(200)
})

test('no text that the API is given loads a plugin', async () => {
  const marker = join(gateway.folder, 'loaded')
  const evil = join(gateway.folder, 'evil.js')
  await writeFile(
    evil,
    `import { writeFileSync } from 'node:fs'\nwriteFileSync(${JSON.stringify(marker)}, '')\n`,
  )
  const yaml = accepted.replace('plugins:', `plugins:\n  - ${evil}`)
  const started = '"./acme.ts", "acme-audit"'
  const message = `must stay ${started} while the gateway runs (restart it to change them), got`
  expect(await problemsOf('POST', '/api/config/check', { yaml })).toEqual([
    expect.objectContaining({ path: 'plugins', message: `${message} ${JSON.stringify(evil)}, ${started}` }),
  ])
  await gateway.rewrite({ yaml })
  expect(await problemsOf('POST', '/api/config/reload')).toMatchObject([{ path: 'plugins' }])
  await gateway.rewrite({ yaml: accepted.replace('plugins:', 'plugins: []\nold:') })
  expect(await problemsOf('POST', '/api/config/reload')).toContainEqual(
    expect.objectContaining({ path: 'plugins', message: `${message} an empty list` }),
  )
  expect((await gateway.admin.call('POST', '/api/plugins', [evil])).status).toBe(404)
  await expect(readFile(marker)).rejects.toThrow('ENOENT')
})

test('a reload goes on with the same plugins, and refuses one whose file has changed', async () => {
  await gateway.rewrite({ yaml: accepted.replace('index: payments', 'index: refunds') })
  expect((await gateway.admin.call('POST', '/api/config/reload')).status).toBe(200)
  const before = acme.received.length
  await client().send({ path: '/after' })
  const received = await until(() => acme.received[before], { what: 'the exchange arrives' })
  expect(JSON.parse(String(received.body)).index).toBe('refunds')

  await writeFile(join(gateway.folder, 'acme.ts'), `${printed.sink}// changed\n`)
  const rule = 'must stay as it was when the gateway started (restart it to load another one)'
  const problem = expect.objectContaining({ path: 'plugins[0]', message: `${rule}, got "./acme.ts"` })
  expect(await problemsOf('POST', '/api/config/reload')).toEqual([problem])
  expect(await problemsOf('POST', '/api/config/check')).toEqual([problem])
  const connection = { name: 'another' }
  expect(await problemsOf('POST', '/api/connections', connection)).toEqual([problem])
  expect((await client().send({ path: '/still' })).status).toBe(200)
})
