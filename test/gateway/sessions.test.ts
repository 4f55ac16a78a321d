/** Sessions of the console: how they begin and end, and what a page of another site cannot do with them. */
import { expect, test } from 'vitest'
import { ClientRegistry } from '../../src/admin/client-registry.ts'
import { SessionTable } from '../../src/admin/session-table.ts'
import { limits } from '../../src/contract/limits.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { adminConfig, openStore, startTestAdmin, type TestAdmin, tokens } from '../support/admin.ts'
import { entriesOf, makeClient, send } from '../support/clients.ts'
import { tempDir } from '../support/files.ts'
import { until } from '../support/wait.ts'

interface Open {
  readonly cookie: string
  readonly csrf: string
  readonly setCookie: string
}

/** Signs in as the console does. */
async function signIn(admin: TestAdmin, token: string = tokens.operator, more: object = {}): Promise<Open> {
  const { status, headers, json, text } = await admin.ask('POST', '/api/session', {
    as: null,
    headers: { 'content-type': 'application/json', origin: admin.url, ...more },
    body: JSON.stringify({ token }),
  })
  expect(status, text).toBe(201)
  const setCookie = headers.get('set-cookie') ?? ''
  return { cookie: setCookie.split(';', 1)[0] ?? '', csrf: json.csrf_token as string, setCookie }
}

/** A request of a page: with the cookie, and what else it may send. */
const page = (admin: TestAdmin, method: string, path: string, headers: Record<string, string>) =>
  admin.ask(method, path, { as: null, headers })

const pause = '/api/mirrors/salt/pause'

test('a sign-in gives a cookie that scripts and other sites cannot use, and no other secret', async () => {
  const admin = await startTestAdmin()
  const { cookie, setCookie, csrf } = await signIn(admin)
  expect(setCookie).toMatch(/^mirrorgate_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
  expect(csrf).toMatch(/^[\w-]{43}$/)
  const { status, json, text } = await page(admin, 'GET', '/api/session', { cookie })
  expect([status, json]).toEqual([
    200,
    {
      client: { id: 2, name: 'operator', role: 'operator', environment: 'dev' },
      csrf_token: csrf,
      ends_at: expect.any(String),
      idle_ends_at: expect.any(String),
    },
  ])
  expect((await page(admin, 'GET', '/api/status', { cookie })).status).toBe(200)
  const id = cookie.split('=')[1] ?? ''
  expect(text + admin.logged()).not.toContain(id)
  expect(text + admin.logged()).not.toContain(tokens.operator)
})

test('a change needs the CSRF token of its session and the origin of this host', async () => {
  const admin = await startTestAdmin()
  const { cookie, csrf } = await signIn(admin)
  const other = await signIn(admin)
  const right = { cookie, origin: admin.url, 'x-csrf-token': csrf }
  expect((await page(admin, 'POST', pause, right)).status).toBe(200)
  const before = admin.commands.calls.length
  const wrong: Record<string, string>[] = [
    { cookie },
    { cookie, origin: admin.url },
    { cookie, 'x-csrf-token': csrf },
    { ...right, 'x-csrf-token': other.csrf },
    { ...right, 'x-csrf-token': `${csrf}x` },
    { ...right, origin: 'https://evil.example.com' },
    { ...right, origin: `${admin.url}.evil.example.com` },
    { ...right, origin: admin.url.replace(/:\d+$/, '') },
    { ...right, origin: 'null' },
  ]
  for (const headers of wrong) {
    const { status, json } = await page(admin, 'POST', pause, headers)
    expect([status, headers]).toEqual([403, headers])
    expect(json.message).toMatch(/^a change with a session (needs its CSRF token|must come from a page)/)
  }
  expect(admin.commands.calls.length).toBe(before)
})

test('a session has the role of its client, and a bearer token goes before a cookie', async () => {
  const admin = await startTestAdmin()
  const { cookie, csrf } = await signIn(admin, tokens.viewer)
  const headers = { cookie, origin: admin.url, 'x-csrf-token': csrf }
  expect((await page(admin, 'POST', pause, headers)).status).toBe(403)
  const both = { ...headers, authorization: `Bearer ${tokens.operator}` }
  expect((await page(admin, 'POST', pause, both)).status).toBe(200)
  const wrong = { cookie, authorization: 'Bearer nobody-has-this' }
  expect((await page(admin, 'GET', '/api/status', wrong)).status).toBe(401)
})

test('signing out ends it and is an entry, as is signing in', async () => {
  const admin = await startTestAdmin()
  const { cookie, csrf } = await signIn(admin)
  const headers = { cookie, origin: admin.url, 'x-csrf-token': csrf }
  const out = await page(admin, 'DELETE', '/api/session', headers)
  expect(out.status).toBe(204)
  expect(out.headers.get('set-cookie')).toMatch(/^mirrorgate_session=; .*Expires=Thu, 01 Jan 1970/)
  const after = await page(admin, 'GET', '/api/status', { cookie })
  expect([after.status, after.json.message]).toEqual([401, 'the session is over: sign in again'])
  const logins = await entriesOf(admin, 'user_login')
  expect(logins).toContainEqual(
    expect.objectContaining({
      user: expect.objectContaining({ id: 2, name: 'operator' }),
      details: expect.objectContaining({ activity: 'session_login' }),
    }),
  )
  const [logout] = await entriesOf(admin, 'user_logout')
  expect(logout).toMatchObject({ user: { id: 2, name: 'operator' } })
  const bearer = await send(admin, 'DELETE', '/api/session')
  expect(bearer.status).toBe(409)
})

test('a sign-in to the console that fails is told as such', async () => {
  const admin = await startTestAdmin()
  const headers = { 'content-type': 'application/json', origin: admin.url }
  const body = '{"token":"nobody-has-this"}'
  expect((await admin.ask('POST', '/api/session', { as: null, headers, body })).status).toBe(401)
  const failed = await until(async () => (await entriesOf(admin, 'user_login_failed')).at(-1), {
    what: 'it is told',
  })
  expect(failed).toMatchObject({ details: { activity: 'session_login', count: 1 } })
})

test('a second sign-in of a browser ends its first session', async () => {
  const admin = await startTestAdmin()
  const first = await signIn(admin)
  const second = await signIn(admin, tokens.admin, { cookie: first.cookie })
  expect((await page(admin, 'GET', '/api/status', { cookie: first.cookie })).status).toBe(401)
  expect((await page(admin, 'GET', '/api/status', { cookie: second.cookie })).status).toBe(200)
})

test('a session ends with the token that opened it: rotated, deleted, or gone from the file', async () => {
  const admin = await startTestAdmin()
  const { id, token } = await makeClient(admin, 'ops')
  const status = async ({ cookie }: Open) => (await page(admin, 'GET', '/api/status', { cookie })).status
  const first = await signIn(admin, token)
  const { json } = await send(admin, 'POST', `/api/clients/${id}/rotate`, { overlap_ms: 60_000 })
  expect(await status(first)).toBe(401)
  const second = await signIn(admin, json.token as string)
  expect(await status(second)).toBe(200)
  await send(admin, 'DELETE', `/api/clients/${id}`)
  expect(await status(second)).toBe(401)
  const ofFile = await signIn(admin, tokens.viewer)
  admin.commands.adminConfig = adminConfig({
    clients: [{ name: 'viewer', role: 'viewer', token: 'another-token' }],
  })
  expect(await status(ofFile)).toBe(401)
})

test('guessing at the sign-in locks the address like any other, but no session that is open', async () => {
  const admin = await startTestAdmin()
  const { cookie } = await signIn(admin)
  const guess = () =>
    admin.ask('POST', '/api/session', {
      as: null,
      headers: { 'content-type': 'application/json' },
      body: '{"token":"a-guess-at-a-token"}',
    })
  const seen: number[] = []
  for (let at = 0; at <= limits.sign_in_failures_per_minute; at++) seen.push((await guess()).status)
  expect(seen).toEqual([...Array<number>(limits.sign_in_failures_per_minute).fill(401), 429])
  expect((await admin.ask('GET', '/api/status')).status).toBe(429)
  expect((await page(admin, 'GET', '/api/status', { cookie })).status).toBe(200)
  const locked = await until(
    async () => {
      const path = '/api/activity_logs?include_event_types[]=client_locked_out'
      return ((await page(admin, 'GET', path, { cookie })).json.data as object[])[0]
    },
    { what: 'the lock is an entry' },
  )
  expect(locked).toMatchObject({ user: { id: 0 }, details: { request: { ip_address: '127.0.0.1' } } })
  expect(admin.logged()).not.toContain('a-guess-at-a-token')
})

test('a page of another site cannot sign its visitor in', async () => {
  const admin = await startTestAdmin()
  const body = JSON.stringify({ token: tokens.viewer })
  const ask = (headers: Record<string, string>) =>
    admin.ask('POST', '/api/session', { as: null, headers, body })
  const evil = { 'content-type': 'application/json', origin: 'https://evil.example.com' }
  expect((await ask(evil)).status).toBe(403)
  // A form can send only what needs no question first: no JSON.
  expect((await ask({ 'content-type': 'text/plain' })).status).toBe(415)
})

test('sessions end when they are idle, or old, whatever happens', async () => {
  const { sessions, open } = await table()
  const start = Date.now()
  const idle = limits.session_idle_ms
  const one = open(start)
  expect(sessions.find(one, start + idle - 1)).not.toBe(null)
  expect(sessions.find(one, start + 2 * idle - 2)).not.toBe(null)
  expect(sessions.find(one, start + 3 * idle - 2)).toBe(null)
  const busy = open(start)
  let at = start
  for (; at < start + limits.session_max_ms; at += idle - 1)
    expect(sessions.find(busy, at)?.ends_at).toBe(start + limits.session_max_ms)
  expect(sessions.find(busy, start + limits.session_max_ms)).toBe(null)
})

test('sessions are bounded: a client’s own one that was used longest ago gives way', async () => {
  const { sessions, open } = await table()
  const start = Date.now()
  const ids = Array.from({ length: limits.sessions_per_client_max }, () => open(start))
  const [first = '', second = ''] = ids
  expect(sessions.find(first, start)).not.toBe(null)
  open(start)
  expect(sessions.size).toBe(limits.sessions_per_client_max)
  expect([sessions.find(first, start) === null, sessions.find(second, start) === null]).toEqual([false, true])
})

/** The table of a registry with one client that signs in. */
async function table() {
  const folder = await tempDir()
  const store = await openStore(folder)
  const clients = new ClientRegistry({
    store,
    dataDir: folder,
    log: createLog({ level: 'silent', format: 'json' }),
  })
  clients.load({ admin: adminConfig(), environment: 'dev' })
  const sessions = new SessionTable(clients)
  const open = (now: number): string => {
    const found = clients.find(tokens.viewer)
    if (found === null) throw new Error('the client is not there')
    return sessions.open(found, now).id
  }
  return { sessions, open }
}
