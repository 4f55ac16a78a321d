/** Nothing that a caller can write into a request is a bug of the admin port. */
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { startTestAdmin, tokens } from '../support/admin.ts'
import { RawClient } from '../support/client.ts'

const json = { 'content-type': 'application/json' }

describe('a query', () => {
  const path = '/api/mirrors/salt/dead-letters'
  test.for([
    ['page[size]=0', 'page[size]', 'must be at least 1, got 0'],
    ['page[size]=101', 'page[size]', 'must be at most 100, got 101'],
    ['page[size]=-1', 'page[size]', 'must be at least 1, got -1'],
    ['page[size]=1.5', 'page[size]', 'must be of type integer, got "1.5"'],
    ['page[size]=', 'page[size]', 'must be of type integer, got ""'],
    ['page[size]=ten', 'page[size]', 'must be of type integer, got "ten"'],
    ['page[size]=1e999', 'page[size]', 'must be of type integer, got "1e999"'],
    ['page[size]=1&page[size]=2', 'page[size]', 'must be of type integer, got a list'],
    ['page[size][]=1', 'page[size]', 'must be of type integer, got a list'],
    ['page.size=1', 'page.size', 'is not known here, did you mean `page[size]`?'],
    ['page=1', 'page', 'is not known here, did you mean `page[size]`?'],
    ['page[size]=1&page=2', 'page', 'is not known here, did you mean `page[size]`?'],
    ['page[__proto__]=1', 'page[__proto__]', 'is not known here'],
    [
      'a[b][c][d][e][f]=1',
      'query',
      'must have at most 1000 parameters and values of each, and brackets at most 4 deep',
    ],
    [
      'a[1000]=1',
      'query',
      'must have at most 1000 parameters and values of each, and brackets at most 4 deep',
    ],
    [
      `${'a&'.repeat(1000)}`,
      'query',
      'must have at most 1000 parameters and values of each, and brackets at most 4 deep',
    ],
    ['page[after]=', 'page[after]', 'must have at least 1 characters, got 0'],
    [`page[after]=${'x'.repeat(129)}`, 'page[after]', 'must have at most 128 characters, got 129'],
    ['page[after]=1&page[after]=2', 'page[after]', 'must be of type string, got a list'],
    ['limit=5', 'limit', 'is not known here'],
    ['__proto__=1', '__proto__', 'is not known here'],
    ['constructor[prototype]=1', 'constructor[prototype]', 'is not known here'],
    ['%00=1', '\u0000', 'is not known here'],
  ] as const)('with %s is told what is wrong', async ([query, field, sentence]) => {
    const { ask } = await startTestAdmin()
    const { status, json } = await ask('GET', `${path}?${query}`)
    expect(status).toBe(400)
    expect(json.message).toBe('the request is not valid')
    expect(Object.entries(json.errors as object)).toEqual([[field, [sentence]]])
  })

  test('is refused by routes that take none, and names every unknown parameter', async () => {
    const { ask } = await startTestAdmin()
    const { status, json } = await ask('GET', '/api/status?a=1&b=2')
    expect([status, json.errors]).toEqual([400, { a: ['is not known here'], b: ['is not known here'] }])
    expect((await ask('POST', '/api/mirrors/salt/pause?force=true')).status).toBe(400)
    expect((await ask('GET', '/healthz?probe=1', { as: null })).status).toBe(200)
  })
})

const levels = 'trace, debug, info, warn, error, fatal, silent'
describe('a body', () => {
  test.for([
    ['{}', { level: ['is required'] }],
    ['{"level":"loud"}', { level: [`must be one of ${levels}, got "loud"`] }],
    ['{"level":1}', { level: [`must be one of ${levels}, got 1`] }],
    ['{"level":null}', { level: [`must be one of ${levels}, got null`] }],
    ['{"level":["info"]}', { level: [`must be one of ${levels}, got a list`] }],
    ['{"level":"info","other":1}', { other: ['is not known here'] }],
    ['{"level":"info","__proto":1}', { __proto: ['is not known here'] }],
    ['[]', { body: ['must be of type object, got a list'] }],
    ['null', { body: ['must be of type object, got null'] }],
    ['"info"', { body: ['must be of type object, got "info"'] }],
    ['', { body: ['must be of type object, got null'] }],
  ] as const)('%s is told what is wrong', async ([body, errors]) => {
    const { ask, commands } = await startTestAdmin()
    const answer = await ask('PUT', '/api/logging', { headers: json, body })
    expect([answer.status, answer.json.errors]).toEqual([400, errors])
    expect(commands.calls).toEqual([])
  })

  test.for([
    ['{', 'not closed'],
    ['{"level":"info"', 'cut'],
    ["{level:'info'}", 'not JSON'],
    ['{"level":"info","__proto__":{"x":1}}', 'a prototype key'],
    ['{"\\u005f_proto__":{"x":1},"level":"info"}', 'an escaped prototype key'],
    ['{"constructor":{"prototype":{"x":1}},"level":"info"}', 'a constructor'],
    [`${'['.repeat(500_000)}`, 'deep nesting'],
    [`{"level":${'[{"a":'.repeat(100_000)}`, 'deep nesting of both'],
    ['\ufeff\ufeff{}', 'byte order marks'],
    ['NaN', 'no JSON number'],
  ] as const)('%# (%1s) is 400', async ([body]) => {
    const { ask, commands } = await startTestAdmin()
    const answer = await ask('PUT', '/api/logging', { headers: json, body })
    expect(answer.status).toBe(400)
    expect(answer.text.length).toBeLessThan(1000)
    expect(commands.calls).toEqual([])
    expect(Object.prototype).not.toHaveProperty('x')
  })

  test('with more wrong fields than anyone reads gets a short answer', async () => {
    const { ask } = await startTestAdmin()
    const fields = Array.from({ length: 60_000 }, (_, index) => `"f${index}":1`).join()
    const {
      status,
      json: answer,
      text,
    } = await ask('PUT', '/api/logging', { headers: json, body: `{${fields}}` })
    expect(status).toBe(400)
    expect(Object.keys(answer.errors as object).length).toBeLessThanOrEqual(limits.admin_problems_max)
    expect(text.length).toBeLessThan(10_000)
  })

  test('is refused by commands that take none', async () => {
    const { ask, commands } = await startTestAdmin()
    const send = async (body: string) => {
      const answer = await ask('POST', '/api/mirrors/salt/pause', { headers: json, body })
      return [answer.status, answer.json.errors]
    }
    expect(await send('{"force":true}')).toEqual([400, { force: ['is not known here'] }])
    expect(await send('[]')).toEqual([400, { body: ['must be of type object or null, got a list'] }])
    expect(commands.calls).toEqual([])
    expect(await send('{}')).toEqual([200, undefined])
    expect(await send('')).toEqual([200, undefined])
  })

  test('of a check must be text', async () => {
    const { ask, commands } = await startTestAdmin()
    const check = async (body: string | Buffer, type = 'application/json') =>
      (await ask('POST', '/api/config/check', { headers: { 'content-type': type }, body })).status
    expect(await check('{"yaml":1}')).toBe(400)
    expect(await check('{"yaml":"a: 1","file":"/etc/passwd"}')).toBe(400)
    expect(await check('[]')).toBe(400)
    expect(await check(Buffer.from([0x61, 0xff, 0xfe]), 'text/yaml')).toBe(400)
    expect(await check(Buffer.from('{"yaml":"\xff"}', 'latin1'))).toBe(400)
    expect(await check(gzipSync('a: 1'), 'application/json')).toBe(400)
    expect(commands.calls).toEqual([])
  })
})

test('no method, path, type and bytes together make a 500', async () => {
  const { ask, logged } = await startTestAdmin()
  const paths = ['/api/config/check', '/api/logging', '/api/mirrors/salt/pause', '/api/nothing', '/metrics']
  const types = [
    'application/json',
    'text/yaml',
    'text/plain',
    'multipart/form-data; boundary=x',
    'x',
    '/',
    '',
  ]
  const bodies = ['', '{}', 'null', '0', '"', '\u0000', randomBytes(64).toString('latin1'), 'x'.repeat(5000)]
  for (const path of paths) {
    for (const type of types) {
      const statuses = await Promise.all(
        ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'].flatMap((method) =>
          bodies.map(
            async (body) => (await ask(method, path, { headers: { 'content-type': type }, body })).status,
          ),
        ),
      )
      expect(Math.max(...statuses), `${path} ${type}`).toBeLessThan(500)
    }
  }
  expect(logged()).not.toContain('admin request failed')
})

test('no form of a request makes a 500', async () => {
  const { port, logged } = await startTestAdmin()
  const authorization = `Authorization: Bearer ${tokens.admin}`
  for (const lines of [
    'GET http://other/api/status HTTP/1.1\r\nHost: x',
    'GET //api//status HTTP/1.1\r\nHost: x',
    'GET /api/status;a=1 HTTP/1.1\r\nHost: x',
    'GET /api/status?%zz=%zz HTTP/1.1\r\nHost: x',
    'GET /api/mirrors/%E0%A4%A HTTP/1.1\r\nHost: x',
    'GET /api/mirrors/\xff HTTP/1.1\r\nHost: x',
    'OPTIONS * HTTP/1.1\r\nHost: x',
    'TRACE /api/status HTTP/1.1\r\nHost: x',
    'GET /api/status HTTP/1.1\r\nHost: x\r\nExpect: 100-continue',
    'GET /api/status HTTP/1.1\r\nHost: x\r\nExpect: other',
    'GET /api/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade',
    'GET /api/status HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip',
    'GET /api/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Type: \xff\r\n\r\n{}\r\n',
    'GET /api/status HTTP/1.0',
    'GET /api/status HTTP/1.1',
    'POST /api/capture/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}',
  ]) {
    const client = await RawClient.connect(port)
    const [first, ...rest] = lines.split('\r\n')
    client.send(`${[first, authorization, ...rest].join('\r\n')}\r\n\r\n`)
    const { status } = await client.response()
    expect(status, lines).toBeLessThan(500)
    client.destroy()
  }
  expect(logged()).not.toContain('admin request failed')
})
