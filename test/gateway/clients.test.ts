/** Clients made by API: created, changed, rotated, deleted, and what is never shown or lost. */
import { describe, expect, test } from 'vitest'
import { ClientRegistry } from '../../src/admin/client-registry.ts'
import { limits } from '../../src/contract/limits.ts'
import { StorageFullError } from '../../src/contract/errors.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { adminConfig, openStore, startTestAdmin, tokens } from '../support/admin.ts'
import { bearer, entriesOf, makeClient, send, statusOf } from '../support/clients.ts'
import { tempDir } from '../support/files.ts'
import { until } from '../support/wait.ts'

test('a new client gets a token that is shown once, and works at once for its role', async () => {
  const admin = await startTestAdmin()
  const made = await send(admin, 'POST', '/api/clients', { name: 'siem', role: 'operator' })
  expect(made.status).toBe(201)
  const { token, ...facts } = made.json as { token: string }
  expect(token).toMatch(/^mg_[\w-]{43}$/)
  expect(facts).toEqual({
    ...{ id: 4, name: 'siem', role: 'operator', environment: 'dev', managed_by: 'api' },
    token_prefix: token.slice(0, 7),
    created_at: expect.any(String),
    created_by: 'admin',
    ...{ rotated_at: null, overlap_until: null, expires_at: null, last_used_at: null },
  })
  expect(await statusOf(admin, token)).toBe(200)
  expect((await send(admin, 'POST', '/api/mirrors/salt/pause', undefined, token)).status).toBe(200)
  expect((await send(admin, 'POST', '/api/clients', { name: 'x', role: 'admin' }, token)).status).toBe(403)
  const one = await admin.ask('GET', '/api/clients/4')
  expect(one.json).toEqual({ ...facts, last_used_at: expect.any(String) })
  const all = await admin.ask('GET', '/api/clients', { as: 'viewer' })
  for (const { text } of [one, all]) expect(text).not.toContain(token.slice(7))
})

test('the list holds those of the file and those of the API, each under its own number', async () => {
  const admin = await startTestAdmin()
  await makeClient(admin, 'siem', { environment: 'prod' })
  const { json } = await admin.ask('GET', '/api/clients')
  const data = json.data as { id: number; name: string }[]
  expect(data.map(({ id, name }) => [id, name])).toEqual([
    [1, 'viewer'],
    [2, 'operator'],
    [3, 'admin'],
    [4, 'siem'],
  ])
  expect(data[0]).toMatchObject({ managed_by: 'file', token_prefix: null, environment: 'dev' })
  expect(data[3]).toMatchObject({ managed_by: 'api', environment: 'prod' })
  expect(json.total).toBe(4)
})

test.for([
  [{ role: 'viewer' }, { name: ['is required'] }],
  [{ name: 'a' }, { role: ['is required'] }],
  [{ name: 'a b', role: 'viewer' }, { name: [expect.stringContaining('must begin with a letter')] }],
  [{ name: 'a'.repeat(65), role: 'viewer' }, { name: ['must have at most 64 characters, got 65'] }],
  [{ name: 'a', role: 'root' }, { role: ['must be one of viewer, operator, admin, got "root"'] }],
  [
    { name: 'a', role: 'viewer', environment: 'moon' },
    { environment: [expect.stringContaining('must be one of dev, sandbox')] },
  ],
  [
    { name: 'a', role: 'viewer', expires_at: 'tomorrow' },
    { expires_at: [expect.stringContaining('must be a date in ISO 8601')] },
  ],
  [
    { name: 'a', role: 'viewer', expires_at: '2020-01-01' },
    { expires_at: ['must be in the future, got "2020-01-01"'] },
  ],
  [
    { name: 'a', role: 'viewer', token: 'mine-is-better' },
    { token: [expect.stringContaining('is not known here')] },
  ],
] as const)('%j is refused with a sentence', async ([body, errors]) => {
  const admin = await startTestAdmin()
  const { status, json } = await send(admin, 'POST', '/api/clients', body)
  expect([status, json.errors]).toEqual([400, errors])
})

test('a name stands for one client, whoever defines it', async () => {
  const admin = await startTestAdmin()
  await makeClient(admin, 'siem')
  for (const name of ['siem', 'viewer']) {
    const { status, json } = await send(admin, 'POST', '/api/clients', { name, role: 'viewer' })
    expect([status, json.message]).toEqual([409, 'another client has this name'])
  }
  const { id } = await makeClient(admin, 'other')
  expect((await send(admin, 'PATCH', `/api/clients/${id}`, { name: 'siem' })).status).toBe(409)
  expect((await send(admin, 'PATCH', `/api/clients/${id}`, { name: 'other' })).status).toBe(200)
})

test('two requests for one name at once make one client', async () => {
  const admin = await startTestAdmin()
  const both = await Promise.all(
    [0, 1].map(() => send(admin, 'POST', '/api/clients', { name: 'siem', role: 'viewer' })),
  )
  expect(both.map(({ status }) => status).sort()).toEqual([201, 409])
})

test('a changed role holds from the next request on', async () => {
  const admin = await startTestAdmin()
  const { id, token } = await makeClient(admin, 'siem')
  const pause = async () => (await send(admin, 'POST', '/api/mirrors/salt/pause', undefined, token)).status
  expect(await pause()).toBe(403)
  const changed = await send(admin, 'PATCH', `/api/clients/${id}`, { role: 'operator', name: 'siem-2' })
  expect(changed.json).toMatchObject({ id, name: 'siem-2', role: 'operator' })
  expect(await pause()).toBe(200)
})

test('an expired token is refused with a sentence of its own, and is no guess', async () => {
  const admin = await startTestAdmin()
  const soon = new Date(Date.now() + 400).toISOString()
  const { id, token } = await makeClient(admin, 'siem', { expires_at: soon })
  const refused = await until(
    async () => {
      const answer = await admin.ask('GET', '/api/status', bearer(token))
      return answer.status === 401 && answer
    },
    { what: 'the token expires' },
  )
  expect(refused.json.message).toBe('the token has expired: an admin can rotate it')
  for (let tries = 0; tries <= limits.sign_in_failures_per_minute; tries++)
    expect(await statusOf(admin, token)).toBe(401)
  await send(admin, 'PATCH', `/api/clients/${id}`, { expires_at: null })
  expect(await statusOf(admin, token)).toBe(200)
})

describe('a rotation', () => {
  test('ends the old token at once', async () => {
    const admin = await startTestAdmin()
    const { id, token } = await makeClient(admin, 'siem')
    const { status, json } = await send(admin, 'POST', `/api/clients/${id}/rotate`)
    expect(status).toBe(200)
    expect(json).toMatchObject({ id, overlap_until: null, rotated_at: expect.any(String) })
    expect(json.token).toMatch(/^mg_[\w-]{43}$/)
    expect(json.token).not.toBe(token)
    expect([await statusOf(admin, token), await statusOf(admin, json.token as string)]).toEqual([401, 200])
  })

  test('lets the old token work until the overlap is over', async () => {
    const admin = await startTestAdmin()
    const { id, token } = await makeClient(admin, 'siem')
    const { json } = await send(admin, 'POST', `/api/clients/${id}/rotate`, { overlap_ms: 400 })
    expect(await statusOf(admin, json.token as string)).toBe(200)
    await until(async () => (await statusOf(admin, token)) === 401, { what: 'the overlap ends' })
    expect(await statusOf(admin, json.token as string)).toBe(200)
    expect((await admin.ask('GET', `/api/clients/${id}`)).json.overlap_until).toBe(null)
  })

  test('within an overlap ends the oldest token', async () => {
    const admin = await startTestAdmin()
    const { id, token } = await makeClient(admin, 'siem')
    const rotate = async () => {
      const { json } = await send(admin, 'POST', `/api/clients/${id}/rotate`, { overlap_ms: 60_000 })
      expect(Date.parse(json.overlap_until as string)).toBeGreaterThan(Date.now())
      return json.token as string
    }
    const all = [token, await rotate(), await rotate()]
    expect(await Promise.all(all.map((one) => statusOf(admin, one)))).toEqual([401, 200, 200])
  })

  test('refuses an overlap that is too long', async () => {
    const admin = await startTestAdmin()
    const { id } = await makeClient(admin, 'siem')
    const { status, json } = await send(admin, 'POST', `/api/clients/${id}/rotate`, { overlap_ms: 1e12 })
    expect([status, json.errors]).toEqual([
      400,
      { overlap_ms: ['must be at most 604800000, got 1000000000000'] },
    ])
  })
})

test('a deleted client is gone, and its number is never given again', async () => {
  const admin = await startTestAdmin()
  const { id, token } = await makeClient(admin, 'siem')
  const { status, text } = await send(admin, 'DELETE', `/api/clients/${id}`)
  expect([status, text]).toEqual([204, ''])
  expect(await statusOf(admin, token)).toBe(401)
  for (const path of [`/api/clients/${id}`, '/api/clients/0', '/api/clients/x', '/api/clients/9e9'])
    expect((await admin.ask('GET', path)).status).toBe(404)
  expect((await makeClient(admin, 'siem')).id).toBe(id + 1)
})

test('the last admin stays, whose token does not expire', async () => {
  const admin = await startTestAdmin()
  const boss = await makeClient(admin, 'boss', { role: 'admin' })
  admin.commands.adminConfig = adminConfig({
    clients: [{ name: 'viewer', role: 'viewer', token: tokens.viewer }],
  })
  const asBoss = (method: string, body?: object) =>
    send(admin, method, `/api/clients/${boss.id}`, body, boss.token)
  const expiry = new Date(Date.now() + 1e6).toISOString()
  for (const answer of [
    await asBoss('DELETE'),
    await asBoss('PATCH', { role: 'operator' }),
    await asBoss('PATCH', { expires_at: expiry }),
  ]) {
    expect([answer.status, answer.json.message]).toEqual([
      409,
      'this is the last admin: make another one first, whose token does not expire',
    ])
  }
  const second = { name: 'second', role: 'admin', expires_at: expiry }
  const { json } = await send(admin, 'POST', '/api/clients', second, boss.token)
  expect((await asBoss('DELETE')).status).toBe(409)
  const { id } = json as { id: number }
  await send(admin, 'PATCH', `/api/clients/${id}`, { expires_at: null }, boss.token)
  expect((await asBoss('DELETE')).status).toBe(204)
})

test('a name that the file takes later leaves two clients, told apart by number, and a warning', async () => {
  const admin = await startTestAdmin()
  const { id, token } = await makeClient(admin, 'siem', { role: 'admin' })
  const ofFile = { name: 'siem', role: 'viewer', token: 'the-token-of-the-file' } as const
  admin.commands.adminConfig = adminConfig({ clients: [ofFile] })
  expect([await statusOf(admin, token), await statusOf(admin, ofFile.token)]).toEqual([200, 200])
  const { json } = await admin.ask('GET', '/api/clients', bearer(token))
  const data = json.data as { id: number; name: string; managed_by: string }[]
  expect(data.map((one) => [one.id, one.name, one.managed_by])).toEqual([
    [id, 'siem', 'api'],
    [id + 1, 'siem', 'file'],
  ])
  expect(admin.logged()).toContain('the file defines a client with the name of one made by API')
})

test('what the file defines is changed there: 409 says where', async () => {
  const admin = await startTestAdmin()
  for (const [method, path] of [
    ['PATCH', '/api/clients/2'],
    ['DELETE', '/api/clients/2'],
    ['POST', '/api/clients/2/rotate'],
  ] as const) {
    const { status, json } = await send(
      admin,
      method,
      path,
      method === 'PATCH' ? { role: 'admin' } : undefined,
    )
    expect([status, json.message]).toEqual([
      409,
      'client operator is defined in gateway.yaml:16: change it there, and reload',
    ])
  }
})

test('every change is an entry, with who did it, and without any token', async () => {
  const admin = await startTestAdmin()
  const { id, token } = await makeClient(admin, 'siem')
  await send(admin, 'PATCH', `/api/clients/${id}`, { role: 'operator' })
  await send(admin, 'PATCH', `/api/clients/${id}`, { role: 'operator' })
  const rotated = await send(admin, 'POST', `/api/clients/${id}/rotate`, { overlap_ms: 1000 })
  await send(admin, 'DELETE', `/api/clients/${id}`)
  const { json, text } = await admin.ask('GET', '/api/activity_logs?include_resource_types[]=ApiClient')
  const data = json.data as { event_type: string; details: object; user: object; resource: object }[]
  expect(data.map(({ event_type, details }) => [event_type, details])).toEqual([
    ['client_deleted', expect.objectContaining({ role: 'operator', environment: 'dev' })],
    ['client_rotated', expect.objectContaining({ overlap_ms: 1000 })],
    ['client_updated', expect.objectContaining({ changes: { role: { from: 'viewer', to: 'operator' } } })],
    ['client_created', expect.objectContaining({ role: 'viewer', token_prefix: token.slice(0, 7) })],
  ])
  for (const { user, resource } of data) {
    expect(user).toMatchObject({ id: 3, name: 'admin' })
    expect(resource).toMatchObject({ id, name: 'siem', type: 'ApiClient' })
  }
  for (const secret of [token, rotated.json.token as string]) {
    expect(text + admin.logged()).not.toContain(secret.slice(7))
  }
})

test('a client exists once it is on disk with its entry, and not before', async () => {
  const admin = await startTestAdmin()
  const { id, token } = await makeClient(admin, 'siem')
  const { apply } = admin.store
  admin.store.apply = () => Promise.reject(new StorageFullError('the disk is full'))
  expect((await send(admin, 'POST', '/api/clients', { name: 'b', role: 'viewer' })).status).toBe(507)
  expect((await send(admin, 'DELETE', `/api/clients/${id}`)).status).toBe(507)
  expect((await send(admin, 'POST', `/api/clients/${id}/rotate`)).status).toBe(507)
  admin.store.apply = apply
  expect(await statusOf(admin, token)).toBe(200)
  expect((await admin.ask('GET', '/api/clients')).json.total).toBe(4)
  expect(await entriesOf(admin, 'client_created')).toHaveLength(1)
})

test('when a client came last is written once a minute at most', async () => {
  const folder = await tempDir()
  const store = await openStore(folder)
  const log = createLog({ level: 'silent', format: 'json' })
  const registry = new ClientRegistry({ store, dataDir: folder, log })
  registry.load({ admin: adminConfig(), environment: 'dev' })
  const written = () => store.clients.used().get(1)
  registry.noteUse(1, 1_000_000)
  registry.noteUse(1, 1_059_999)
  await store.apply([])
  expect([written(), registry.lastUsedAt(1)]).toEqual([1_000_000, 1_059_999])
  registry.noteUse(1, 1_060_000)
  await store.apply([])
  expect(written()).toBe(1_060_000)
})
