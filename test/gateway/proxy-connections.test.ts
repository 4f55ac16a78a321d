/** Client connections: order, limits, malformed requests, the drain. Nothing a client does leaves a trace. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { rejectReasons, threadCell } from '../../src/telemetry/counters.ts'
import { onEnd } from '../support/cleanup.ts'
import { RawClient, untilRefused } from '../support/client.ts'
import { DataThread, startThread } from '../support/data-thread.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

test('5,000 pipelined requests are answered in order, one at a time', async () => {
  let open = 0
  let most = 0
  const upstream = await startUpstream((request, response) => {
    most = Math.max(most, ++open)
    setImmediate(() => {
      open--
      response.end(request.url)
    })
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  client.send(Array.from({ length: 5000 }, (_, index) => get(`/${index}`)).join(''))
  for (let index = 0; index < 5000; index++)
    expect((await client.response()).body.toString()).toBe(`/${index}`)
  expect(most).toBe(1)
  expect((await thread.exchanges(5000)).map(({ target }) => target)).toEqual(
    Array.from({ length: 5000 }, (_, index) => `/${index}`),
  )
  client.destroy()
  await thread.quiet()
})

test('bodies between pipelined requests keep their borders', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const one = (index: number) =>
    index % 2 === 0
      ? `POST /${index} HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nGET /x HTTP/1.1\r\n\r\n!`
      : `POST /${index} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`
  client.send(Array.from({ length: 200 }, (_, index) => one(index)).join(''))
  for (let index = 0; index < 200; index++) expect((await client.response()).status).toBe(200)
  expect(upstream.received.map(({ url }) => url)).toEqual(
    Array.from({ length: 200 }, (_, index) => `/${index}`),
  )
  expect(upstream.received.every(({ body }) => body?.length === 20 || body?.toString() === 'abc')).toBe(true)
})

test('2,000 aborting clients leave no socket and no exchange behind', async () => {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    if (request.url === '/hang') return
    response.writeHead(200)
    response.write('part')
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const kinds = [
    '',
    'GET / HT',
    get('/hang'),
    get('/part'),
    get('/hang') + get('/part') + get('/hang'),
    'POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf',
    'POST /part HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal',
    'POST /nope HTTP/1.1\r\nHost: \r\nContent-Length: 100\r\n\r\nhalf',
  ]
  let next = 0
  const lane = async () => {
    while (next < 2000) {
      const index = next++
      const socket = connect(thread.port, '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.write(kinds[index % kinds.length] as string)
      if (index % 3 === 0) await new Promise(setImmediate)
      if (index % 5 === 0) socket.resetAndDestroy()
      else socket.destroy()
    }
  }
  await Promise.all(Array.from({ length: 20 }, lane))
  await thread.quiet()
  await until(() => upstream.sockets.size === 0, { what: 'no connection to the upstream' })
  const seen = await thread.exchanges(1)
  expect(new Set(seen.map(({ outcome }) => outcome))).toContain('client_aborted')
  await until(() => thread.cell('captureBytes') === 0, { what: 'no captured byte left' })
  expect(Atomics.load(new Int32Array(thread.connections), 0)).toBe(0)
  const client = await RawClient.connect(thread.port)
  client.send(get('/part'))
  await client.arrives('part')
  expect(thread.warnings).toEqual([])
})

const refusing = {} as { thread: DataThread; upstream: HttpUpstream }
beforeAll(async () => {
  refusing.upstream = await startUpstream()
  const collection = { name: 'api', upstreams: [{ url: refusing.upstream.url }], hosts: ['a'] }
  refusing.thread = await startThread(refusing.upstream, { collection })
})

test.each([
  ['no HTTP', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc', 400],
  ['a broken request line', 'GET  HTTP/1.1\r\n\r\n', 400],
  ['HTTP/1.1 without Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
  ['a malformed Host', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
  ['userinfo in Host', 'GET / HTTP/1.1\r\nHost: user@a\r\n\r\n', 400],
  [
    'both lengths',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc', 400],
  ['a negative length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n', 400],
  ['another coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 400],
  ['chunked in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['a broken chunk', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
  ['a space in a name', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400],
  ['HTTP/2 in clear text', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['an asterisk', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['an ambiguous path', 'GET /a/%2e%2e/../../x HTTP/1.1\r\nHost: b\r\n\r\n', 404],
  ['another method', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405],
  ['an unknown host', 'GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n', 404],
  ['a head that is too large', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ['too many fields', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(300)}\r\n`, 431],
])('%s is refused in the words of the contract', async (_name, bytes, status) => {
  const { thread, upstream } = refusing
  const client = await RawClient.connect(thread.port)
  const answer = await client.request(bytes)
  expect(answer.status).toBe(status)
  const json = JSON.parse(answer.body.toString()) as Record<string, string>
  expect(Object.keys(json)).toEqual(['error', 'message', 'request_id'])
  if (status === 405) expect(answer.header('allow')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  if (status === 400 || status === 431) {
    expect(answer.header('connection')).toBe('close')
    await client.closed
  }
  expect(upstream.received.filter(({ url, body }) => url !== '/fine' && body !== null)).toEqual([])
  // The thread is well, and so is the next client.
  const next = await RawClient.connect(thread.port)
  expect((await next.request(get('/fine'))).status).toBe(200)
  expect(thread.warnings).toEqual([])
})

test('a broken request behind good ones is refused after they are answered', async () => {
  let finish: ServerResponse | null = null
  const upstream = await startUpstream((request, response) => {
    if (request.url === '/slow') finish = response
    else response.end('fast')
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  client.send(`${get('/slow')}${get('/fast')}BROKEN\r\n\r\n`)
  await until(() => finish, { what: 'the slow request' })
  expect(client.received.length).toBe(0)
  ;(finish as ServerResponse | null)?.end('slow')
  expect((await client.response()).body.toString()).toBe('slow')
  expect((await client.response()).body.toString()).toBe('fast')
  expect((await client.response()).status).toBe(400)
  await client.closed
})

test('a head that does not arrive in time is answered 408', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { listen: { timeouts: { header_ms: 500 } } })
  const client = await RawClient.connect(thread.port)
  const answer = await client.request('GET / HTTP/1.1\r\nHost: a\r\nX-Slow')
  expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'request_timeout' })
  await client.closed
})

test('a client that does not read its answer is closed after body_idle_ms', async () => {
  const upstream = await startUpstream((_request, response) => {
    response.write(Buffer.alloc(32 * 1024 * 1024))
  })
  const thread = await startThread(upstream, {
    listen: { timeouts: { body_idle_ms: 300 } },
    mirrors: [{ name: 'm' }],
  })
  const client = await RawClient.connect(thread.port)
  client.socket.pause()
  client.send(get('/'))
  await until(() => thread.cell('exchangesOpen') === 1, { what: 'the exchange' })
  await thread.quiet()
  expect((await thread.exchanges(1))[0]).toMatchObject({ outcome: 'timeout', status: 200 })
})

test('connections above the limit are told so, over all threads together', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { listen: { limits: { connections: 3 } } })
  const open = await Promise.all([1, 2, 3].map(() => RawClient.connect(thread.port)))
  for (const client of open) expect((await client.request(get('/'))).status).toBe(200)
  const refused = await RawClient.connect(thread.port)
  const answer = await refused.response()
  expect(answer.status).toBe(503)
  expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'overloaded' })
  await refused.closed
  open[0]?.destroy()
  await until(() => thread.cell('connectionsOpen') === 2, { what: 'a free place' })
  expect((await (await RawClient.connect(thread.port)).request(get('/'))).status).toBe(200)
})

test('a connection ends after requests_per_connection', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { listen: { limits: { requests_per_connection: 2 } } })
  const client = await RawClient.connect(thread.port)
  expect((await client.request(get('/'))).header('connection')).toBe('keep-alive')
  expect((await client.request(get('/'))).header('connection')).toBe('close')
  await client.closed
})

test('a taken port is said, not waited for', async () => {
  const upstream = await startUpstream()
  const thread = new DataThread({ collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }] })
  const failed = thread.next('listen_failed')
  thread.post({ type: 'listen', host: '127.0.0.1', port: upstream.port })
  expect(await failed).toMatchObject({ code: 'EADDRINUSE' })
})

test('a drain answers with close, then refuses, then ends when the last answer is out', async () => {
  const open: ServerResponse[] = []
  const upstream = await startUpstream((request, response) => {
    if (request.url === '/open') open.push(response)
    else response.end('ok')
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const [idle, slow, behind] = await Promise.all([1, 2, 3].map(() => RawClient.connect(thread.port)))
  if (idle === undefined || slow === undefined || behind === undefined) throw new Error('three clients')
  expect((await idle.request(get('/'))).header('connection')).toBe('keep-alive')
  slow.send(get('/open'))
  behind.send(get('/open') + get('/late'))
  await until(() => open.length === 2, { what: 'two open requests' })
  const drained = thread.next('drained')
  thread.post({ type: 'drain', graceMs: 300 })
  // In its grace it still accepts; poll, since the message may still be on its way.
  await until(
    async () => {
      const client = await RawClient.connect(thread.port)
      return (await client.request(get('/'))).header('connection') === 'close'
    },
    { what: 'an answer with close' },
  )
  await idle.closed
  await untilRefused(thread.port)
  for (const response of open) response.end('done')
  expect(await slow.response()).toMatchObject({ status: 200 })
  expect((await behind.response()).header('connection')).toBe('close')
  await drained
  const types = thread.messages.map(({ type }) => type)
  expect(types.lastIndexOf('slab')).toBeLessThan(types.indexOf('drained'))
  expect(thread.captured.filter(({ target }) => target === '/open')).toHaveLength(2)
})

test('a request whose head was still arriving when the drain began is answered 503', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const drained = thread.next('drained')
  client.send('GET / HTTP/1.1\r\nHos')
  // The thread has read it once a later connection is answered.
  await (await RawClient.connect(thread.port)).request('GET / HTTP/1.0\r\n\r\n')
  thread.post({ type: 'drain', graceMs: 0 })
  await untilRefused(thread.port)
  const answer = await client.request('t: a\r\n\r\n')
  expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'draining' })
  expect(answer.status).toBe(503)
  expect(answer.header('connection')).toBe('close')
  await drained
})

test('floods of pipelined requests are bounded over all connections', async () => {
  const upstream = await startUpstream(() => {})
  // A connection that is not read is only seen to be gone when something is written to it.
  const collection = { name: 'api', upstreams: [{ url: upstream.url }], timeouts: { response_ms: 1000 } }
  const thread = await startThread(upstream, { collection, listen: { limits: { pipelined: 1000 } } })
  const clients = await Promise.all(Array.from({ length: 24 }, () => RawClient.connect(thread.port)))
  for (const client of clients) client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1100))
  await until(() => clients.some(({ ended }) => ended), { what: 'a closed connection' })
  expect(clients.some(({ ended }) => !ended)).toBe(true)
  for (const client of clients) client.destroy()
  await thread.quiet()
})

test('abort ends every connection, and their exchanges are sealed', async () => {
  const upstream = await startUpstream(() => {})
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(thread.port)))
  for (const client of clients) client.send(get('/'))
  await until(() => thread.cell('exchangesOpen') === 20, { what: 'open exchanges' })
  const drained = thread.next('drained')
  thread.post({ type: 'drain', graceMs: 0 })
  thread.post({ type: 'abort' })
  await drained
  await Promise.all(clients.map(({ closed }) => closed))
  expect(thread.captured).toHaveLength(20)
})

test('empty lines keep no idle connection open', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { listen: { timeouts: { header_ms: 1000, idle_ms: 1000 } } })
  const client = await RawClient.connect(thread.port)
  const dripping = setInterval(() => {
    client.send('\r')
    setImmediate(() => client.send('\n'))
  }, 100)
  onEnd(() => clearInterval(dripping))
  await client.closed
  expect(client.received.toString()).toBe('')
})

test('a flood of connections above the limit takes a bounded number of descriptors', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { listen: { limits: { connections: 1 } } })
  const held = await RawClient.connect(thread.port)
  expect((await held.request(get('/'))).status).toBe(200)
  const { port } = thread
  // They never end their side, so that the gateway waits for them in vain.
  const told = await Promise.all(
    Array.from({ length: limits.refused_connections_max * 3 }, async () => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      onEnd(() => socket.destroy())
      let text = ''
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('error', () => {})
      await Promise.race([once(socket, 'end'), once(socket, 'close')])
      return text.includes('overloaded')
    }),
  )
  expect(told).toContain(true)
  expect(told).toContain(false)
  const overloaded = thread.counters.cells[threadCell.rejected + rejectReasons.indexOf('overloaded')]
  expect(overloaded).toBe(told.length)
  expect((await held.request(get('/'))).status).toBe(200)
})

test('a lower limit of requests counts for connections that are past it', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 3; round++) {
    expect((await client.request(get('/'))).header('connection')).toBe('keep-alive')
  }
  const collections = [{ name: 'api', upstreams: [{ url: upstream.url }] }]
  await thread.apply({ listen: { limits: { requests_per_connection: 2 } }, collections })
  expect((await client.request(get('/'))).header('connection')).toBe('close')
})

test('an answer whose head promised more ends its connection when a drain has begun meanwhile', async () => {
  let finish = () => {}
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-length': 4 })
    response.write('ab')
    finish = () => response.end('cd')
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  client.send(get('/'))
  await client.arrives('ab')
  const drained = thread.next('drained')
  thread.post({ type: 'drain', graceMs: 0 })
  await untilRefused(thread.port)
  finish()
  expect((await client.response()).body.toString()).toBe('abcd')
  await drained
})
