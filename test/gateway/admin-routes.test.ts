/** Every route of the contract's table does what it says, and answers as its document says. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test } from 'vitest'
import { deliveryKinds, resourceKinds } from '../../src/contract/resources.ts'
import {
  FakeCommands,
  rejected,
  startTestAdmin,
  type TestAdmin,
  type TestRole,
  tokens,
} from '../support/admin.ts'

interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** As in the document. */
  readonly path: string
  readonly role: TestRole | null
  /** What the gateway is asked to do. */
  readonly call?: string
  readonly body?: string
  /** 200 where it says nothing. */
  readonly status?: number
}

/** Definitions by API: the same four verbs for each kind. */
const resourceRoutes = resourceKinds.flatMap((kind): Route[] => {
  const one = `/api/${kind}/{name}`
  const name = { collections: 'orders', connections: 'SALT Security', mirrors: 'salt', streams: 'salt' }[kind]
  return [
    {
      ...{ method: 'POST', path: `/api/${kind}`, role: 'admin', status: 201 },
      ...{ call: `create ${kind} fresh`, body: '{"name":"fresh"}' },
    },
    { method: 'PUT', path: one, role: 'admin', call: `replace ${kind} ${name}`, body: '{}' },
    { method: 'PATCH', path: one, role: 'admin', call: `merge ${kind} ${name}`, body: '{}' },
    { method: 'DELETE', path: one, role: 'admin', call: `delete ${kind} ${name}` },
  ]
})

const deliveryRoutes = deliveryKinds.flatMap((kind): Route[] => {
  const one = `/api/${kind}/{name}`
  const act = (method: Route['method'], path: string, role: Route['role'], call: string): Route => ({
    ...{ method, path: `${one}/${path}`, role, call: `${call} ${kind} salt` },
  })
  return [
    { method: 'GET', path: `/api/${kind}`, role: 'viewer' },
    { method: 'GET', path: one, role: 'viewer' },
    { method: 'GET', path: `${one}/dead-letters`, role: 'viewer' },
    act('POST', 'pause', 'operator', 'pause'),
    act('POST', 'resume', 'operator', 'resume'),
    act('POST', 'replay', 'operator', 'replay'),
    act('POST', 'test', 'operator', 'test'),
    act('POST', 'dead-letters/replay', 'operator', 'replayDeadLetters'),
    act('DELETE', 'dead-letters', 'admin', 'deleteDeadLetters'),
    act('DELETE', 'backlog', 'admin', 'purgeBacklog'),
  ]
})

const routes: readonly Route[] = [
  ...resourceRoutes,
  ...deliveryRoutes,
  { method: 'POST', path: '/api/streams/preview', role: 'operator', call: 'preview' },
  {
    ...{ method: 'POST', path: '/api/events', role: 'operator', status: 202 },
    ...{ call: 'postEvents', body: '{"id":1,"status":"failed"}' },
  },
  { method: 'GET', path: '/api/connections', role: 'viewer' },
  { method: 'GET', path: '/api/connections/{name}', role: 'viewer' },
  { method: 'GET', path: '/api/config/export', role: 'admin' },
  { method: 'GET', path: '/healthz', role: null },
  { method: 'GET', path: '/readyz', role: null },
  { method: 'GET', path: '/metrics', role: null },
  { method: 'GET', path: '/api/openapi.json', role: 'viewer' },
  { method: 'GET', path: '/api/status', role: 'viewer' },
  { method: 'GET', path: '/api/collections', role: 'viewer' },
  { method: 'GET', path: '/api/collections/{name}', role: 'viewer' },
  {
    ...{ method: 'POST', path: '/api/secrets_management/clear_cache', role: 'operator' },
    call: 'clearSecrets',
  },
  {
    method: 'POST',
    path: '/api/connections/{name}/disconnect',
    role: 'operator',
    call: 'setConnection SALT Security false',
  },
  {
    method: 'POST',
    path: '/api/connections/{name}/connect',
    role: 'operator',
    call: 'setConnection SALT Security true',
  },
  { method: 'POST', path: '/api/capture/pause', role: 'operator', call: 'setCapture false' },
  { method: 'POST', path: '/api/capture/resume', role: 'operator', call: 'setCapture true' },
  {
    method: 'PUT',
    path: '/api/logging',
    role: 'admin',
    call: 'setLogLevel debug',
    body: '{"level":"debug"}',
  },
  { method: 'POST', path: '/api/config/reload', role: 'admin', call: 'reload' },
  { method: 'POST', path: '/api/config/check', role: 'admin', call: 'checkConfig null' },
  {
    method: 'POST',
    path: '/api/activity_logs',
    role: 'operator',
    status: 202,
    body: '{"event_type":"user_login","user":{"id":1},"resource":{"type":"Workspace"}}',
  },
  { method: 'GET', path: '/api/tags', role: 'viewer' },
  { method: 'POST', path: '/api/tags', role: 'admin', body: '{"title":"{unique}"}' },
  { method: 'PUT', path: '/api/tags/{handle}', role: 'admin', body: '{"title":"{unique}"}' },
  { method: 'DELETE', path: '/api/tags/{handle}', role: 'admin' },
  {
    method: 'POST',
    path: '/api/tags_assignments',
    role: 'admin',
    body: '{"add_tags":["{handle}"],"recipe_ids":[1]}',
  },
  { method: 'GET', path: '/api/clients', role: 'viewer' },
  {
    method: 'POST',
    path: '/api/clients',
    role: 'admin',
    status: 201,
    body: '{"name":"{unique}","role":"viewer"}',
  },
  { method: 'GET', path: '/api/clients/{id}', role: 'viewer' },
  { method: 'PATCH', path: '/api/clients/{id}', role: 'admin', body: '{"role":"operator"}' },
  { method: 'POST', path: '/api/clients/{id}/rotate', role: 'admin' },
  { method: 'DELETE', path: '/api/clients/{id}', role: 'admin', status: 204 },
  { method: 'GET', path: '/api/session', role: 'viewer' },
  { method: 'POST', path: '/api/session', role: null, status: 201, body: `{"token":"${tokens.viewer}"}` },
  { method: 'GET', path: '/api/incidents', role: 'viewer' },
  { method: 'GET', path: '/api/incidents/{id}', role: 'viewer' },
  {
    ...{ method: 'POST', path: '/api/incidents/{id}/acknowledge', role: 'operator' },
    call: 'acknowledge 1',
  },
  { method: 'POST', path: '/api/notifications/test', role: 'admin', call: 'test notifications' },
  { method: 'GET', path: '/api/activity_logs', role: 'viewer' },
  { method: 'GET', path: '/api/activity_logs/{id}', role: 'viewer' },
  { method: 'GET', path: '/api/activity_logs/stats', role: 'viewer' },
  { method: 'GET', path: '/api/activity_logs/export', role: 'viewer' },
  { method: 'GET', path: '/api/activity_logs/jwks.json', role: null },
]

/** Routes that need more than a token: their own tests have it. */
const elsewhere = ['DELETE /api/session']

const names: Readonly<Record<string, string>> = {
  mirrors: 'salt',
  streams: 'salt',
  collections: 'orders',
  connections: encodeURIComponent('SALT Security'),
}
/** Tags to change and to delete, each once; and what no tag is called yet. */
const handles: string[] = []
/** Clients, each to be named once. */
const clientIds: number[] = []
let unique = 0
function filled(text: string): string {
  return text
    .replace('{handle}', () => handles.pop() ?? 'none is left')
    .replace('{unique}', () => `title-${unique++}`)
}

/** The path with the name of a thing that exists. */
function pathOf({ path }: Route): string {
  const id = path.startsWith('/api/clients/') ? (clientIds.pop() ?? 'none is left') : 1
  return filled(path.replace('{name}', names[path.split('/')[2] ?? ''] ?? '').replace('{id}', String(id)))
}
const jsonOf = ({ body }: Pick<Route, 'body'>) =>
  body === undefined ? {} : { body: filled(body), headers: { 'content-type': 'application/json' } }

interface Operation {
  readonly description?: string
  readonly requestBody?: { readonly required: boolean }
  readonly parameters?: readonly { readonly name: string; readonly required: boolean }[]
  readonly security?: readonly unknown[]
  readonly responses: Record<string, { content?: Record<string, { schema: object }> }>
}
interface OpenApi {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { schemas: Record<string, object> }
}

let admin: TestAdmin
let api: OpenApi
const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } })

beforeAll(async () => {
  admin = await startTestAdmin()
  await admin.ask('POST', '/api/activity_logs', {
    headers: { 'content-type': 'application/json' },
    body: '{"event_type":"user_login","user":{"id":1},"resource":{"type":"Workspace"}}',
  })
  for (let at = 0; at < 30; at++) {
    const { json } = await admin.ask('POST', '/api/tags', jsonOf({ body: '{"title":"{unique}"}' }))
    handles.push((json.data as { handle: string }).handle)
    const client = jsonOf({ body: '{"name":"{unique}","role":"viewer"}' })
    clientIds.push((await admin.ask('POST', '/api/clients', client)).json.id as number)
  }
  api = (await admin.ask('GET', '/api/openapi.json')).json as unknown as OpenApi
  ajv.addSchema({ ...api, $id: 'api' })
})

describe.for(routes)('$method $path', (route) => {
  test('does what it says, for its role', async () => {
    const before = admin.commands.calls.length
    const answer = await admin.ask(route.method, pathOf(route), { as: route.role, ...jsonOf(route) })
    expect(answer.status, answer.text).toBe(route.status ?? 200)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(admin.commands.calls.slice(before)).toEqual(route.call === undefined ? [] : [route.call])
  })

  test('is in the document, and answers as the document says', async () => {
    const operation = api.paths[route.path]?.[route.method.toLowerCase()]
    expect(operation).toBeDefined()
    // No security of its own means the document's: a token.
    const isOpen = operation?.security !== undefined && operation.security.length === 0
    expect(isOpen).toBe(route.role === null && route.path !== '/metrics')
    const answer = await admin.ask(route.method, pathOf(route), { as: 'admin', ...jsonOf(route) })
    if (!answer.headers.get('content-type')?.startsWith('application/json')) return
    const place = `paths/${route.path.replaceAll('/', '~1').replaceAll('{', '%7B').replaceAll('}', '%7D')}`
    const responses = `${place}/${route.method.toLowerCase()}/responses`
    const schema = `api#/${responses}/${route.status ?? 200}/content/application~1json/schema`
    const isValid = ajv.validate(schema, answer.json)
    expect(isValid, ajv.errorsText()).toBe(true)
  })

  test('refuses those below its role, and those without a token', async () => {
    const roles: (TestRole | null)[] = [null, 'viewer', 'operator', 'admin']
    for (const as of roles) {
      const isAllowed = roles.indexOf(as) >= roles.indexOf(route.role)
      const before = admin.commands.calls.length
      const { status, headers, text } = await admin.ask(route.method, pathOf(route), { as, ...jsonOf(route) })
      expect(status, `${as}: ${text}`).toBe(isAllowed ? (route.status ?? 200) : as === null ? 401 : 403)
      if (isAllowed) continue
      expect(admin.commands.calls.length).toBe(before)
      if (as === null) expect(headers.get('www-authenticate')).toMatch(/^Bearer /)
    }
  })

  test('has an answer without a body for HEAD, where it has one for GET', async () => {
    if (route.method !== 'GET') return
    const answer = await admin.ask('HEAD', pathOf(route), { as: route.role })
    expect([answer.status, answer.text]).toEqual([200, ''])
  })
})

test('the document lists every route and no other', () => {
  expect(api.openapi).toBe('3.1.0')
  const listed = Object.entries(api.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  // Those that speak as another API have a test of their own, and are driven from the document.
  const own = listed.filter((id) => !/ \/v[23]\//.test(id))
  const tested = routes.map(({ method, path }) => `${method} ${path}`)
  expect(own.sort()).toEqual([...tested, ...elsewhere].sort())
})

test('the document says who may, and what may be left out', () => {
  const pause = api.paths['/api/mirrors/{name}/pause']?.post
  expect(pause?.description).toBe('For the role operator and above.')
  expect(pause?.requestBody?.required).toBe(false)
  expect(api.paths['/api/logging']?.put?.requestBody?.required).toBe(true)
  const parameters = api.paths['/api/mirrors/{name}/dead-letters']?.get?.parameters ?? []
  expect(Object.fromEntries(parameters.map(({ name, required }) => [name, required]))).toEqual({
    name: true,
    'page[size]': false,
    'page[after]': false,
  })
})

test('the document holds together: every reference in it leads somewhere', () => {
  const references = [...JSON.stringify(api).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)]
  expect(references.length).toBeGreaterThan(10)
  for (const [, name] of references) expect(Object.keys(api.components.schemas)).toContain(name)
  expect(JSON.stringify(api).match(/"\$ref":"(?!#\/components\/schemas\/)/)).toBeNull()
})

test('/readyz answers 503 with the reasons while clients are not served', async () => {
  const commands = new FakeCommands()
  const { ask } = await startTestAdmin(commands)
  for (const state of ['starting', 'draining'] as const) {
    commands.readiness = state
    const { status, json } = await ask('GET', '/readyz', { as: null })
    expect([status, json]).toEqual([503, { status: state, reasons: [`it is ${state}`] }])
  }
  expect((await ask('GET', '/healthz', { as: null })).json).toEqual({ status: 'ok' })
})

test('/metrics asks for a token when metrics_public is off', async () => {
  const commands = new FakeCommands()
  const { ask } = await startTestAdmin(commands)
  const open = await ask('GET', '/metrics', { as: null })
  expect([open.status, open.headers.get('content-type')]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ])
  expect(open.text).toContain('mirrorgate_build_info')
  commands.adminConfig = { ...commands.adminConfig, metrics_public: false }
  expect((await ask('GET', '/metrics', { as: null })).status).toBe(401)
  expect((await ask('GET', '/metrics?match=x', { as: 'viewer' })).status).toBe(200)
})

test('dead letters come in pages', async () => {
  const path = '/api/mirrors/salt/dead-letters'
  const ids = ({ json }: { json: Record<string, unknown> }) =>
    (json.data as { id: string }[]).map(({ id }) => id)
  const first = await admin.ask('GET', path)
  expect([ids(first).length, first.json.total]).toEqual([100, 120])
  expect(ids(await admin.ask('GET', `${path}?page[size]=2&page[after]=100`))).toEqual(['101', '102'])
  expect(ids(await admin.ask('GET', `${path}?page%5Bsize%5D=1`))).toEqual(['1'])
})

test('a rejected reload answers with every problem, its place and its path', async () => {
  const commands = new FakeCommands()
  const { ask } = await startTestAdmin(commands)
  expect((await ask('POST', '/api/config/reload')).json).toEqual({
    generation: 2,
    hash: '0123456789abcdef',
    warnings: ['a warning'],
  })
  commands.reloadResult = rejected
  for (const path of ['/api/config/reload', '/api/config/check']) {
    const { status, json } = await ask('POST', path)
    expect(status).toBe(400)
    expect(json).toEqual({
      message: 'the configuration has 2 problems',
      problems: rejected.ok ? [] : rejected.problems,
      errors: {
        'mirrors[0].batch.max_wait_ms': ['must be at least 10, got 0'],
        file: ['must be a mapping, got a list'],
      },
    })
  }
})

test('a check takes YAML as such or inside JSON, and the file on disk without either', async () => {
  const commands = new FakeCommands()
  const { ask } = await startTestAdmin(commands)
  const send = (type: string, body: string) =>
    ask('POST', '/api/config/check', { headers: { 'content-type': type }, body })
  const yaml = 'collections: []\n# é\n'
  for (const type of ['text/yaml', 'application/yaml', 'application/yaml; charset=utf-8']) {
    expect((await send(type, yaml)).status).toBe(200)
  }
  await send('application/json', JSON.stringify({ yaml }))
  await send('application/json', '')
  await ask('POST', '/api/config/check')
  const given = `checkConfig ${yaml}`
  expect(commands.calls).toEqual([given, given, given, given, 'checkConfig null', 'checkConfig null'])
})
