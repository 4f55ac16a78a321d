/** Secrets in definitions by API: sent to the collector, found nowhere else, at rest or in answers. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { beforeAll, expect, test } from 'vitest'
import { providers, sinks } from '../../plugins/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { ask, saltMirror } from '../support/resources.ts'
import { startUpstream } from '../support/upstream.ts'

const secret = 'api-secret-canary-5d1f'
const other = 'other-secret-canary-77aa'
const queryKey = 'query-canary-9c3e'
const inFile = 'file-secret-canary-41b0'
const fallback = 'fallback-canary-e6d2'
const canaries = [secret, other, queryKey, inFile, fallback]

let gateway: TestGateway
let collector: TestCollector
let config: Record<string, unknown>

async function everyFile(folder: string): Promise<[path: string, text: string][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(files.map(async (file) => [file, await readFile(file, 'latin1')] as [string, string]))
}

beforeAll(async () => {
  const upstream = await startUpstream()
  collector = await startCollector()
  config = mirrorConfig({
    ...{ upstream: upstream.url, collector: collector.url },
    connection: {
      headers: { Authorization: `Bearer ${inFile}`, 'X-Key': `\${env:NO_SUCH_KEY:-${fallback}}` },
    },
  })
  gateway = await startTestGateway({ config })
  const headers = { Authorization: `Bearer ${secret}`, 'X-Reference': 'Bearer ${env:HOME}' }
  const connection = { name: 'sealed', base_url: collector.url, headers }
  expect((await ask(gateway, 'POST', '/api/connections', { body: connection })).status).toBe(201)
  for (const mirror of [
    saltMirror('sealed', 'sealed', { collections: ['orders'] }),
    saltMirror('keyed', 'sealed', { enabled: false, request_url: `/requests?key=${queryKey}` }),
  ]) {
    const made = await ask(gateway, 'POST', '/api/mirrors', { body: mirror })
    expect(made.status, made.text).toBe(201)
  }
})

test('answers cover them, and show references', async () => {
  const { json } = await ask(gateway, 'GET', '/api/connections/sealed')
  const shown = { Authorization: '[redacted]', 'X-Reference': 'Bearer ${env:HOME}' }
  expect(json).toMatchObject({ headers: shown, definition: { headers: shown } })
  const mirror = await ask(gateway, 'GET', '/api/mirrors/keyed')
  expect(mirror.json['definition']).toMatchObject({ request_url: '/requests?[redacted]' })
  const ofFile = await ask(gateway, 'GET', '/api/connections/collector')
  expect(ofFile.json['headers']).toEqual({
    Authorization: '[redacted]',
    'X-Key': '${env:NO_SUCH_KEY:-[redacted]}',
  })
})

test('what was covered and is sent back stands for what is stored', async () => {
  const path = '/api/connections/sealed'
  const { definition } = (await ask(gateway, 'GET', path)).json as { definition: Record<string, unknown> }
  const put = await ask(gateway, 'PUT', path, { body: { ...definition, case_sensitive_headers: true } })
  expect(put.json['changes']).toEqual([{ path: 'case_sensitive_headers', to: true }])
  await fetch(`${gateway.url}/kept`)
  await gateway.delivered(1, 'sealed')
  const sent = collector.deliveries.find(({ headers }) => headers['x-reference'] !== undefined)
  expect(sent?.headers['authorization']).toBe(`Bearer ${secret}`)

  const wrong = await ask(gateway, 'PATCH', path, { body: { headers: { 'X-New': '[redacted]' } } })
  expect(wrong.status).toBe(400)
  expect(wrong.json['errors']).toEqual({
    'headers.X-New': ['must be a value, got a covered one that stands for nothing'],
  })
  const created = await ask(gateway, 'POST', '/api/connections', { body: { ...definition, name: 'copy' } })
  expect(created.status).toBe(400)
})

test('a new value replaces the stored one for the next delivery', async () => {
  const body = { headers: { Authorization: `Bearer ${other}` } }
  const patched = await ask(gateway, 'PATCH', '/api/connections/sealed', { body })
  expect(patched.json['changes']).toEqual([
    { path: 'headers.Authorization', from: '[redacted]', to: '[redacted]' },
  ])
  const before = collector.deliveries.length
  await fetch(`${gateway.url}/changed`)
  await collector.pairOf('/changed')
  await gateway.delivered(2, 'sealed')
  const sent = collector.deliveries.slice(before).map(({ headers }) => headers['authorization'])
  expect(sent).toContain(`Bearer ${other}`)
  expect(sent).not.toContain(`Bearer ${secret}`)
})

test('the export holds references in their place, and loads again', async () => {
  const { status, text } = await ask(gateway, 'GET', '/api/config/export')
  expect(status).toBe(200)
  for (const canary of canaries) expect(text).not.toContain(canary)
  expect(text).toMatch(
    /Authorization: \$\{env:MIRRORGATE_CONNECTIONS_SEALED_HEADERS_AUTHORIZATION\} # the value is/,
  )
  expect(text).toContain('X-Reference: Bearer ${env:HOME}')
  const names = [...text.matchAll(/\$\{env:(\w+)\}/g)].map(([, name = '']) => name)
  const env = Object.fromEntries(names.map((name) => [name, 'value-of-another-place']))
  const loaded = await loadConfig({
    file: 'gateway.yaml',
    text,
    env,
    sinks,
    providers,
    generation: 1,
    threads: 1,
  })
  expect(loaded.ok ? [] : loaded.problems).toEqual([])
  if (!loaded.ok) return
  expect(loaded.config.mirrors.map(({ name }) => name)).toEqual(['salt', 'sealed', 'keyed'])
  expect(loaded.config.collections[0]?.mirrors).toEqual(['salt', 'sealed'])
  const tree = parse(text) as { mirrors: { timeout_ms: number; spool: { max_bytes: number } }[] }
  expect(tree.mirrors[1]).toMatchObject({ timeout_ms: 2000, spool: { max_bytes: 1_073_741_824 } })
})

test('a restart opens them; nothing at rest, in a log, an answer or a metric ever held one', async () => {
  expect(await gateway.stop()).toBe(0)
  const again = await startTestGateway({ config, folder: gateway.folder })
  const before = collector.deliveries.length
  await fetch(`${again.url}/again`)
  await collector.pairOf('/again')
  await again.delivered(3, 'sealed')
  const sent = collector.deliveries.slice(before).map(({ headers }) => headers['authorization'])
  expect(sent).toContain(`Bearer ${other}`)

  const paths = ['connections', 'mirrors', 'collections', 'status', 'activity_logs', 'config/export']
  const answers = await Promise.all(paths.map((path) => ask(again, 'GET', `/api/${path}`)))
  const metrics = await ask(again, 'GET', '/metrics')
  const places: [string, string][] = [
    ...answers.map(({ text }, at): [string, string] => [paths[at] ?? '', text]),
    ['metrics', metrics.text],
    ['log', gateway.process.output() + again.process.output()],
    ...(await everyFile(gateway.dataDir)),
  ]
  expect(places.length).toBeGreaterThan(10)
  for (const [place, text] of places) {
    for (const canary of canaries) expect(text.includes(canary), `${canary} in ${place}`).toBe(false)
  }

  expect(await again.stop()).toBe(0)
  await rm(join(gateway.dataDir, 'seal-key'))
  await expect(startTestGateway({ config, folder: gateway.folder })).rejects.toThrow(
    'the secrets of api:mirrors/keyed cannot be opened with the seal key in use',
  )
})
