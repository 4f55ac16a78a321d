/** How often a client may ask, by group of routes, and what it is told when it asked too often. */
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { adminConfig, FakeCommands, startTestAdmin, type TestAdmin, type TestRole } from '../support/admin.ts'
import { bearer, makeClient } from '../support/clients.ts'

function limited(environment: number, others: number): FakeCommands {
  const commands = new FakeCommands()
  const rates = { environment_per_minute: environment, default_per_minute: others }
  commands.adminConfig = adminConfig({ rate_limits: rates })
  return commands
}

async function statuses({ ask }: TestAdmin, path: string, times: number, as: TestRole = 'viewer') {
  const all: number[] = []
  for (let at = 0; at < times; at++) all.push((await ask('GET', path, { as })).status)
  return all
}

test('one request too many is 429, says when to come back, and counts over the whole group', async () => {
  const admin = await startTestAdmin(limited(3, 0))
  expect(await statuses(admin, '/api/activity_logs', 2)).toEqual([200, 200])
  const last = await admin.ask('GET', '/api/tags', { as: 'viewer' })
  expect(last.status).toBe(200)
  expect(last.headers.get('x-ratelimit-limit')).toBe('3')
  expect(last.headers.get('x-ratelimit-remaining')).toBe('0')
  for (const path of [
    '/api/activity_logs',
    '/api/activity_logs/1',
    '/api/activity_logs/stats',
    '/api/tags',
  ]) {
    const { status, headers, json } = await admin.ask('GET', path, { as: 'viewer' })
    expect([status, json]).toEqual([
      429,
      { message: 'a client may make at most 3 requests per minute here, got one more', errors: {} },
    ])
    const seconds = Number(headers.get('retry-after'))
    expect(seconds).toBeGreaterThan(0)
    expect(seconds).toBeLessThanOrEqual(60)
  }
})

test('each client has its own count, also when two share an address', async () => {
  const admin = await startTestAdmin(limited(2, 0))
  const { token } = await makeClient(admin, 'siem')
  expect(await statuses(admin, '/api/tags', 3)).toEqual([200, 200, 429])
  expect(await statuses(admin, '/api/tags', 2, 'operator')).toEqual([200, 200])
  expect((await admin.ask('GET', '/api/tags', bearer(token))).status).toBe(200)
})

test('other routes have a limit of their own, and none unless it is set', async () => {
  const free = await startTestAdmin(limited(1, 0))
  expect(await statuses(free, '/api/tags', 2)).toEqual([200, 429])
  expect(new Set(await statuses(free, '/api/status', 100))).toEqual(new Set([200]))
  const both = await startTestAdmin(limited(0, 2))
  expect(await statuses(both, '/api/status', 3)).toEqual([200, 200, 429])
  expect(new Set(await statuses(both, '/api/tags', 100))).toEqual(new Set([200]))
  expect(new Set(await statuses(both, '/healthz', 5))).toEqual(new Set([200]))
})

test('a reload of the limits holds from the next request on', async () => {
  const admin = await startTestAdmin(limited(1, 0))
  expect(await statuses(admin, '/api/tags', 2)).toEqual([200, 429])
  admin.commands.adminConfig = limited(5, 0).adminConfig
  expect(await statuses(admin, '/api/tags', 4)).toEqual([200, 200, 200, 429])
})

test('what is refused for its role counts; what shows no token is nobody’s', async () => {
  const admin = await startTestAdmin(limited(2, 0))
  for (let at = 0; at < 5; at++) expect((await admin.ask('GET', '/api/tags', { as: null })).status).toBe(401)
  const post = () => admin.ask('POST', '/api/tags', { as: 'viewer' })
  expect([(await post()).status, (await post()).status, (await post()).status]).toEqual([403, 403, 429])
})

test('the documented limit is the default: 60 a minute for the environment endpoints', async () => {
  const text = 'collections: [{ name: orders, upstreams: [{ url: "http://127.0.0.1:3000" }] }]'
  const loaded = await loadConfig({ file: 'gateway.yaml', text, sinks: [], generation: 1 })
  expect(loaded.ok && loaded.config.admin.rate_limits).toEqual({
    environment_per_minute: 60,
    default_per_minute: 0,
  })
})
