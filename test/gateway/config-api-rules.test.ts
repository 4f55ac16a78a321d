/** What definitions by API may not do, and how it is said: conflicts, versions, problems, and dry runs. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test } from 'vitest'
import type { DeliveryView } from '../../src/admin/commands.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { ask, saltMirror } from '../support/resources.ts'

/** Port 9 of this machine: nobody listens. */
const nowhere = 'http://127.0.0.1:9'
const connection = { name: 'api', base_url: nowhere }
const collection = (name: string, more: object = {}) => ({
  ...{ name, prefix: `/${name}`, upstreams: [{ url: nowhere }] },
  ...more,
})

let gateway: TestGateway
const errorsOf = (json: Record<string, unknown>) => json['errors'] as Record<string, string[]>

beforeAll(async () => {
  gateway = await startTestGateway({ config: mirrorConfig({ upstream: nowhere, collector: nowhere }) })
  for (const [kind, body] of [
    ['connections', connection],
    ['mirrors', saltMirror('used', 'api')],
    ['collections', collection('uses', { mirrors: ['used'] })],
  ] as const)
    expect((await ask(gateway, 'POST', `/api/${kind}`, { body })).status).toBe(201)
})

test('the document describes what is taken: whole definitions, and patches of any part', async () => {
  const { json } = await ask(gateway, 'GET', '/api/openapi.json')
  const ajv = new Ajv2020({ strict: false })
  ajv.addSchema({ ...json, $id: 'api' })
  const isTaken = (method: string, path: string, body: object) => {
    const at = path.replaceAll('/', '~1').replaceAll('{', '%7B').replaceAll('}', '%7D')
    const content = method === 'patch' ? 'merge-patch+json' : 'json'
    const schema = `api#/paths/${at}/${method}/requestBody/content/application~1${content}/schema`
    return ajv.validate(schema, body)
  }
  const mirror = saltMirror('any', 'api', { collections: ['uses'] })
  const { name: _name, ...unnamed } = mirror
  expect(isTaken('post', '/api/mirrors', mirror)).toBe(true)
  expect(isTaken('post', '/api/mirrors', unnamed)).toBe(false)
  expect(isTaken('put', '/api/mirrors/{name}', unnamed)).toBe(true)
  expect(isTaken('patch', '/api/mirrors/{name}', { timeout_ms: 500 })).toBe(true)
  expect(isTaken('patch', '/api/mirrors/{name}', { timeout: 500 })).toBe(false)
  expect(isTaken('post', '/api/connections', connection)).toBe(true)
  expect(isTaken('post', '/api/collections', collection('any'))).toBe(true)
  expect(isTaken('post', '/api/collections', { name: 'any' })).toBe(false)
})

describe('409', () => {
  test.each([
    ['collections', 'orders'],
    ['connections', 'collector'],
    ['mirrors', 'salt'],
  ])('what the file defines is not changed by API: %s', async (kind, name) => {
    const { json } = await ask(gateway, 'GET', `/api/${kind}/${name}`)
    expect(json).toMatchObject({ managed_by: 'file' })
    const at = json['defined_at'] as string
    expect(at).toMatch(/gateway\.yaml:\d+$/)
    const noun = kind.slice(0, -1)
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const refused = await ask(
        gateway,
        method,
        `/api/${kind}/${name}`,
        method === 'DELETE' ? {} : { body: {} },
      )
      expect([refused.status, refused.json['message']]).toEqual([
        409,
        `${noun} "${name}" is defined in ${at}: change it there, then reload`,
      ])
    }
    const again = await ask(gateway, 'POST', `/api/${kind}`, { body: { name } })
    expect([again.status, again.json['message']]).toEqual([
      409,
      `${noun} "${name}" is defined in ${at}: choose another name`,
    ])
  })

  test('a name stands for one thing', async () => {
    const again = await ask(gateway, 'POST', '/api/connections', { body: connection })
    expect(again.status).toBe(409)
    expect(again.json['message']).toContain('connection "api" exists already, created by admin-token')
  })

  test.each([
    ['connections/api', 'connection "api" is in use by mirror used: change that first'],
    ['mirrors/used', 'mirror "used" is in use by collection uses: change that first'],
  ])('what is in use stays: %s', async (path, message) => {
    for (const query of ['', '?dry_run=true']) {
      const { status, json } = await ask(gateway, 'DELETE', `/api/${path}${query}`)
      expect([status, json['message']]).toEqual([409, message])
    }
  })
})

describe('versions', () => {
  test('only one of several writers that read the same version succeeds', async () => {
    const first = await ask(gateway, 'POST', '/api/connections', { body: { ...connection, name: 'raced' } })
    const read = await ask(gateway, 'GET', '/api/connections/raced')
    expect(read.etag).toBe(first.etag)
    expect(read.etag).toMatch(/^"[\w-]+"$/)
    const writes = await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        ask(gateway, 'PATCH', '/api/connections/raced', {
          body: { headers: { 'X-Writer': String(at) } },
          ifMatch: read.etag as string,
        }),
      ),
    )
    expect(writes.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412, 412, 412, 412, 412])
    const won = writes.find(({ status }) => status === 200)
    expect(won?.etag).not.toBe(first.etag)
    expect((await ask(gateway, 'GET', '/api/connections/raced')).etag).toBe(won?.etag)
  })

  test('writers without a condition all succeed, one after the other', async () => {
    await ask(gateway, 'POST', '/api/connections', { body: { ...connection, name: 'many' } })
    const writes = await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        ask(gateway, 'PATCH', '/api/connections/many', {
          body: { headers: { [`X-${at}`]: 'v${env:HOME}' } },
        }),
      ),
    )
    expect(writes.map(({ status }) => status)).toEqual(writes.map(() => 200))
    const { json } = await ask(gateway, 'GET', '/api/connections/many')
    expect(Object.keys(json['headers'] as object)).toHaveLength(8)
  })

  test.each([
    ['"other"', 412],
    ['W/"VERSION"', 412],
    ['"other", "VERSION"', 200],
    ['*', 200],
    ['VERSION', 400],
  ])('If-Match: %s', async (field, expected) => {
    const etag = (await ask(gateway, 'GET', '/api/connections/api')).etag as string
    const ifMatch = field.replace('VERSION', etag.slice(1, -1))
    const { status } = await ask(gateway, 'PUT', '/api/connections/api', { body: connection, ifMatch })
    expect(status).toBe(expected)
  })

  test('a change to what it is already makes no version', async () => {
    const before = await ask(gateway, 'GET', '/api/connections/api')
    const same = await ask(gateway, 'PUT', '/api/connections/api', { body: connection })
    expect([same.status, same.etag, same.json['changes']]).toEqual([200, before.etag, []])
    const { json } = await ask(gateway, 'GET', '/api/connections/api')
    expect(json['updated_at']).toBe(before.json['updated_at'])
  })
})

describe('PUT and PATCH', () => {
  test('PUT replaces the whole definition, PATCH merges into it (RFC 7396)', async () => {
    await ask(gateway, 'POST', '/api/mirrors', {
      body: saltMirror('patched', 'api', { collections: ['uses'] }),
    })
    const patch = { batch: { max_items: 7 }, timeout_ms: null, retry: { min_wait_ms: 50 } }
    for (const type of ['application/json', 'application/merge-patch+json']) {
      const patched = await ask(gateway, 'PATCH', '/api/mirrors/patched', { body: patch, type })
      expect(patched.status, patched.text).toBe(200)
      expect(patched.json['definition']).toEqual({
        ...saltMirror('patched', 'api', { collections: ['uses'] }),
        batch: { max_wait_ms: 50, max_items: 7 },
        retry: { attempts: 2, min_wait_ms: 50, max_wait_ms: 500, probe_ms: 300 },
        timeout_ms: undefined,
      })
    }
    const put = await ask(gateway, 'PUT', '/api/mirrors/patched', {
      body: { sink: 'salt', connection: 'api', request_url: '/r', response_url: '/s' },
    })
    expect(put.json['changes']).toEqual(
      expect.arrayContaining([
        { path: 'request_url', from: '/requests', to: '/r' },
        { path: 'batch', from: { max_wait_ms: 50, max_items: 7 } },
        { path: 'collections', from: ['uses'] },
      ]),
    )
    expect(Object.keys(put.json['definition'] as object).sort()).toEqual(
      ['connection', 'name', 'request_url', 'response_url', 'sink'].sort(),
    )
    expect((await gateway.admin.json<DeliveryView>('GET', '/api/mirrors/patched')).managed_by).toBe('api')
  })

  test('names stay, and what is not there is not made', async () => {
    const renamed = await ask(gateway, 'PATCH', '/api/connections/api', { body: { name: 'other' } })
    expect(renamed.status).toBe(400)
    expect(errorsOf(renamed.json)).toEqual({ name: ['must be "api", the name in the path: names stay'] })
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const { status } = await ask(
        gateway,
        method,
        '/api/connections/none',
        method === 'DELETE' ? {} : { body: {} },
      )
      expect(status).toBe(404)
    }
  })
})

describe('400', () => {
  test('every problem at once, by its path in the resource', async () => {
    const body = {
      ...saltMirror('wrong', 'apy'),
      batch: { max_wait_ms: 0, max_item: 3 },
      match: { statuses: ['6xx'] },
      collections: ['use'],
    }
    const { status, json } = await ask(gateway, 'POST', '/api/mirrors', { body })
    expect(status).toBe(400)
    expect(errorsOf(json)).toEqual({
      'batch.max_wait_ms': ['must be at least 10, got 0'],
      'batch.max_item': ['is not a known key, did you mean `max_items`?'],
      'match.statuses[0]': ['must be a status like "404" or a class like "5xx", in quotes, got "6xx"'],
      connection: ['must be the name of a connection, got "apy", did you mean "api"?'],
      'collections[0]': ['must be the name of a collection, got "use", did you mean "uses"?'],
    })
    expect(json['message']).toBe('the mirror has 5 problems')
    expect(json['problems']).toContainEqual({
      ...{ file: 'api:mirrors/wrong', line: 1, column: 1, path: 'connection' },
      message: 'must be the name of a connection, got "apy", did you mean "api"?',
    })
  })

  test('what clashes with others is told of the one that changes', async () => {
    await ask(gateway, 'POST', '/api/collections', { body: collection('later') })
    const patched = await ask(gateway, 'PATCH', '/api/collections/uses', { body: { prefix: '/later' } })
    expect(errorsOf(patched.json)).toEqual({
      prefix: ['must not overlap, got prefix "/later" for any host, which collection later has'],
    })
  })

  test('what would break something else says where', async () => {
    const { status, json } = await ask(gateway, 'PUT', '/api/connections/api', { body: { name: 'api' } })
    expect(status).toBe(400)
    expect(Object.keys(errorsOf(json))).toContain('api:mirrors/used request_url')
  })

  test.each([
    ['no name', 'connections', {}],
    ['a name that is a number', 'connections', { name: 3 }],
    ['a name with a slash', 'mirrors', { ...saltMirror('a', 'api'), name: 'a/b' }],
    ['a name without end', 'mirrors', { name: 'x'.repeat(100_000) }],
    ['a list', 'connections', []],
    ['a text', 'connections', 'x'],
    ['a prototype', 'connections', JSON.parse('{"name":"p","headers":{"__proto__":{"x":"y"}}}')],
  ])('is no definition: %s', async (_what, kind, body) => {
    const { status, text } = await ask(gateway, 'POST', `/api/${kind}`, { body })
    expect(status, text).toBe(400)
    expect(text.length).toBeLessThan(2000)
  })

  test('a body without end in depth', async () => {
    const deep = '{"name":"deep","tls":'.concat('{"a":'.repeat(50_000), '1', '}'.repeat(50_000), '}')
    for (const [method, path] of [
      ['POST', '/api/connections'],
      ['PATCH', '/api/connections/api'],
    ] as const) {
      const { status, json } = await ask(gateway, method, path, { body: JSON.parse(deep) })
      expect([status, json['message']]).toEqual([
        400,
        'the body must hold at most 10000 values, at most 64 levels deep',
      ])
    }
  })
})

describe('?dry_run=true', () => {
  test('answers what would be, and changes nothing', async () => {
    const { hash, generation } = (await gateway.admin.status()).config
    const mirror = saltMirror('tried', 'api', { collections: ['orders'] })
    const made = await ask(gateway, 'POST', '/api/mirrors?dry_run=true', { body: mirror })
    expect([made.status, made.etag, made.location]).toEqual([200, null, null])
    expect(made.json).toMatchObject({ name: 'tried', dry_run: true, managed_by: 'api', definition: mirror })
    const put = await ask(gateway, 'PATCH', '/api/mirrors/used?dry_run=true', { body: { enabled: false } })
    expect(put.json['changes']).toEqual([{ path: 'enabled', to: false }])
    const gone = await ask(gateway, 'DELETE', '/api/collections/uses?dry_run=true')
    expect([gone.status, gone.json['name']]).toEqual([200, 'uses'])
    const wrong = await ask(gateway, 'POST', '/api/mirrors?dry_run=true', { body: { name: 'tried' } })
    expect(wrong.status).toBe(400)
    expect((await ask(gateway, 'GET', '/api/mirrors/tried')).status).toBe(404)
    expect((await ask(gateway, 'GET', '/api/collections/uses')).status).toBe(200)
    expect((await gateway.admin.status()).config).toMatchObject({ hash, generation })
  })
})

describe('the activity log', () => {
  test('tells what changed, and who did it', async () => {
    const told = { ...connection, name: 'told', headers: { Authorization: 'Bearer told-canary' } }
    await ask(gateway, 'POST', '/api/connections', { body: told })
    await ask(gateway, 'PATCH', '/api/connections/told', { body: { case_sensitive_headers: true } })
    await ask(gateway, 'DELETE', '/api/connections/told')
    const path = '/api/activity_logs?include_resource_types[]=Connection&page[size]=3'
    const { json, text } = await ask(gateway, 'GET', path)
    expect(json['data']).toMatchObject([
      { event_type: 'connection_deleted', user: { name: 'admin-token' }, resource: { name: 'told' } },
      {
        event_type: 'connection_updated',
        details: { changes: [{ path: 'case_sensitive_headers', to: true }] },
      },
      { event_type: 'connection_created', resource: { name: 'told', type: 'Connection' } },
    ])
    expect(text).toContain('[redacted]')
    expect(text).not.toContain('told-canary')
  })

  test.each([
    [
      'collections',
      collection('logged'),
      { strip_prefix: true },
      ['collection_deleted', 'collection_updated', 'collection_created'],
    ],
    [
      'mirrors',
      saltMirror('logged', 'api'),
      { enabled: false },
      ['mirror_deleted', 'mirror_updated', 'mirror_created'],
    ],
  ])('has an entry of each change of %s, and none of a dry run', async (kind, body, patch, events) => {
    for (const query of ['', '?dry_run=true'])
      await ask(gateway, 'POST', `/api/${kind}${query}`, { body: { ...body, name: `logged${query.length}` } })
    await ask(gateway, 'PATCH', `/api/${kind}/logged0`, { body: patch })
    await ask(gateway, 'DELETE', `/api/${kind}/logged0`)
    const { json } = await ask(gateway, 'GET', '/api/activity_logs?page[size]=3')
    const entries = json['data'] as { event_type: string; resource: { name: string } }[]
    expect(entries.map((entry) => entry.event_type)).toEqual(events)
    expect(entries.map(({ resource }) => resource.name)).toEqual(events.map(() => 'logged0'))
  })
})
