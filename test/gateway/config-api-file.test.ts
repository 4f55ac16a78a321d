/** The file beside what the API defined: judged as one, at a reload and at a start. */
import { beforeAll, expect, test } from 'vitest'
import { formatProblem, type Problem } from '../../src/config/problems.ts'
import { startCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { ask, saltMirror } from '../support/resources.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const nowhere = 'http://127.0.0.1:9'
const spare = { name: 'spare', base_url: nowhere }

type Section = Record<string, unknown>

/** The file, with a second connection that only the API uses. */
function fileWith(more: { connections?: object[]; mirrors?: object[] } = {}, upstream = nowhere): Section {
  const config = mirrorConfig({ upstream, collector: nowhere })
  const { connections = [spare], mirrors = [] } = more
  return {
    ...config,
    connections: [...(config['connections'] as object[]), ...connections],
    mirrors: [...(config['mirrors'] as object[]), ...mirrors],
  }
}

let gateway: TestGateway

beforeAll(async () => {
  gateway = await startTestGateway({ config: fileWith() })
  const body = saltMirror('by-api', 'spare', { collections: ['orders'] })
  expect((await ask(gateway, 'POST', '/api/mirrors', { body })).status).toBe(201)
})

const [orders] = fileWith()['collections'] as Section[]

/** Files that do not fit what the API defined, and what a person reads. */
const refused: [what: string, config: Section, told: RegExp][] = [
  [
    'drops what the API needs',
    fileWith({ connections: [] }),
    new RegExp(
      '^api:mirrors/by-api connection: must be the name of a connection, got "spare" ' +
        '\\(this was defined by API: change it there, or keep in the file what it needs\\)$',
      'm',
    ),
  ],
  [
    'takes a name of the API',
    fileWith({ mirrors: [{ ...saltMirror('by-api', 'collector'), enabled: false }] }),
    new RegExp(
      'gateway\\.yaml:\\d+:\\d+ mirrors\\[1\\]\\.name: must be unique, got "by-api", ' +
        'and the API has a mirror of this name: delete one of the two$',
      'm',
    ),
  ],
  [
    'names what only the API has, and does not stand by itself',
    { ...fileWith(), collections: [{ ...orders, mirrors: ['by-api'] }] },
    /gateway\.yaml:\d+:\d+ collections\[0\]\.mirrors\[0\]: must be the name of a mirror, got "by-api"/m,
  ],
]

test.each(refused)('a reload refuses a file that %s', async (_what, config, told) => {
  await gateway.rewrite({ config })
  const { status, json } = await ask(gateway, 'POST', '/api/config/reload')
  expect(status).toBe(400)
  expect((json['problems'] as Problem[]).map(formatProblem).join('\n')).toMatch(told)
  expect((await ask(gateway, 'POST', '/api/config/check')).json).toEqual(json)
  expect((await ask(gateway, 'GET', '/api/mirrors/by-api')).json).toMatchObject({ managed_by: 'api' })
  await gateway.rewrite({ config: fileWith() })
})

test('a change by API does not apply what was only written into the file', async () => {
  await gateway.rewrite({ config: { ...fileWith(), environment: 'prod' } })
  const patched = await ask(gateway, 'PATCH', '/api/mirrors/by-api', { body: { timeout_ms: 1500 } })
  expect(patched.status).toBe(200)
  expect((await gateway.admin.status()).environment).toBe('dev')
  expect((await ask(gateway, 'POST', '/api/config/reload')).status).toBe(200)
  expect((await gateway.admin.status()).environment).toBe('prod')
  expect((await ask(gateway, 'GET', '/api/mirrors/by-api')).json).toMatchObject({
    definition: { timeout_ms: 1500 },
  })
})

test('reloads and changes by API in any order all come into force', async () => {
  const calls = Array.from({ length: 12 }, (_, at) =>
    at % 3 === 0
      ? ask(gateway, 'POST', '/api/config/reload')
      : ask(gateway, 'POST', '/api/connections', { body: { ...spare, name: `many-${at}` } }),
  )
  const statuses = (await Promise.all(calls)).map(({ status }) => status)
  expect(statuses).toEqual(statuses.map((_, at) => (at % 3 === 0 ? 200 : 201)))
  const { json } = await ask(gateway, 'GET', '/api/connections')
  expect(json['total']).toBe(10)
})

test('what a deleted mirror has not delivered waits until it is purged, or the mirror is back', async () => {
  const upstream = await startUpstream()
  await gateway.rewrite({ config: fileWith({}, upstream.url) })
  expect((await ask(gateway, 'POST', '/api/config/reload')).status).toBe(200)
  await fetch(`${gateway.url}/kept`)
  const waiting = async () => (await gateway.admin.mirror('by-api')).counts.waiting
  await until(async () => (await waiting()) === 2, { what: 'both items wait' })
  const deleted = await ask(gateway, 'DELETE', '/api/mirrors/by-api')
  expect(deleted.json['warnings']).toEqual([
    '2 items still wait: they stay until DELETE /api/mirrors/by-api/backlog',
  ])
  expect(await gateway.admin.mirror('by-api')).toMatchObject({ managed_by: 'none', counts: { waiting: 2 } })

  const collector = await startCollector()
  const body = { ...spare, name: 'reachable', base_url: collector.url }
  expect((await ask(gateway, 'POST', '/api/connections', { body })).status).toBe(201)
  await ask(gateway, 'POST', '/api/mirrors', { body: saltMirror('by-api', 'reachable') })
  await collector.pairOf('/kept')
  await until(async () => (await waiting()) === 0, { what: 'nothing waits' })
  expect((await ask(gateway, 'DELETE', '/api/mirrors/by-api')).json['warnings']).toEqual([])
  expect((await ask(gateway, 'GET', '/api/mirrors/by-api')).status).toBe(404)
})

test('a connection stays off over changes and restarts; a file that does not fit is refused', async () => {
  await ask(gateway, 'POST', '/api/mirrors', {
    body: saltMirror('by-api', 'spare', { collections: ['orders'] }),
  })
  const body = { ...spare, name: 'switched' }
  const connected = async () => (await ask(gateway, 'GET', '/api/connections/switched')).json['connected']
  await ask(gateway, 'POST', '/api/connections', { body })
  await ask(gateway, 'PATCH', '/api/mirrors/by-api', { body: { connection: 'switched' } })
  await ask(gateway, 'POST', '/api/connections/switched/disconnect')
  expect((await ask(gateway, 'GET', '/api/connections/switched')).json).toMatchObject({
    ...{ connected: false, used_by: ['by-api'], managed_by: 'api' },
  })
  await ask(gateway, 'PATCH', '/api/connections/switched', { body: { case_sensitive_headers: true } })
  expect((await gateway.admin.mirror('by-api')).state).toBe('paused')
  expect(await gateway.stop()).toBe(0)
  gateway = await startTestGateway({ config: fileWith(), folder: gateway.folder })
  expect(await connected()).toBe(false)
  expect((await gateway.admin.mirror('by-api')).state).toBe('paused')
  await ask(gateway, 'PATCH', '/api/mirrors/by-api', { body: { connection: 'spare' } })
  await ask(gateway, 'DELETE', '/api/connections/switched')
  await ask(gateway, 'POST', '/api/connections', { body })
  expect(await connected()).toBe(true)

  // A start judges as a reload does, with the exit code of a wrong configuration.
  await gateway.stop()
  for (const [, config, told] of refused.slice(0, 2)) {
    const start = startTestGateway({ config, folder: gateway.folder })
    await expect(start).rejects.toMatchObject({ exitCode: 1, message: expect.stringMatching(told) })
  }
})
