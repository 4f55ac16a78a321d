/** What a client is told when an upstream fails, when it is tried again, what is never made to look whole. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { type DataThread, type PlanParts, startThread } from '../support/data-thread.ts'
import { answering, readHead, startRawUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const post = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok'

async function closedPort(): Promise<{ url: string }> {
  const upstream = await startUpstream()
  await upstream.stop()
  return { url: upstream.url }
}

async function errorOf(
  thread: DataThread,
  bytes = get,
): Promise<{ status: number; error: string; outcome: string }> {
  const client = await RawClient.connect(thread.port)
  const before = thread.captured.length
  const answer = await client.request(bytes)
  const json = JSON.parse(answer.body.toString()) as { error: string; request_id: string; message: string }
  expect(answer.header('content-type')).toBe('application/json')
  expect(json.message).not.toBe('')
  expect(answer.header('server')).toBeNull()
  const captured = (await thread.exchanges(before + 1)).at(-1)
  expect(captured?.id).toBe(json.request_id)
  expect(captured?.status).toBe(answer.status)
  expect(captured?.responseBody.text).toBe(answer.body.toString())
  return { status: answer.status, error: json.error, outcome: captured?.outcome ?? '' }
}

const mirrored = { mirrors: [{ name: 'm' }] }
type CollectionParts = PlanParts['collections'][number]
const withCollection = (url: string, parts: Omit<CollectionParts, 'name'>) => ({
  ...mirrored,
  collection: { name: 'api', upstreams: [{ url }], mirrors: ['m'], ...parts },
})

test('nobody listens: 502 upstream_unreachable', async () => {
  const thread = await startThread(await closedPort(), mirrored)
  expect(await errorOf(thread)).toEqual({
    status: 502,
    error: 'upstream_unreachable',
    outcome: 'upstream_error',
  })
  expect(await errorOf(thread, post)).toMatchObject({ error: 'upstream_unreachable' })
  expect(thread.collection('api', 'upstreamErrors', 0)).toBe(4)
})

test('it closes before it answers: 502 upstream_reset', async () => {
  for (const end of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]) {
    const upstream = await startRawUpstream((socket) => {
      socket.once('data', () => end(socket))
    })
    const thread = await startThread(upstream, mirrored)
    expect(await errorOf(thread)).toEqual({ status: 502, error: 'upstream_reset', outcome: 'upstream_error' })
    // One retry of what is idempotent, none of a body that was sent.
    expect(upstream.accepted).toBe(2)
    expect(await errorOf(thread, post)).toMatchObject({ error: 'upstream_reset' })
    expect(upstream.accepted).toBe(3)
  }
})

test.each([
  ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
  ['a broken head', 'HTTP/1.1 200 OK\r\nNo colon here\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['a head that is too large', `HTTP/1.1 200 OK\r\nX-Big: ${'x'.repeat(70_000)}\r\n\r\n`],
  ['bytes after its end', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n'],
])('it answers with %s: 502 upstream_protocol_error', async (_name, bytes) => {
  const upstream = await startRawUpstream(answering(bytes))
  const thread = await startThread(upstream, mirrored)
  expect(await errorOf(thread)).toEqual({
    status: 502,
    error: 'upstream_protocol_error',
    outcome: 'upstream_error',
  })
  expect(thread.warnings).toEqual([])
})

test('no time-out comes before its time, whenever the request comes', async () => {
  const upstream = await startRawUpstream(() => {})
  const parts = withCollection(upstream.url, { timeouts: { response_ms: 90 } })
  const thread = await startThread(upstream, parts)
  const lane = async (afterMs: number) => {
    const client = await RawClient.connect(thread.port)
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    const sentAt = performance.now()
    expect((await client.request(get)).status).toBe(504)
    return performance.now() - sentAt
  }
  const times = await Promise.all(Array.from({ length: 20 }, (_, index) => lane(index * 9)))
  expect(Math.min(...times)).toBeGreaterThanOrEqual(90)
})

test('it does not answer in time: 504, and its connection is given up', async () => {
  const upstream = await startRawUpstream((socket) => void socket.resume())
  const thread = await startThread(upstream, withCollection(upstream.url, { timeouts: { response_ms: 200 } }))
  expect(await errorOf(thread)).toEqual({ status: 504, error: 'upstream_timeout', outcome: 'timeout' })
  await until(() => upstream.sockets.size === 0, { what: 'no connection to the upstream' })
})

test.each([
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
])('an answer with %s that is cut is seen to be cut', async (_name, bytes) => {
  for (const end of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]) {
    let cut = () => {}
    const upstream = await startRawUpstream((socket) => {
      socket.once('data', () => {
        socket.write(bytes)
        cut = () => end(socket)
      })
    })
    const thread = await startThread(upstream, mirrored)
    const client = await RawClient.connect(thread.port)
    client.send(get)
    await client.arrives('hello')
    cut()
    expect(await client.response()).toMatchObject({ status: 200, complete: false })
    await client.closed
    const [captured] = await thread.exchanges(1)
    expect(captured).toMatchObject({ outcome: 'upstream_error', status: 200 })
    expect(captured?.responseBody).toMatchObject({ text: 'hello', size: 5 })
    expect(thread.collection('api', 'upstreamErrors', 4)).toBe(1)
  }
})

test('a cut answer to an HTTP/1.0 client ends with a reset: an orderly end would look whole', async () => {
  let cut = () => {}
  const upstream = await startRawUpstream((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
      cut = () => socket.destroy()
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  const failed = new Promise<string>((resolve) => {
    client.socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
  })
  client.send('GET / HTTP/1.0\r\n\r\n')
  await client.arrives('hello')
  cut()
  expect(await failed).toBe('ECONNRESET')
})

test('an answer that stops in the middle is cut after idle_ms', async () => {
  const upstream = await startRawUpstream(answering('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello'))
  const thread = await startThread(upstream, withCollection(upstream.url, { timeouts: { idle_ms: 200 } }))
  const client = await RawClient.connect(thread.port)
  expect(await client.request(get)).toMatchObject({ status: 200, complete: false })
  expect((await thread.exchanges(1))[0]).toMatchObject({ outcome: 'timeout', status: 200 })
})

test('a socket that the upstream closed while idle is not the client’s problem', async () => {
  const upstream = await startRawUpstream((socket) => {
    let requests = 0
    socket.on('data', () => {
      // The second request on each connection meets a closed one.
      if (++requests === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      else socket.resetAndDestroy()
    })
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 5; round++) expect((await client.request(get)).body.toString()).toBe('ok')
})

test('what was never sent goes to the next upstream, whatever its method', async () => {
  const good = await startUpstream()
  const thread = await startThread([await closedPort(), good], mirrored)
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 6; round++) expect(await client.request(post)).toMatchObject({ status: 200 })
  expect(good.received.map(({ body }) => body?.toString())).toEqual(Array(6).fill('ok'))
})

test('an upstream that keeps failing is left out for a while', async () => {
  const bad = await closedPort()
  const good = await startUpstream()
  const thread = await startThread([bad, good], {
    collection: {
      name: 'api',
      upstreams: [{ url: bad.url }, { url: good.url }],
      eject: { after_failures: 2, for_ms: 600_000 },
    },
  })
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 20; round++) expect((await client.request(get)).status).toBe(200)
  expect(thread.upstream('api', bad.url, 'failures')).toBe(2)
  expect(thread.upstream('api', bad.url, 'ejected')).toBe(1)
  expect(thread.upstream('api', good.url, 'requests')).toBe(20)
})

test('retries stop when their budget is spent', async () => {
  const upstream = await startRawUpstream((socket) => {
    socket.once('data', () => socket.destroy())
  })
  const thread = await startThread(
    upstream,
    withCollection(upstream.url, { retry: { attempts: 1, budget: 0.1 } }),
  )
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 100; round++) expect((await client.request(get)).status).toBe(502)
  expect(upstream.accepted).toBeGreaterThanOrEqual(110)
  expect(upstream.accepted).toBeLessThanOrEqual(125)
})

test('as many requests wait as may; one more is told so at once', async () => {
  const sockets: Socket[] = []
  const upstream = await startRawUpstream((socket) => {
    sockets.push(socket)
  })
  const thread = await startThread(
    upstream,
    withCollection(upstream.url, { limits: { connections_per_upstream: 2, pending: 3 } }),
  )
  const clients = await Promise.all(Array.from({ length: 6 }, () => RawClient.connect(thread.port)))
  for (const client of clients.slice(0, 5)) {
    client.send(get)
    await until(() => thread.cell('exchangesOpen') === clients.indexOf(client) + 1, {
      what: 'an open exchange',
    })
  }
  expect(thread.cell('requestsInFlight')).toBe(2)
  const refused = await (clients[5] as RawClient).request(get)
  expect(refused.status).toBe(503)
  expect(refused.header('retry-after')).toBe('1')
  expect(JSON.parse(refused.body.toString())).toMatchObject({ error: 'overloaded' })
  // One that waits leaves: its place is free again.
  clients[4]?.destroy()
  await until(() => thread.cell('exchangesOpen') === 4, { what: 'a free place' })
  const last = await RawClient.connect(thread.port)
  last.send(get)
  await until(() => sockets.length === 2, { what: 'two connections' })
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  for (const socket of sockets) {
    socket.on('data', () => socket.write(answer))
    socket.resume()
  }
  for (const client of [...clients.slice(0, 4), last]) expect((await client.response()).status).toBe(200)
  expect(upstream.accepted).toBe(2)
})

test('a client that leaves cancels the request at once', async () => {
  const upstream = await startRawUpstream((socket) => void readHead(socket).catch(() => {}))
  const thread = await startThread(upstream, mirrored)
  const client = await RawClient.connect(thread.port)
  client.send(get)
  await until(() => upstream.sockets.size === 1, { what: 'the request' })
  client.destroy()
  await until(() => upstream.sockets.size === 0, { what: 'the end of the upstream connection' })
  expect((await thread.exchanges(1))[0]).toMatchObject({
    outcome: 'client_aborted',
    status: null,
    answeredAt: 0,
  })
})

test('a client that leaves in mid-answer, or in mid-upload, too', async () => {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    if (request.method === 'GET') response.write('part')
  })
  const thread = await startThread(upstream, mirrored)
  const reader = await RawClient.connect(thread.port)
  reader.send(get)
  await reader.arrives('part')
  reader.destroy()
  await until(() => upstream.sockets.size === 0, { what: 'the end of the upstream connection' })
  const uploader = await RawClient.connect(thread.port)
  uploader.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
  await until(() => upstream.received[1]?.bytes === 4, { what: 'half of the upload' })
  uploader.destroy()
  await until(() => upstream.received[1]?.aborted, { what: 'the end of the upload' })
  expect(await thread.exchanges(2)).toMatchObject([
    { outcome: 'client_aborted', status: 200, responseBody: { text: 'part' } },
    { outcome: 'client_aborted', status: null, requestBody: { text: 'half', size: 4 } },
  ])
  await thread.quiet()
})

test('an upload that stands still is answered 408', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, { ...mirrored, listen: { timeouts: { body_idle_ms: 200 } } })
  const stalled = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf'
  expect(await errorOf(thread, stalled)).toEqual({
    status: 408,
    error: 'request_timeout',
    outcome: 'timeout',
  })
  await until(() => upstream.received[0]?.aborted, { what: 'the end of the upload' })
})

test('a body above body_bytes is answered 413, told by its length or found on the way', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, withCollection(upstream.url, { limits: { body_bytes: 10 } }))
  const large = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n'
  expect(await errorOf(thread, large)).toEqual({ status: 413, error: 'body_too_large', outcome: 'rejected' })
  const chunked =
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n'
  expect(await errorOf(thread, chunked)).toEqual({
    status: 413,
    error: 'body_too_large',
    outcome: 'rejected',
  })
  expect(upstream.received.every(({ body }) => body === null)).toBe(true)
})
