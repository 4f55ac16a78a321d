/** What comes in pieces goes out in pieces: event streams, interim answers, heads without a body yet. */
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { startThread } from '../support/data-thread.ts'
import { answering, startRawUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

test('each event reaches the client before the upstream sends the next', async () => {
  let stream: ServerResponse | null = null
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    stream = response
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  // The head alone, before there is any body.
  expect((await client.head()).header('content-type')).toBe('text/event-stream')
  for (let event = 1; event <= 5; event++) {
    ;(stream as ServerResponse | null)?.write(`data: ${event}\n\n`)
    await client.arrives(`data: ${event}\n\n`)
  }
  ;(stream as ServerResponse | null)?.end()
  await client.arrives('0\r\n\r\n')
  const [captured] = await thread.exchanges(1)
  expect(captured?.responseBody.text).toBe('data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\ndata: 5\n\n')
})

test('103 reaches an HTTP/1.1 client before the answer, and no HTTP/1.0 client', async () => {
  const upstream = await startRawUpstream(
    answering(
      'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    ),
  )
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const answer = await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(answer.interim.map(({ status, rawHeaders }) => [status, ...rawHeaders])).toEqual([
    [103, 'Link', '</a.css>; rel=preload'],
  ])
  expect(answer.body.toString()).toBe('ok')
  const old = await RawClient.connect(thread.port)
  expect((await old.request('GET / HTTP/1.0\r\n\r\n')).interim).toEqual([])
})

test('a 101 that nobody asked for is an error', async () => {
  const upstream = await startRawUpstream(answering('HTTP/1.1 101 Switching Protocols\r\n\r\n'))
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const answer = await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'upstream_protocol_error' })
})

test('Upgrade is not passed on, and the request is', async () => {
  const upstream = await startUpstream((_request, response) => response.end('plain'))
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 2; round++) {
    const answer = await client.request(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
    expect(answer.body.toString()).toBe('plain')
  }
  expect(upstream.received[0]?.headers.upgrade).toBeUndefined()
})

const expecting = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nX-A: b\r\nContent-Length: ${length}\r\n\r\n`

test('Expect travels to the upstream, its 100 to the client, and then the body', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, {
    collection: {
      name: 'api',
      upstreams: [{ url: upstream.url }],
      prefix: '/api',
      limits: { body_bytes: 10 },
    },
  })
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 2; round++) {
    client.send(expecting('/api', 2))
    expect((await client.head()).status).toBe(100)
    client.send('ok')
    expect((await client.response()).status).toBe(200)
    const { rawHeaders, body } = upstream.received[round] ?? {}
    expect(rawHeaders?.slice(0, 6)).toEqual(['Host', 'a', 'Expect', '100-continue', 'X-A', 'b'])
    expect(body?.toString()).toBe('ok')
  }
  for (const [path, length, status] of [
    ['/other', 2, 404],
    ['/api', 11, 413],
  ] as const) {
    const other = await RawClient.connect(thread.port)
    const answer = await other.request(expecting(path, length))
    expect(answer).toMatchObject({ status, interim: [] })
    await other.closed
  }
  const unknown = await RawClient.connect(thread.port)
  const answer = await unknown.request('GET /api HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n')
  expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'expectation_failed' })
  await unknown.closed
  expect(upstream.received).toHaveLength(2)
})

test('an upstream that does not want the body says so at once, and the client need not send it', async () => {
  const bytes: string[] = []
  const upstream = await startRawUpstream((socket) => {
    socket.on('data', (chunk) => {
      bytes.push(chunk.toString('latin1'))
      socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig')
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const answer = await client.request(expecting('/', 100))
  expect(answer).toMatchObject({ status: 413, interim: [] })
  // Whether the body still comes is the client's choice, so nothing can follow on this connection.
  expect(answer.header('connection')).toBe('close')
  await client.closed
  expect(bytes).toHaveLength(1)
  expect(bytes[0]).toMatch(/\r\nconnection: keep-alive\r\n\r\n$/)
})

test('a client that does not wait for the 100 may send its body', async () => {
  const upstream = await startRawUpstream((socket) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (text.endsWith('\r\n\r\nok')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone')
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const answer = await client.request(`${expecting('/', 2)}ok`)
  expect(answer).toMatchObject({ status: 200, interim: [] })
  expect(answer.body.toString()).toBe('done')
})

test('before an HTTP/1.0 upstream the gateway answers 100 itself', async () => {
  const heads: string[] = []
  const upstream = await startRawUpstream((socket) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (!text.endsWith('\r\n\r\n') && !text.endsWith('ok')) return
      heads.push(text)
      socket.end('HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ndone')
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  // What an upstream speaks is known by its answers.
  expect((await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(200)
  client.send(expecting('/', 2))
  expect((await client.head()).status).toBe(100)
  client.send('ok')
  expect((await client.response()).body.toString()).toBe('done')
  expect(heads[1]).not.toMatch(/expect/i)
  expect(heads[1]).toContain('X-A: b')
})

test('an HTTP/1.0 answer that comes before the body is not interrupted by a 100', async () => {
  const length = 4_000_000
  const upstream = await startRawUpstream((socket) => {
    let bytes = 0
    socket.on('data', (chunk) => {
      if (bytes === 0) socket.write('HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nhalf')
      bytes += chunk.length
      if (bytes > length) socket.write('half')
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  client.send(expecting('/', length))
  await client.arrives('half')
  client.send(Buffer.alloc(length))
  const { status, interim, body } = await client.response()
  expect([status, interim, body.toString()]).toEqual([200, [], 'halfhalf'])
})

test('Expect without a body, or from HTTP/1.0, ends at the gateway', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  await client.request('GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n')
  const old = await RawClient.connect(thread.port)
  await old.request('POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok')
  expect(upstream.received.map(({ headers }) => headers.expect)).toEqual([undefined, undefined])
  expect(upstream.received[1]?.body?.toString()).toBe('ok')
})

test('a 100 that nobody waits for is passed on', async () => {
  const upstream = await startRawUpstream(
    answering('HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
  )
  const client = await RawClient.connect((await startThread(upstream)).port)
  const answer = await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(answer.interim.map(({ status, rawHeaders }) => [status, ...rawHeaders])).toEqual([[100, 'X-A', 'b']])
  expect(answer.status).toBe(200)
})

test('an early answer reaches the client, and the next request on its connection works', async () => {
  const upstream = await startUpstream((request, response) => {
    if (request.method === 'POST') response.writeHead(413, { 'content-length': 8 }).end('too much')
    else response.end('next')
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(1000)}`)
  const early = await client.response()
  expect(early.status).toBe(413)
  expect(early.body.toString()).toBe('too much')
  client.send('y'.repeat(99_000))
  expect((await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).body.toString()).toBe('next')
  expect((await thread.exchanges(2)).map(({ status }) => status)).toEqual([413, 200])
})

test('an upload that goes on too long after its answer ends the connection', async () => {
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(401, { 'content-length': 2 }).end('no')
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n${'x'.repeat(1000)}`)
  expect((await client.response()).body.toString()).toBe('no')
  let sent = 0
  await until(
    () => {
      if (client.socket.writable && client.socket.writableLength < 1_000_000) {
        client.socket.write(Buffer.alloc(100_000))
        sent += 100_000
      }
      return client.ended
    },
    { what: 'the end of the connection', every_ms: 5 },
  )
  expect(sent).toBeLessThan(100_000_000)
  client.destroy()
  await thread.quiet()
})

test('an Expect for this hop is answered here, and trailers claim nothing that heads may not', async () => {
  const heads: string[] = []
  const upstream = await startRawUpstream((socket) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (!text.endsWith('\r\n\r\n') || !text.includes('\r\n0\r\n')) return
      heads.push(text)
      text = ''
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  client.send(
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Expect\r\nExpect: 100-continue\r\n' +
      'Transfer-Encoding: chunked\r\n\r\n',
  )
  expect((await client.head()).status).toBe(100)
  client.send('2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: ::9\r\nX-Real-IP: ::9\r\nVia: x\r\n\r\n')
  expect((await client.response()).status).toBe(200)
  expect(heads[0]?.split('\r\n0\r\n')[1]).toBe('X-Sum: 1\r\n\r\n')
  expect(heads[0]).not.toMatch(/expect/i)
})
