/** Audit webhooks by the API of Konnect: printed commands, a strict receiver, status, replays, refusals. */
import { execFile } from 'node:child_process'
import { createPublicKey, timingSafeEqual, type webcrypto, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { type Behaviour, type Collector, startCollector } from '../conformance/collector.ts'
import { parseCef } from '../render/cef-parser.ts'
import { onFileEnd } from '../support/cleanup.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const run = promisify(execFile)
const portal = '3e551b39-0a6e-4a0b-9d7c-6f6f3a8d1c55'
const authorization = 'Splunk example-token12234352535235'

let receiver: Collector
let gateway: TestGateway
/** What the receiver answers instead, while it is set. */
let broken: number | null = null

/** By the public rules: POST alone, exactly this Authorization, at most 1 MiB; 202. */
const rules: Behaviour = (response, { headers, body }) => {
  const given = Buffer.from(headers.authorization ?? '')
  const wanted = Buffer.from(authorization)
  if (response.req.method !== 'POST') return void response.writeHead(405).end()
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    return void response.writeHead(401).end()
  if (body.length > 1024 * 1024) return void response.writeHead(413).end()
  response.writeHead(broken ?? 202).end()
}

beforeAll(async () => {
  receiver = await startCollector()
  receiver.behave(rules)
  onFileEnd(() => receiver.close())
  gateway = await startGateway()
})

const startGateway = (folder?: string) =>
  startTestGateway({
    config: { collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }] },
    shared: true,
    ...(folder !== undefined && { folder }),
  })

interface Answer {
  readonly status: number
  readonly head: string
  readonly json: Record<string, unknown>
}

/** Runs a printed command with curl itself; only host, token and ids are changed. */
async function curl(printed: string): Promise<Answer> {
  const token = readFileSync(`${gateway.dataDir}/admin-token`, 'utf8').trim()
  const line = printed
    .replaceAll(/https:\/\/[^/]*api\.konghq\.com/g, `http://127.0.0.1:${gateway.adminPort}`)
    .replaceAll('<personal-access-token>', token)
  const { stdout } = await run('bash', ['-c', `${line.trim()} --silent --show-error`])
  const [head = '', body = ''] = stdout.split('\r\n\r\n')
  return { head, status: Number(head.split(' ')[1]), json: body === '' ? {} : JSON.parse(body) }
}

async function call(method: string, path: string, body?: object) {
  const { status, text } = await gateway.admin.call(method, path, body)
  return { status, json: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

const destination = `
curl -i -X POST https://global.api.konghq.com/v2/audit-log-destinations \\
--header "Content-Type: application/json" \\
--header "Authorization: Bearer <personal-access-token>" \\
--data '{
"endpoint": "ENDPOINT",
"authorization": "${authorization}",
"log_format": "cef",
"name": "example destinations name"
}'`
const webhook = `
curl -i -X PATCH https://us.api.konghq.com/v2/portals/${portal}/audit-log-webhook \\
--header "Content-Type: application/json" \\
--header "Authorization: Bearer <personal-access-token>" \\
--data '{
"audit_log_destination_id": "DESTINATION",
"enabled": true
}'`
const status = `
curl -i -X GET https://us.api.konghq.com/v2/portals/${portal}/audit-log-webhook/status \\
--header "Authorization: Bearer <personal-access-token>"`

/** A sign-in at the portal, as the portal tells of it. */
const signIn = (name: string, of = portal) => ({
  event_type: 'user_login',
  user: { id: 7, name, email: 'jie@example.com' },
  details: {
    request: { ip_address: '172.71.232.22', user_agent: 'a|b=c\\d\ne 💥' },
    activity: 'password_login',
    trace_id: '3360194145499877252',
    path: '/api/v2/developer/authenticate',
  },
  resource: { id: 7, name, type: 'Workspace' },
  portal_id: of,
})

const lines = (path: string): string[] =>
  receiver.deliveries
    .filter((delivery) => delivery.path === path)
    .flatMap(({ body }) => body.toString().split('\n'))
    .filter((line) => line !== '')

const arrived = (path: string, count: number): Promise<string[]> =>
  until(() => lines(path).length >= count && lines(path), { what: `${count} lines at ${path}` })

test('the printed commands, a sign-in at the portal, and the status as it is printed', async () => {
  const made = await curl(destination.replace('ENDPOINT', `${receiver.url}/portal`))
  expect(made.status, 'version 2').toBe(200)
  expect(made.head).toMatch(/warning: 299 - "the endpoint is not https/i)
  expect(made.json).toMatchObject({ log_format: 'cef', name: 'example destinations name' })
  expect(JSON.stringify(made.json)).not.toContain('token')
  const configured = await curl(webhook.replace('DESTINATION', String(made.json['id'])))
  expect(configured.status).toBe(200)
  expect(configured.json).toMatchObject({ audit_log_destination_id: made.json['id'], enabled: true })
  expect((await curl(status)).json).toEqual({
    last_attempt_at: '0001-01-01T00:00:00Z',
    last_response_code: 0,
    webhook_enabled: true,
    webhook_status: 'active',
  })

  const entries = [signIn('Jie'), signIn('Elsewhere', '00000000-0000-4000-8000-00000000000f')]
  expect((await call('POST', '/api/activity_logs', entries)).status).toBe(202)
  const [line = ''] = await arrived('/portal', 1)
  expect(lines('/portal'), 'the other portal has no webhook').toHaveLength(1)
  const cef = parseCef(line.slice(line.indexOf('CEF:')))
  expect(cef.extension).toMatchObject({
    src: '172.71.232.22',
    success: 'true',
    portal_id: portal,
    user_agent: 'a|b=c\\d\ne 💥',
    trace_id: '3360194145499877252',
  })
  await verifySignature(line)
  const [delivery] = receiver.deliveries
  expect(delivery?.headers).toMatchObject({ 'content-type': 'text/plain', 'content-encoding': 'gzip' })
  const after = await until(
    async () => {
      const { json } = await curl(status)
      return json['last_response_code'] === 202 && json
    },
    { what: 'the status tells of the attempt' },
  )
  expect(Object.keys(after)).toEqual([
    'last_attempt_at',
    'last_response_code',
    'webhook_enabled',
    'webhook_status',
  ])
  expect(after['last_attempt_at']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  expect(after['webhook_status']).toBe('active')
})

/** By the published keys alone: Ed25519 over the line without its signature. */
async function verifySignature(line: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/v2/audit-log-webhook/jwks.json`)
  const { keys } = (await response.json()) as { keys: webcrypto.JsonWebKey[] }
  const [, signed = '', signature = ''] = /^(.*) sig=([\w-]{86})$/s.exec(line) ?? []
  const [jwk = {}] = keys
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  expect(verify(null, Buffer.from(signed), key, Buffer.from(signature, 'base64url'))).toBe(true)
  expect(verify(null, Buffer.from(`${signed} `), key, Buffer.from(signature, 'base64url'))).toBe(false)
}

test('a receiver that refuses makes it inactive, also after a restart; nothing is lost', async () => {
  broken = 401
  await call('POST', '/api/activity_logs', [signIn('While it refused')])
  await until(async () => (await curl(status)).json['webhook_status'] === 'inactive', { what: 'inactive' })
  const before = (await curl(status)).json
  expect(before).toMatchObject({ last_response_code: 401, webhook_enabled: true })
  expect(JSON.stringify(before)).not.toContain('example-token')
  await gateway.stop()
  gateway = await startGateway(gateway.folder)
  expect((await curl(status)).json['last_response_code']).toBe(401)
  broken = null
  await call('POST', `/api/streams/audit-webhook-${portal}/replay`)
  const all = await until(
    () => {
      const found = lines('/portal')
      return found.length >= 2 && receiver.deliveries.length > 0 && found
    },
    { what: 'what waited' },
  )
  expect(all.length).toBeGreaterThanOrEqual(2)
  await until(async () => (await curl(status)).json['webhook_status'] === 'active', { what: 'active again' })
})

test('destinations: versions, pages, filters, changes, refusals', async () => {
  const endpoint = `${receiver.url}/other`
  const wanted = { name: 'other', endpoint, authorization, log_format: 'json', skip_ssl_verification: true }
  const made = await call('POST', '/v3/audit-log-destinations', wanted)
  expect(made.status, 'version 3').toBe(201)
  const id = String(made.json['id'])
  const found = await call('GET', '/v3/audit-log-destinations?filter[name][eq]=other')
  expect(found.json).toMatchObject({ data: [{ id, name: 'other' }], meta: { next: null, previous: null } })
  const page = await call('GET', '/v2/audit-log-destinations?page[size]=1')
  expect(page.json['data']).toHaveLength(1)
  const next = (page.json['meta'] as { next: string }).next
  const second = await call('GET', `/v2/audit-log-destinations?page[size]=1&page[after]=${next}`)
  expect(second.json).toMatchObject({ data: [{ id }] })
  expect((await call('PATCH', `/v3/audit-log-destinations/${id}`, { name: 'renamed' })).json).toMatchObject({
    name: 'renamed',
    log_format: 'json',
  })
  for (const [method, path, body, code, detail] of [
    ['POST', '/v2/audit-log-destinations', { name: 'x' }, 400, 'the request is not valid'],
    ['POST', '/v2/audit-log-destinations', { ...wanted, endpoint: 'ftp://x' }, 400, 'invalid endpoint'],
    ['GET', '/v2/audit-log-destinations/nonsense', undefined, 400, 'could not parse destination id'],
    [
      'GET',
      '/v2/audit-log-destinations/05a4f3f2-9d07-4e46-8115-c58ca594d00e',
      undefined,
      404,
      'no destination has this id, got 05a4f3f2-9d07-4e46-8115-c58ca594d00e',
    ],
    ['PATCH', '/v3/audit-log-webhook', { enabled: true }, 400, 'the request is not valid'],
  ] as const) {
    const { status: got, text } = await gateway.admin.call(method, path, body)
    expect([got, JSON.parse(text)], path).toMatchObject([code, { status: code, detail }])
  }
  await call('PATCH', '/v3/audit-log-webhook', { audit_log_destination_id: id, enabled: true })
  const used = await call('DELETE', `/v3/audit-log-destinations/${id}`)
  expect(used).toMatchObject({ status: 409, json: { title: 'Resource Conflict' } })
  expect((await call('DELETE', '/v3/audit-log-webhook')).status).toBe(204)
  expect((await call('DELETE', `/v3/audit-log-destinations/${id}`)).status).toBe(204)
})

test('the webhook of the organization: its own destination, lines in JSON, a replay', async () => {
  expect((await call('GET', '/v2/audit-log-webhook')).json).toMatchObject({
    endpoint: 'unconfigured',
    enabled: false,
  })
  expect((await call('GET', '/v2/audit-log-webhook/status')).json['webhook_status']).toBe('unconfigured')
  const own = { endpoint: `${receiver.url}/organization`, authorization, log_format: 'json', enabled: true }
  expect((await call('PATCH', '/v2/audit-log-webhook', own)).json).toMatchObject({
    endpoint: own.endpoint,
    enabled: true,
    log_format: 'json',
  })
  await call('POST', '/api/activity_logs', [
    { event_type: 'recipe_started', user: { id: 7 }, resource: { id: 1, name: 'r', type: 'Flow' } },
  ])
  const all = await until(() => lines('/organization').find((line) => line.includes('Authz.flows')), {
    what: 'the entry',
  })
  expect(JSON.parse(all)).toMatchObject({
    event_vendor: 'KongInc',
    name: 'Authz.flows',
    sig: expect.any(String),
  })
  const before = lines('/organization').length
  const now = Date.now()
  const window = { start_at: new Date(now - 60_000).toISOString(), end_at: new Date(now).toISOString() }
  const replay = await call('PUT', '/v2/audit-log-replay-job', window)
  expect(replay).toMatchObject({ status: 202, json: { status: 'accepted' } })
  await until(() => lines('/organization').filter((line) => line.includes('Authz.flows')).length >= 2, {
    what: 'the entry again',
  })
  expect(lines('/organization').length).toBeGreaterThan(before)
  const old = { ...window, start_at: new Date(now - 8 * 86_400_000).toISOString() }
  expect((await call('PUT', '/v2/audit-log-replay-job', old)).status).toBe(400)
})

test('the log by pull, in the names that it has there', async () => {
  const { json } = await call('GET', '/v3/audit-logs?filter[type]=authentication&page[size]=2')
  const data = json['data'] as Record<string, unknown>[]
  expect(data).toHaveLength(2)
  expect(data[0]).toMatchObject({ type: 'authentication', successful: expect.anything() })
  const next = (json['meta'] as { page: { next: string } }).page.next
  const more = await call('GET', `/v3/audit-logs?page[after]=${next}`)
  expect(more.status).toBe(200)
})

test('no answer and no log line holds the authorization', async () => {
  const paths = ['/v2/audit-log-destinations', '/api/connections', '/api/streams', '/api/config/export']
  const texts = await Promise.all(paths.map(async (path) => (await gateway.admin.call('GET', path)).text))
  expect(`${texts.join('')}${JSON.stringify(gateway.logs())}`).not.toContain('example-token')
})
