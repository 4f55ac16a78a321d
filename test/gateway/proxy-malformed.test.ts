/** Bytes that no one meant: mutated requests and answers never end the thread, nor leave anything behind. */
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { startThread } from '../support/data-thread.ts'
import { startRawUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

/** xorshift32: the same mutations in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const inserted = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  ':',
  '\t',
  '\xff',
  'A'.repeat(300),
  '0',
  '-1',
  'chunked',
  '%',
  ';',
  ',',
]

function mutate(text: string, next: (below: number) => number): Buffer {
  let out = text
  for (let times = 1 + next(3); times > 0; times--) {
    const at = next(out.length)
    const kind = next(4)
    const piece = inserted[next(inserted.length)] as string
    if (kind === 0) out = out.slice(0, at) + piece + out.slice(at)
    else if (kind === 1) out = out.slice(0, at) + out.slice(at + 1 + next(5))
    else if (kind === 2) out = out.slice(0, at) + String.fromCharCode(next(256)) + out.slice(at + 1)
    else out = out.slice(0, at) + out.slice(next(out.length))
  }
  return Buffer.from(out, 'latin1')
}

/** Sends, waits for the connection to be quiet or closed, and leaves. */
async function poke(port: number, bytes: Buffer): Promise<void> {
  const client = await RawClient.connect(port)
  client.send(bytes)
  await Promise.race([
    client.closed,
    client.head().catch(() => {}),
    new Promise((resolve) => setTimeout(resolve, 30)),
  ])
  client.destroy()
}

const requests = [
  'GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: 1\r\nConnection: keep-alive\r\n\r\n',
  'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello',
  'PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n' +
    '5;e=1\r\nhello\r\n0\r\nx: y\r\n\r\n',
  'GET http://a.test/b HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade, X\r\n' +
    'X-Forwarded-For: ::1\r\n\r\n',
]
const answers = [
  'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n',
  'HTTP/1.0 200 OK\r\nConnection: x, close\r\nX: 1\r\n\r\nhello',
]

test.each([
  ['FOO / HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ['get / HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ["GETX!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", 405],
  ['\r\nFOO / HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ['F(O / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  [' FOO / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['\x16\x03\x01\x02\x00 \r\n', 400],
  [`${'A'.repeat(100)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 405],
  ['F(O', 400],
  ['GET http://a.test/b HTTP/1.1\r\nHost: b.test\r\n\r\n', 400],
])('a method that is not listed is not allowed, what is no request is bad: %j', async (bytes, status) => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream)
  for (const before of ['', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n']) {
    const client = await RawClient.connect(thread.port)
    client.send(before + bytes)
    if (before !== '') expect((await client.response()).status).toBe(200)
    const answer = await client.response()
    expect(answer.status).toBe(status)
    expect(answer.header('connection')).toBe('close')
    const { error } = JSON.parse(answer.body.toString()) as { error: string }
    expect(error).toBe(status === 405 ? 'method_not_allowed' : 'bad_request')
    if (status === 405) expect(answer.header('allow')).toContain('GET')
    await client.closed
  }
})

test('mutated requests', async () => {
  const upstream = await startUpstream()
  const thread = await startThread(upstream, {
    listen: { trusted_proxies: ['127.0.0.0/8'] },
    mirrors: [{ name: 'm', sample: { rate: 0.9, key: 'cookie:a' } }],
  })
  const next = numbers(0x9e37_79b9)
  const cases = Array.from({ length: 600 }, (_, index) => mutate(requests[index % 4] as string, next))
  const lane = async () => {
    for (let bytes = cases.pop(); bytes !== undefined; bytes = cases.pop()) await poke(thread.port, bytes)
  }
  await Promise.all(Array.from({ length: 12 }, lane))
  await thread.quiet()
  const client = await RawClient.connect(thread.port)
  expect((await client.request(requests[0] as string)).status).toBe(200)
  await thread.exchanges(1)
  expect(thread.warnings).toEqual([])
})

test('mutated answers', async () => {
  const next = numbers(0x1234_5678)
  const upstream = await startRawUpstream((socket, connection) => {
    socket.on('data', () => {
      socket.write(mutate(answers[connection % 4] as string, next))
      if (connection % 3 === 0) socket.end()
    })
  })
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }] })
  const lane = async () => {
    for (let index = 0; index < 50; index++) await poke(thread.port, Buffer.from(requests[0] as string))
  }
  await Promise.all(Array.from({ length: 12 }, lane))
  await thread.quiet()
  await thread.exchanges(1)
  await until(() => thread.cell('captureBytes') === 0, { what: 'no captured byte left' })
  expect(thread.warnings).toEqual([])
})
