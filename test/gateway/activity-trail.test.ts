/** What people and the gateway itself do is in the activity log: once, with who did it, without secrets. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { startBed } from '../faults/bed.ts'
import { type Entry, entriesCome, entriesOf } from '../support/activity.ts'
import { faults } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const gatewayItself = { id: 0, name: 'mirrorgate', email: 'ops@example.com' }
const eventsOf = (entries: readonly Entry[]) => entries.map(({ event_type }) => event_type)
/** Incidents come beside what happened, in a transaction of their own: test/notify has them. */
const withoutIncidents = (entries: readonly Entry[]) =>
  entries.filter(({ event_type }) => !event_type.startsWith('incident_'))
const post = (gateway: TestGateway, path: string) => gateway.admin.json('POST', path)

const mirror = {
  name: 'salt',
  sink: 'salt',
  connection: 'collector',
  request_url: '/requests',
  response_url: '/responses',
  batch: { max_wait_ms: 50 },
  retry: { attempts: 1, min_wait_ms: 50, max_wait_ms: 100, probe_ms: 300 },
}

test('what people do to a running gateway is told once, with who did it', async () => {
  const { gateway, send, sees } = await startBed()
  await send(2)
  await sees('two exchanges are delivered', ({ counts }) => counts.delivered === 4)
  // What is so already is no change.
  for (const verb of ['pause', 'pause', 'resume', 'resume', 'replay', 'test'])
    await post(gateway, `/api/mirrors/salt/${verb}`)
  for (const verb of ['disconnect', 'disconnect']) await post(gateway, `/api/connections/collector/${verb}`)
  await send(3)
  await sees('three exchanges wait on disk', ({ legs }) => legs.every((leg) => leg.durable_items === 3))
  await gateway.admin.json('DELETE', '/api/mirrors/salt/backlog')
  await post(gateway, '/api/connections/collector/connect')
  for (const verb of ['pause', 'pause', 'resume']) await post(gateway, `/api/capture/${verb}`)
  await gateway.admin.json('PUT', '/api/logging', { level: 'warn' })

  const entries = withoutIncidents(await entriesOf(gateway))
  expect(eventsOf(entries)).toEqual([
    'configuration_loaded',
    'gateway_started',
    'user_login',
    'mirror_paused',
    'mirror_resumed',
    'mirror_replayed',
    'mirror_tested',
    'connection_disconnected',
    'mirror_purged',
    'connection_connected',
    'capture_paused',
    'capture_resumed',
    'log_level_changed',
  ])
  for (const entry of entries.slice(2)) {
    expect(entry).toMatchObject({
      workspace: { id: 1, name: 'mirrorgate', email: 'ops@example.com', environment: 'dev' },
      user: { id: expect.any(Number), name: 'admin-token', email: 'ops@example.com' },
      details: { request: { ip_address: '127.0.0.1', user_agent: '' } },
    })
    expect(entry.user.id).toBeGreaterThan(0)
  }
  const [loaded, started, login, paused, , , tested, disconnected, purged] = entries
  expect(loaded).toMatchObject({
    user: gatewayItself,
    details: { collections: 1, connections: 1, mirrors: 1 },
  })
  expect(started).toMatchObject({ user: gatewayItself, resource: { type: 'Gateway' } })
  expect(login).toMatchObject({
    details: { activity: 'token_login' },
    resource: { id: 1, type: 'Workspace' },
  })
  expect(paused?.resource).toEqual({ id: null, name: 'salt', type: 'Mirror' })
  expect(tested?.details['legs']).toMatchObject([{ name: 'requests', ok: true, status: 200 }, { ok: true }])
  expect(disconnected?.resource).toEqual({ id: null, name: 'collector', type: 'Connection' })
  expect(purged?.details['items']).toBe(6)
  expect(entries.at(-1)?.details).toMatchObject({ from: 'debug', to: 'warn' })
})

test('an outage is told once per mirror and connection, also over a kill, and its end once', async () => {
  const mirrors = [mirror, { ...mirror, name: 'second' }]
  const names = ['salt', 'second']
  const bed = await startBed({ collection: { mirrors: names }, rest: { mirrors } })
  const parked = async () => {
    const views = await Promise.all(names.map((name) => bed.gateway.admin.mirror(name)))
    return views.every(({ legs }) => legs.every(({ state }) => state === 'parked'))
  }
  bed.collector.fault = faults.status(401)
  await bed.send(3)
  await until(parked, { what: 'all four legs are parked' })
  const told = await entriesCome(bed.gateway, 'mirror_parked', 2)
  expect(told.map(({ resource }) => resource.name).sort()).toEqual(names)
  expect(told[0]).toMatchObject({ user: gatewayItself, details: { reason: 'unauthorized', status: 401 } })
  expect(await entriesCome(bed.gateway, 'connection_lost', 1)).toMatchObject([
    { user: gatewayItself, resource: { name: 'collector', type: 'Connection' } },
  ])

  await bed.gateway.kill9()
  await bed.restart()
  await until(parked, { what: 'all four legs are parked again' })
  bed.collector.fault = null
  for (const name of names) {
    await bed.gateway.admin.replay(name)
    await bed.gateway.delivered(3, name)
  }
  await entriesCome(bed.gateway, 'mirror_recovered', 2)
  await entriesCome(bed.gateway, 'connection_restored', 1)
  await entriesCome(bed.gateway, 'mirror_parked', 2)
  await entriesCome(bed.gateway, 'connection_lost', 1)
  await entriesCome(bed.gateway, 'unclean_shutdown', 1)
})

test('what people do with refused items is told with their count, and losses by the minute', async () => {
  const bed = await startBed({ mirror: { spool: { retention_ms: 1000 } } })
  const { gateway, collector } = bed
  collector.fault = faults.status(400)
  await bed.send(4)
  await bed.sees('all are dead letters', ({ counts }) => counts.dead_lettered === 8)
  await post(gateway, '/api/mirrors/salt/dead-letters/replay')
  await bed.sees('they are again', ({ counts }) => counts.dead_lettered === 8 && counts.waiting === 0)
  await gateway.admin.json('DELETE', '/api/mirrors/salt/dead-letters')
  expect(await entriesOf(gateway, 'mirror_dead_letters_replayed')).toMatchObject([{ details: { items: 8 } }])
  expect(await entriesOf(gateway, 'mirror_dead_letters_deleted')).toMatchObject([{ details: { items: 8 } }])

  await gateway.admin.pause('salt')
  for (const sent of [2, 4]) {
    await bed.send(2)
    await bed.sees(`${sent} have expired`, ({ counts }) => counts.dropped.expired === 2 * sent)
  }
  // The second loss is told with its minute, or at the end.
  const told = await entriesCome(gateway, 'spool_dropped', 2)
  for (const entry of told)
    expect(entry).toMatchObject({
      user: gatewayItself,
      details: { reason: 'expired' },
      resource: { name: 'salt' },
    })
  await gateway.stop()
  await bed.restart()
  const all = await entriesCome(bed.gateway, 'spool_dropped', 4)
  for (const leg of ['requests', 'responses']) {
    const own = all.filter(({ details }) => details['leg'] === leg)
    expect(own.map(({ details }) => details['items'])).toEqual([2, 2])
  }
  const [stopped] = await entriesOf(bed.gateway, 'gateway_stopped')
  expect(stopped).toMatchObject({ user: gatewayItself, details: { clean: true } })
})

const canaries = Array.from({ length: 7 }, (_, at) => `canary-${at}-5b1f0c`)

/** Differs from number to number, in what may be a secret and in what may not. */
function secretConfig(at: number): Record<string, unknown> {
  const [token, header, name, path, query, fallback, host] = canaries.map((canary) => `${canary}-${at}`)
  const salt = mirrorConfig({
    upstream: 'http://127.0.0.1:1',
    collector: `http://127.0.0.1:1/${path}`,
    connection: { headers: { Authorization: `Bearer ${header}`, 'X-Name': name } },
    mirror: {
      request_url: `/requests?key=${query}`,
      batch: { max_items: 10 + at },
      match: { paths: [`/\${env:NONE:-${fallback}}`] },
    },
    collection: { hosts: [`\${env:HOST:-${host}}.example.com`] },
  })
  const clients = [
    { name: 'ops', role: 'admin', token: 'ops-admin-token' },
    { name: 'new', role: 'viewer', token },
  ]
  return { ...salt, admin: { clients } }
}

test('a reload is told with what it changed and by whom, never with a value that may be secret', async () => {
  const gateway = await startTestGateway({ config: secretConfig(1) })
  const next = secretConfig(2)
  const mirrors = [...(next['mirrors'] as object[]), { name: 'b', sink: 'blackhole' }]
  await gateway.rewrite({ config: { ...next, mirrors } })
  process.kill(gateway.pid, 'SIGHUP')
  const [changed] = await entriesCome(gateway, 'configuration_changed', 1)
  expect(changed).toMatchObject({
    user: gatewayItself,
    details: { activity: 'sighup', changes_total: 10 },
    resource: { type: 'Configuration' },
  })
  const changes = changed?.details['changes'] as { path: string; from?: unknown; to?: unknown }[]
  const hidden = { from: '***', to: '***' }
  const origin = { from: 'http://127.0.0.1:1', to: 'http://127.0.0.1:1' }
  expect(Object.fromEntries(changes.map(({ path, ...values }) => [path, values]))).toEqual({
    'admin.clients[new].token': hidden,
    'collections[orders].hosts': { from: ['***'], to: ['***'] },
    'connections[collector].base_url': origin,
    'connections[collector].headers.Authorization': hidden,
    'connections[collector].headers.X-Name': hidden,
    'mirrors[b]': { to: true },
    'mirrors[salt].batch.max_items': { from: 11, to: 12 },
    'mirrors[salt].match.paths': { from: ['***'], to: ['***'] },
    'mirrors[salt].request_url': origin,
    'mirrors[salt].response_url': origin,
  })
  const entries = await entriesOf(gateway)
  expect(eventsOf(withoutIncidents(entries)).slice(-4)).toEqual([
    'collection_updated',
    'connection_updated',
    'mirror_updated',
    'mirror_created',
  ])
  const all = JSON.stringify(entries)
  for (const canary of canaries) expect(all).not.toContain(canary)

  // By whom, also when it is refused or changes nothing.
  await gateway.rewrite({ config: { ...next, mirrors } })
  const reload = async () => (await gateway.admin.call('POST', '/api/config/reload')).status
  expect(await reload()).toBe(200)
  expect(await entriesOf(gateway, 'configuration_loaded')).toMatchObject([
    { user: gatewayItself },
    { user: { name: 'ops' } },
  ])
  const { admin } = next
  const books = { name: 'books', upstreams: [{ url: 'http://127.0.0.1:1' }] }
  await gateway.rewrite({ config: { admin, collections: [books] } })
  expect(await reload()).toBe(200)
  expect(eventsOf(withoutIncidents(await entriesOf(gateway))).slice(-6)).toEqual([
    'configuration_changed',
    'collection_deleted',
    'collection_created',
    'connection_deleted',
    'mirror_deleted',
    'mirror_deleted',
  ])
  await gateway.rewrite({ config: { admin, collections: [{ ...books, upstreams: [] }] } })
  expect(await reload()).toBe(400)
  expect(await entriesOf(gateway, 'configuration_rejected')).toMatchObject([
    {
      user: { name: 'ops' },
      details: { problems_total: 1, problems: [{ path: 'collections[0].upstreams' }] },
    },
  ])
})

/** A request with any token, from a client that says what it is. */
async function knock({ adminPort }: TestGateway, token: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/api/status`, {
    headers: { authorization: `Bearer ${token}`, 'user-agent': 'knocker/1.0' },
  })
  await response.arrayBuffer()
  return response.status
}

test('sign-ins, failed ones and a locked address are told, few times', async () => {
  const clients = [
    { name: 'ops', role: 'admin', token: 'ops-admin-token' },
    { name: 'late', role: 'viewer', token: 'late-token' },
    { name: 'auditor', role: 'viewer', token: 'auditor-token', environment: 'prod' },
  ]
  const config = {
    collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:1' }] }],
    admin: { clients },
  }
  const gateway = await startTestGateway({ config })
  for (let at = 0; at < 3; at += 1) expect(await knock(gateway, 'ops-admin-token')).toBe(200)
  const request = { ip_address: '127.0.0.1', user_agent: 'knocker/1.0' }
  expect(await entriesCome(gateway, 'user_login', 1)).toMatchObject([
    { user: { name: 'ops' }, details: { request, activity: 'token_login' }, resource: { type: 'Workspace' } },
  ])

  const guess = 'guess-canary-77d1'
  expect(await knock(gateway, guess)).toBe(401)
  const [failed] = await entriesCome(gateway, 'user_login_failed', 1)
  expect(failed).toMatchObject({
    user: gatewayItself,
    details: { request, activity: 'token_login', count: 1 },
  })
  for (let at = 1; at < limits.sign_in_failures_per_minute; at += 1)
    expect(await knock(gateway, guess)).toBe(401)
  expect(await knock(gateway, guess)).toBe(429)

  // What was counted since is told at the end at the latest.
  await gateway.stop()
  const after = await startTestGateway({ config, folder: gateway.folder })
  const told = await entriesCome(after, 'user_login_failed', 2)
  expect(told[1]?.details['count']).toBe(limits.sign_in_failures_per_minute)
  expect(await entriesOf(after, 'client_locked_out')).toMatchObject([
    { user: gatewayItself, details: { request } },
  ])
  expect(JSON.stringify(await entriesOf(after))).not.toContain(guess)
  // A client that goes on where it was before a restart did not sign in anew; one that was away did.
  expect(await knock(after, 'ops-admin-token')).toBe(200)
  expect(await knock(after, 'late-token')).toBe(200)
  const logins = await entriesCome(after, 'user_login', 2)
  expect(logins.map(({ user }) => user.name).sort()).toEqual(['late', 'ops'])
  // Each client's sign-in is in the log of its own environment.
  expect(await knock(after, 'auditor-token')).toBe(200)
  expect(eventsOf(await entriesOf(after))).not.toContain('auditor')
  const own = await until(
    async () => {
      const response = await fetch(`http://127.0.0.1:${after.adminPort}/api/activity_logs`, {
        headers: { authorization: 'Bearer auditor-token' },
      })
      const { data } = (await response.json()) as { data: Entry[] }
      return data.length > 0 && data
    },
    { what: 'the auditor reads of its own sign-in' },
  )
  expect(own).toMatchObject([
    { event_type: 'user_login', user: { name: 'auditor' }, workspace: { environment: 'prod' } },
  ])
})
