/** Upstreams that answer an upload before they have read it, and close: the client is told what they said. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { sharedTestGateway, type TestGateway } from '../support/gateway.ts'
import { standsStill } from '../support/process.ts'
import { startRawUpstream, type TestUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const TRIES = 25
const BODY = Buffer.alloc(8_000_000, 0x61)
const PIECE_BYTES = 64_000

const tooLarge = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much'

/** Reads this much of an upload, says this, and closes with the rest unread, which is a reset. */
function refusing(answer: string, readBytes: number): (socket: Socket) => void {
  return (socket) => {
    let bytes = 0
    socket.on('data', (chunk) => {
      bytes += chunk.length
      if (bytes < readBytes || socket.isPaused()) return
      socket.pause()
      if (answer === '') socket.destroy()
      else socket.write(answer, () => socket.destroy())
    })
  }
}

const configured = sharedTestGateway()

function gatewayBefore({ url }: TestUpstream): Promise<TestGateway> {
  return configured({ collections: [{ name: 'files', upstreams: [{ url }] }] })
}

const sendWithLength = (client: RawClient): void => {
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n`)
  client.send(BODY)
}
const sendInChunks = (client: RawClient): void => {
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  for (let at = 0; at < BODY.length; at += PIECE_BYTES) {
    const piece = BODY.subarray(at, at + PIECE_BYTES)
    client.send(`${piece.length.toString(16)}\r\n`)
    client.send(piece)
    client.send('\r\n')
  }
  client.send('0\r\n\r\n')
}

async function upload(port: number, send: (client: RawClient) => void) {
  const client = await RawClient.connect(port)
  send(client)
  const { status, body, complete } = await client.response()
  client.destroy()
  return `${status} ${complete ? body.toString() : 'cut'}`
}

test.each([
  ['at once', 'a length', 1, sendWithLength],
  ['at once', 'chunks', 1, sendInChunks],
  ['in the middle', 'a length', 1_000_000, sendWithLength],
  ['in the middle', 'chunks', 1_000_000, sendInChunks],
])('a refusal %s of an upload with %s arrives every time', async (_when, _framing, readBytes, send) => {
  const gateway = await gatewayBefore(await startRawUpstream(refusing(tooLarge, readBytes)))
  const seen = []
  for (let count = 0; count < TRIES; count++) seen.push(await upload(gateway.port, send))
  expect(seen).toEqual(seen.map(() => '413 too much'))
})

test('an upstream that closes without a word is a reset', async () => {
  const gateway = await gatewayBefore(await startRawUpstream(refusing('', 1_000_000)))
  expect(await upload(gateway.port, sendWithLength)).toMatch(/^502 {"error":"upstream_reset"/)
})

test('an answer that breaks off with the reset is seen to be cut', async () => {
  const half = tooLarge.slice(0, -3)
  const gateway = await gatewayBefore(await startRawUpstream(refusing(half, 1_000_000)))
  expect(await upload(gateway.port, sendWithLength)).toBe('413 cut')
})

test('of an answer that its client reads slowly, what had come before the reset arrives', async () => {
  const length = 32_000_000
  const sockets: Socket[] = []
  const upstream = await startRawUpstream((socket) => {
    sockets.push(socket)
    socket.once('data', () => {
      socket.pause()
      socket.write(`HTTP/1.1 413 Content Too Large\r\nContent-Length: ${length}\r\n\r\n`)
      socket.write(Buffer.alloc(length))
    })
  })
  const gateway = await gatewayBefore(upstream)
  const client = await RawClient.connect(gateway.port)
  client.socket.pause()
  sendWithLength(client)
  let before = -1
  const isFull = () => {
    const left = sockets[0]?.writableLength ?? 0
    const full = left > 0 && left === before
    before = left
    return full
  }
  await until(isFull, { what: 'everything between upstream and client is full', every_ms: 100 })
  sockets[0]?.destroy()
  client.socket.resume()
  const { status, body, complete } = await client.response()
  expect([status, complete]).toEqual([413, false])
  expect(body.length).toBeGreaterThan(1_000_000)
})

const onLinux = test.skipIf(process.platform !== 'linux')

onLinux(
  'what an idle connection said before a reset answers no upload (reads /proc, Linux only)',
  async () => {
    const sockets: Socket[] = []
    const upstream = await startRawUpstream((socket) => {
      sockets.push(socket)
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    })
    const gateway = await gatewayBefore(upstream)
    const client = await RawClient.connect(gateway.port)
    expect(await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toMatchObject({ status: 200 })
    process.kill(gateway.pid, 'SIGSTOP')
    await until(() => standsStill(gateway.pid), { what: 'every thread stands still' })
    // The gateway finds the request first, then a connection that is gone.
    await new Promise((sent) =>
      client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab', sent),
    )
    await new Promise((said) =>
      sockets[0]?.write('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n', said),
    )
    sockets[0]?.resetAndDestroy()
    process.kill(gateway.pid, 'SIGCONT')
    const { status, body } = await client.response()
    // Where the connection was found gone first, the request went over a new one.
    const answer = status === 502 ? '"upstream_reset"' : 'ok'
    expect([status, body.toString()]).toEqual([answer === 'ok' ? 200 : 502, expect.stringContaining(answer)])
  },
)
