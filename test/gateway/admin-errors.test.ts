/** What the admin port refuses is told in one shape, with the status that says whose turn it is. */
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { startAdmin } from '../../src/admin/server.ts'
import { StartError } from '../../src/contract/errors.ts'
import { limits } from '../../src/contract/limits.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { adminConfig, FakeCommands, openStore, startTestAdmin, trailOf } from '../support/admin.ts'
import { onEnd } from '../support/cleanup.ts'
import { RawClient } from '../support/client.ts'
import { tempDir } from '../support/files.ts'

const json = { 'content-type': 'application/json' }

test('a path that does not exist is 404, with and without a token', async () => {
  const { ask } = await startTestAdmin()
  for (const path of [
    '/',
    '/api',
    '/api/',
    '/api/status/',
    '/api/mirrors/salt/x',
    '/api/nothing',
    '/API/status',
  ]) {
    for (const as of ['admin', null] as const) {
      const { status, json } = await ask('GET', path, { as })
      expect([path, status, json]).toEqual([path, 404, { message: 'there is no such resource', errors: {} }])
    }
  }
})

test('a name that does not exist is 404, however it is written', async () => {
  const { ask } = await startTestAdmin()
  for (const name of ['other', '__proto__', 'constructor', '%00', '%2e%2e%2fsalt', 'a%2Fb', '%F0%9F%92%A9']) {
    for (const [method, path] of [
      ['GET', `/api/mirrors/${name}`],
      ['POST', `/api/mirrors/${name}/pause`],
      ['POST', `/api/mirrors/${name}/test`],
      ['GET', `/api/mirrors/${name}/dead-letters`],
      ['GET', `/api/collections/${name}`],
      ['POST', `/api/connections/${name}/connect`],
    ] as const) {
      const { status, json } = await ask(method, path)
      expect([method, path, status]).toEqual([method, path, 404])
      expect(json.message).toContain(`got ${JSON.stringify(decodeURIComponent(name))}`)
    }
  }
  expect((await ask('GET', `/api/mirrors/${'x'.repeat(5000)}`)).status).toBe(404)
})

test('a method that a path does not have is 405 and names those that it has', async () => {
  const { ask } = await startTestAdmin()
  const allowed = async (method: string, path: string) => {
    const { status, headers, json } = await ask(method, path, { as: null })
    expect([status, typeof json.message]).toEqual([405, 'string'])
    return headers.get('allow')
  }
  expect(await allowed('POST', '/api/status')).toBe('GET, HEAD')
  expect(await allowed('GET', '/api/mirrors/salt/pause')).toBe('POST')
  expect(await allowed('PUT', '/api/mirrors/salt/dead-letters?x=1')).toBe('DELETE, GET, HEAD')
  expect(await allowed('PROPFIND', '/metrics')).toBe('GET, HEAD')
  expect(await allowed('OPTIONS', '/api/logging')).toBe('PUT')
})

test('a state that forbids a command is 409 with the sentence of the command', async () => {
  const { ask, commands } = await startTestAdmin()
  commands.conflict('the mirror is paused')
  const { status, json } = await ask('POST', '/api/mirrors/salt/replay')
  expect([status, json]).toEqual([409, { message: 'the mirror is paused', errors: {} }])
})

test('a bug is 500 without its message, which stands in the log', async () => {
  const { ask, commands, logged } = await startTestAdmin()
  commands.failure = new TypeError('cannot read the inside of a mirror')
  const { status, json, text } = await ask('GET', '/api/mirrors/salt')
  expect([status, json]).toEqual([500, { message: 'internal error, see the log', errors: {} }])
  expect(text).not.toMatch(/inside|stack|at /)
  expect(logged()).toContain('cannot read the inside of a mirror')
})

test('a body over the limit is 413, declared or not', async () => {
  const { ask, port } = await startTestAdmin()
  const body = Buffer.alloc(limits.admin_body_bytes + 1, ' ')
  const { status, json: answer } = await ask('PUT', '/api/logging', { headers: json, body })
  expect([status, answer.message]).toEqual([413, `the body must be at most ${limits.admin_body_bytes} bytes`])
  const client = await RawClient.connect(port)
  client.send(
    'PUT /api/logging HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-canary-c05d6e7a\r\n' +
      `Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`,
  )
  client.send(body)
  client.send('\r\n')
  expect((await client.response()).status).toBe(413)
})

test('a body of another type or coding is 415', async () => {
  const { ask } = await startTestAdmin()
  const put = (headers: Record<string, string>) =>
    ask('PUT', '/api/logging', { headers, body: '{"level":"info"}' })
  expect((await put({ 'content-type': 'text/plain' })).status).toBe(415)
  expect((await put({ 'content-type': 'text/yaml' })).status).toBe(415)
  expect((await put({ 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415)
  expect((await put({ 'content-type': ';' })).status).toBe(415)
  expect((await put({ ...json, 'content-encoding': 'gzip' })).status).toBe(415)
  expect((await put({ ...json, 'content-encoding': 'identity' })).status).toBe(200)
})

test('bytes that are no HTTP are answered in the same shape, and the connection ends', async () => {
  const { port } = await startTestAdmin()
  for (const [bytes, status] of [
    ['nonsense\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 431],
  ] as const) {
    const client = await RawClient.connect(port)
    client.send(bytes)
    const answer = await client.response()
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ message: expect.any(String), errors: {} })
    await client.closed
  }
  const client = await RawClient.connect(port)
  client.send('GET /api/mirrors/%zz HTTP/1.1\r\nHost: x\r\n\r\n')
  const answer = await client.response()
  expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([
    400,
    { message: 'the path must be a valid URL path', errors: {} },
  ])
})

test('a refused upload does not spoil the next request of its connection', async () => {
  const { port } = await startTestAdmin()
  const client = await RawClient.connect(port)
  const body = 'x'.repeat(200_000)
  client.send(`POST /api/config/check HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  expect((await client.response()).status).toBe(401)
  client.send('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  expect((await client.response()).status).toBe(200)
})

describe('a start that cannot be', () => {
  const start = async (host: string, port: number) => {
    const commands = new FakeCommands()
    commands.adminConfig = adminConfig({ host, port })
    const log = createLog({ level: 'silent', format: 'json' })
    const dataDir = await tempDir()
    const store = await openStore(dataDir)
    const trail = trailOf(commands, store, log)
    const starting = startAdmin({ commands, store, trail, log, dataDir, version: '0.1.0' })
    return starting.then(
      (server) => server.close().then(() => null),
      (error: unknown) => error as Error,
    )
  }

  test('says which port is taken and what to do', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    onEnd(() => other.close())
    const { port } = other.address() as { port: number }
    const error = await start('127.0.0.1', port)
    expect(error).toBeInstanceOf(StartError)
    expect(error?.message).toBe(
      `cannot listen on 127.0.0.1:${port} for the admin port: ` +
        'the port is taken: stop what listens there, or set another admin.port',
    )
  })

  test('says which address this machine does not have', async () => {
    const error = await start('192.0.2.1', 0)
    expect(error).toBeInstanceOf(StartError)
    expect(error?.message).toContain('cannot listen on 192.0.2.1:0 for the admin port')
  })
})

test('close does not wait for a client that never reads its answer', async () => {
  const commands = new FakeCommands()
  const never = new Promise<never>(() => {})
  commands.reload = () => never
  const log = createLog({ level: 'silent', format: 'json' })
  const dataDir = await tempDir()
  const store = await openStore(dataDir)
  const trail = trailOf(commands, store, log)
  const server = await startAdmin({ commands, store, trail, log, dataDir, version: '0.1.0' })
  const client = await RawClient.connect(server.port)
  client.send(
    'POST /api/config/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-canary-c05d6e7a\r\n\r\n',
  )
  const probe = await fetch(`http://127.0.0.1:${server.port}/healthz`)
  expect(probe.status).toBe(200)
  await server.close()
  await client.closed
})
