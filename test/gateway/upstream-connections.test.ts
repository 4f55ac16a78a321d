/** Connections to upstreams: which one is used again, which is not, what becomes of one that was closed. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { type DataThread, type PlanParts, startThread } from '../support/data-thread.ts'
import { answering, startRawUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

type Collection = Omit<PlanParts['collections'][number], 'name' | 'upstreams'>
const startWith = (upstream: { url: string }, parts: Collection = {}): Promise<DataThread> =>
  startThread(upstream, { collection: { name: 'api', upstreams: [{ url: upstream.url }], ...parts } })

async function errorOf(client: RawClient, bytes = get): Promise<string> {
  const { body } = await client.request(bytes)
  return (JSON.parse(body.toString()) as { error: string }).error
}

/** A raw upstream that answers each request itself: its number on its connection, its connection's number. */
async function startCounting(onRequest: (socket: Socket, request: number, connection: number) => void) {
  const served: number[] = []
  const upstream = await startRawUpstream((socket, connection) => {
    let requests = 0
    socket.on('data', () => {
      served.push(connection)
      onRequest(socket, ++requests, connection)
    })
  })
  return Object.assign(upstream, { served })
}

test('the connection that was used last is used next', async () => {
  const held: Socket[] = []
  const upstream = await startCounting((socket, request) => {
    if (request === 1 && held.length < 3) held.push(socket)
    else socket.write(ok)
  })
  const thread = await startWith(upstream)
  const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(thread.port)))
  for (const [at, client] of clients.entries()) {
    client.send(get)
    await until(() => held.length === at + 1, { what: 'the request' })
  }
  for (const at of [1, 0, 2]) {
    held[at]?.write(ok)
    expect((await (clients[at] as RawClient).response()).status).toBe(200)
  }
  for (let round = 0; round < 3; round++) await clients[0]?.request(get)
  expect(upstream.served).toEqual([1, 2, 3, 3, 3, 3])
})

test('an idle connection is closed before the upstream does it', async () => {
  const upstream = await startRawUpstream(
    answering('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n'),
  )
  const thread = await startWith(upstream)
  const client = await RawClient.connect(thread.port)
  const ended = new Promise<number>((resolve) => {
    const watch = setInterval(() => {
      const [socket] = upstream.sockets
      if (socket === undefined) return
      clearInterval(watch)
      socket.once('end', () => resolve(performance.now()))
    }, 5)
  })
  const sentAt = performance.now()
  await client.request(get)
  const after = (await ended) - sentAt
  expect(after).toBeGreaterThan(700)
  expect(after).toBeLessThan(2000)
})

test.each([
  ['says close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
  ['keeps it for a second only', 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok'],
  ['is HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
])('no connection is used again when the answer %s', async (_name, bytes) => {
  const upstream = await startRawUpstream(answering(bytes))
  const thread = await startWith(upstream)
  const client = await RawClient.connect(thread.port)
  for (let round = 1; round <= 3; round++) {
    expect((await client.request(get)).body.toString()).toBe('ok')
    await until(() => upstream.sockets.size === 0, { what: 'the end of the connection' })
    expect(upstream.accepted).toBe(round)
  }
})

test('an HTTP/1.0 upstream that keeps its connection is let keep it', async () => {
  const upstream = await startRawUpstream(
    answering('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok'),
  )
  const client = await RawClient.connect((await startWith(upstream)).port)
  for (let round = 0; round < 3; round++) expect((await client.request(get)).body.toString()).toBe('ok')
  expect(upstream.accepted).toBe(1)
})

test('bytes after an answer: 502 where they come with it, and never a part of the next answer', async () => {
  const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  let speak = () => {}
  const upstream = await startCounting((socket, _request, connection) => {
    socket.write(connection === 1 ? ok + evil : ok)
    speak = () => socket.write(evil)
  })
  const thread = await startWith(upstream)
  const client = await RawClient.connect(thread.port)
  expect(await errorOf(client)).toBe('upstream_protocol_error')
  expect((await client.request(get)).body.toString()).toBe('ok')
  speak()
  await until(() => upstream.sockets.size === 0, { what: 'the end of the connection' })
  expect((await client.request(get)).body.toString()).toBe('ok')
  expect(upstream.served).toEqual([1, 2, 3])
  expect(client.rest.length).toBe(0)
})

/** Answers the first request of each connection, and closes it on the second. */
const closing = () =>
  startCounting((socket, request) => {
    if (request === 1) socket.write(ok)
    else socket.resetAndDestroy()
  })

test('a request that meets a closed connection is sent again on a new one, no retries left', async () => {
  const upstream = await closing()
  const thread = await startWith(upstream, {
    retry: { attempts: 0 },
    limits: { connections_per_upstream: 1 },
  })
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 4; round++) expect((await client.request(get)).body.toString()).toBe('ok')
  expect(upstream.accepted).toBe(4)
  expect(thread.upstream('api', upstream.url, 'failures')).toBe(0)
})

test.each([
  ['a POST', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok'],
  ['a POST without a body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'],
  ['a PUT with a body', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok'],
])('%s is not: it may have been done', async (_name, bytes) => {
  const upstream = await closing()
  const thread = await startWith(upstream)
  const client = await RawClient.connect(thread.port)
  expect((await client.request(get)).status).toBe(200)
  expect(await errorOf(client, bytes)).toBe('upstream_reset')
  expect(upstream.served).toEqual([1, 1])
  expect(thread.upstream('api', upstream.url, 'failures')).toBe(1)
})

test('a new connection that is closed at once is not tried for ever', async () => {
  const upstream = await startRawUpstream((socket) => {
    socket.once('data', () => socket.destroy())
  })
  const thread = await startWith(upstream, { retry: { attempts: 0 } })
  expect(await errorOf(await RawClient.connect(thread.port))).toBe('upstream_reset')
  expect(upstream.accepted).toBe(1)
})

test('a connection on which an upload was answered early is not used again', async () => {
  const upstream = await startCounting((socket, request) => {
    if (request === 1) socket.write(ok)
  })
  const client = await RawClient.connect((await startWith(upstream)).port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf')
  expect((await client.response()).body.toString()).toBe('ok')
  client.send(' of it')
  expect((await client.request(get)).body.toString()).toBe('ok')
  expect(upstream.accepted).toBe(2)
})
