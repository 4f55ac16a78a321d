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

test('100-continue is answered by the gateway once the route takes the body', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, {
    collection: {
      name: 'api',
      upstreams: [{ url: upstream.url }],
      prefix: '/api',
      limits: { body_bytes: 10 },
    },
  })
  const head = (path: string, length: number) =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`
  const client = await RawClient.connect(thread.port)
  client.send(head('/api', 2))
  expect((await client.head()).status).toBe(100)
  client.send('ok')
  expect((await client.response()).status).toBe(200)
  expect(upstream.received[0]?.headers.expect).toBeUndefined()
  for (const [path, length, status] of [
    ['/other', 2, 404],
    ['/api', 11, 413],
  ] as const) {
    const other = await RawClient.connect(thread.port)
    const answer = await other.request(head(path, length))
    expect(answer).toMatchObject({ status, interim: [] })
    await other.closed
  }
  const unknown = await RawClient.connect(thread.port)
  const answer = await unknown.request('GET /api HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n')
  expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'expectation_failed' })
  await unknown.closed
  expect(upstream.received).toHaveLength(1)
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
