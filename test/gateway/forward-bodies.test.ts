/** Bodies pass in every framing, in both directions, at the speed of the slower side. */
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { RawClient, valuesOf } from '../support/client.ts'
import { startThread } from '../support/data-thread.ts'
import { answering, startRawUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'
import { SOAK_MS, soak } from '../support/soak.ts'

const MIB = 1024 * 1024
const echo = async () =>
  startUpstream((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => response.end(Buffer.concat(chunks)))
  })

test.each([
  ['GET without a body', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', ''],
  ['GET with a body', 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc', 'abc'],
  [
    'DELETE with a chunked body',
    'DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    'abc',
  ],
  ['POST of length 0', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n', ''],
  ['POST without a length', 'POST / HTTP/1.1\r\nHost: a\r\n\r\n', ''],
  ['POST of no chunks', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', ''],
  [
    'PUT in 1-byte chunks',
    `PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(500)}0\r\n\r\n`,
    'x'.repeat(500),
  ],
])('%s', async (_name, bytes, body) => {
  const upstream = await echo()
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  for (let round = 1; round <= 2; round++) {
    const answer = await client.request(bytes)
    expect(answer).toMatchObject({ status: 200, complete: true })
    expect(answer.body.toString()).toBe(body)
  }
  const captured = await thread.exchanges(2)
  expect(captured.map(({ requestBody }) => requestBody.text)).toEqual([body, body])
  expect(captured.map(({ responseBody }) => responseBody.size)).toEqual([body.length, body.length])
})

test.each([
  ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', '10'],
  ['HEAD of a chunked answer', 'HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', null],
  ['204', 'GET', 'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n', null],
  ['204 with a length', 'GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', null],
  ['304 with a length', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n', '10'],
])('%s has no body and keeps the connection', async (_name, method, bytes, length) => {
  const upstream = await startRawUpstream(answering(bytes))
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  for (let round = 1; round <= 3; round++) {
    const answer = await client.request(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`, method)
    expect(String(answer.status)).toBe(bytes.slice(9, 12))
    expect(answer.header('content-length')).toBe(length)
    expect(answer.header('transfer-encoding')).toBeNull()
  }
  expect(client.rest.length).toBe(0)
  const captured = await thread.exchanges(3)
  expect(captured.map(({ responseBody }) => responseBody.size)).toEqual([0, 0, 0])
})

test('answers in every framing arrive whole', async () => {
  for (const bytes of [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\n\r\nhello',
    'HTTP/1.0 200 OK\r\n\r\nhello',
  ]) {
    const upstream = await startRawUpstream((socket) => {
      socket.once('data', () => socket.end(bytes))
    })
    const thread = await startThread(upstream)
    const client = await RawClient.connect(thread.port)
    for (let round = 0; round < 2; round++) {
      const answer = await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      expect(answer).toMatchObject({ status: 200, complete: true })
      expect(answer.body.toString()).toBe('hello')
    }
    const old = await RawClient.connect(thread.port)
    const answer = await old.request('GET / HTTP/1.0\r\n\r\n')
    expect(answer.body.toString()).toBe('hello')
    expect(answer.header('transfer-encoding')).toBeNull()
    await old.closed
  }
})

test('an HTTP/1.0 client may keep its connection', async () => {
  const upstream = await startUpstream((_request, response) => response.end('ok'))
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  for (let round = 0; round < 3; round++) {
    const answer = await client.request('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
    expect(answer.body.toString()).toBe('ok')
    expect(answer.header('connection')).toBe('keep-alive')
  }
  expect(valuesOf(upstream.received[0]?.rawHeaders ?? [], 'via')).toEqual(['1.0 mirrorgate'])
})

test('trailers arrive on the other side, both ways, and are captured', async () => {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => {
      response.writeHead(200, { trailer: 'grpc-status' })
      response.write('body')
      response.addTrailers({ 'grpc-status': '0', 'X-Sum': '9' })
      response.end()
    })
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  const answer = await client.request(
    'POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Check\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '2\r\nhi\r\n0\r\nX-Check: 7\r\nHost: evil.test\r\n\r\n',
  )
  const [got] = upstream.received
  expect(got?.body?.toString()).toBe('hi')
  expect(got?.rawTrailers).toEqual(['X-Check', '7'])
  expect(got?.headers.trailer).toBe('X-Check')
  expect(answer.rawTrailers).toEqual(['grpc-status', '0', 'X-Sum', '9'])
  expect(answer.header('trailer')).toBe('grpc-status')
  const [captured] = await thread.exchanges(1)
  expect(captured?.requestTrailers).toEqual(['X-Check', '7', 'Host', 'evil.test'])
  expect(captured?.responseTrailers).toEqual(['grpc-status', '0', 'X-Sum', '9'])
  const old = await RawClient.connect(thread.port)
  expect((await old.request('GET / HTTP/1.0\r\n\r\n')).body.toString()).toBe('body')
})

/** 256 MiB in a test run, 10 GiB in a soak. */
const pieces = soak ? 10_240 : 256
const timeout = soak ? SOAK_MS : 60_000

test('256 MiB pass each way with little memory, capture on', { timeout }, async () => {
  const total = pieces * MIB
  const piece = Buffer.alloc(MIB, 120)
  const upstream = await startUpstream((request, response) => {
    if (request.method === 'POST') {
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      request.on('end', () => response.end(String(bytes)))
      return
    }
    response.writeHead(200, { 'content-length': total })
    let left = pieces
    const more = () => {
      while (left > 0) {
        left--
        if (!response.write(piece)) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const client = await RawClient.connect(thread.port)
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${total}\r\n\r\n`)
  let peak = 0
  const look = () => {
    peak = Math.max(peak, thread.cell('captureBytes'))
  }
  for (let i = 0; i < pieces; i++) {
    if (!client.socket.write(piece)) await once(client.socket, 'drain')
    look()
  }
  expect((await client.response()).body.toString()).toBe(String(total))
  // A reader of its own: RawClient would keep all of it.
  const reader = await RawClient.connect(thread.port)
  reader.socket.removeAllListeners('data')
  let bytes = 0
  reader.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    look()
  })
  const before = process.memoryUsage().rss
  reader.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => bytes > total, { what: 'the whole body', within_ms: timeout })
  expect(process.memoryUsage().rss - before).toBeLessThan(160 * MIB)
  expect(peak).toBeLessThan(limits.slab_bytes_max + MIB)
  const captured = await thread.exchanges(2)
  expect(captured[0]?.requestBody).toMatchObject({ size: total, limited: false })
  expect(captured[0]?.requestBody.bytes.length).toBe(262_144)
  expect(captured[1]?.responseBody).toMatchObject({ size: total, limited: false })
})

test('a client that does not read stops the upstream, and the other way round', async () => {
  let written = 0
  const upstream = await startUpstream((request, response) => {
    if (request.method === 'POST') return
    response.writeHead(200)
    const piece = Buffer.alloc(64 * 1024)
    const more = () => {
      do {
        written += piece.length
      } while (response.write(piece))
      response.once('drain', more)
    }
    more()
  })
  const thread = await startThread(upstream)
  const client = await RawClient.connect(thread.port)
  client.socket.pause()
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => written > 0, { what: 'the first write' })
  let before = -1
  await until(
    () => {
      const still = written === before
      before = written
      return still
    },
    { what: 'the upstream to stand still', every_ms: 300 },
  )
  expect(written).toBeLessThan(64 * MIB)
  const uploader = await RawClient.connect(thread.port)
  uploader.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${1024 * MIB}\r\n\r\n`)
  const piece = Buffer.alloc(MIB)
  let sent = 0
  for (; sent < 128 && uploader.socket.write(piece); sent++);
  await until(
    () => {
      const still = uploader.socket.bytesWritten - uploader.socket.writableLength === before
      before = uploader.socket.bytesWritten - uploader.socket.writableLength
      return still
    },
    { what: 'the uploader to stand still', every_ms: 300 },
  )
  expect(before).toBeLessThan(64 * MIB)
})
