/** The HTTP client of the sinks, against real sockets. */
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { retryAfterMs } from '../../src/contract/answer.ts'
import { OutcomeError } from '../../src/contract/errors.ts'
import { createSinkHttp, resolveDestination } from '../../src/contract/http.ts'
import { limits } from '../../src/contract/limits.ts'
import {
  answer,
  answerByteByByte,
  answerWithoutEnd,
  type Collector,
  hang,
  hangAfterHead,
  resetBeforeHead,
  resetInBody,
  startCollector,
} from './collector.ts'
import { target } from './target.ts'

const body = Buffer.from('[{"n":1}]')
const never = new AbortController().signal

let collector: Collector
const opened: (() => Promise<void>)[] = []

beforeEach(async () => {
  collector = await startCollector()
})
afterEach(async () => {
  for (const close of opened.splice(0)) await close()
  await collector.close()
})

function client(...about: Parameters<typeof target>) {
  const { http: sinkHttp, close } = createSinkHttp(target(...about))
  opened.push(close)
  return sinkHttp
}

async function failureOf(delivery: Promise<unknown>): Promise<OutcomeError> {
  const error = await delivery.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(OutcomeError)
  return error as OutcomeError
}

/** A server that keeps the bytes of one request head and answers 200. */
async function rawServer(): Promise<{ url: string; head(): string; close(): Promise<void> }> {
  let received = ''
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      if (received.includes('\r\n\r\n'))
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    head: () => received.slice(0, received.indexOf('\r\n\r\n')),
    close: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}

describe('header names on the wire', () => {
  const headers = {
    'X-API-Key': 'abcdef',
    AUTHORIZATION: 'Basic dXNlcjpwYXNz',
    'Content-Type': 'application/vnd.x+json',
  }

  test.each([
    [
      true,
      ['X-API-Key: abcdef', 'AUTHORIZATION: Basic dXNlcjpwYXNz', 'Content-Type: application/vnd.x+json'],
    ],
    [
      false,
      ['x-api-key: abcdef', 'authorization: Basic dXNlcjpwYXNz', 'content-type: application/vnd.x+json'],
    ],
  ])('case_sensitive_headers: %s', async (caseSensitive, lines) => {
    const server = await rawServer()
    const post = client({}, { headers, caseSensitive }).post
    await post(`${server.url}/in`, { body, headers: { 'content-type': 'application/json' } }, never)
    const head = server.head().split('\r\n')
    expect(head).toEqual(expect.arrayContaining(lines))
    expect(head.filter((line) => /^content-type:/i.test(line))).toHaveLength(1)
    await server.close()
  })

  test('a header through a proxy keeps its case', async () => {
    const server = await rawServer()
    const sinkHttp = client({}, { headers, caseSensitive: true, proxyUrl: server.url })
    await sinkHttp.post('http://collector.invalid/in', { body }, never)
    expect(server.head().split('\r\n')).toEqual(
      expect.arrayContaining([
        'POST http://collector.invalid/in HTTP/1.1',
        'host: collector.invalid',
        'X-API-Key: abcdef',
      ]),
    )
    await server.close()
  })
})

describe('what is sent', () => {
  test('batch headers, length and body', async () => {
    const batch = { id: 'batch-7', mirror: 'm', leg: 'requests', items: 1, ndjson: body }
    const reply = await client().post(`${collector.url}/a?b=c`, { body, batch }, never)
    expect(reply).toEqual({ status: 200, text: 'ok' })
    const [delivery] = collector.deliveries
    expect(delivery?.path).toBe('/a?b=c')
    expect(delivery?.headers).toMatchObject({
      'x-mirrorgate-batch-id': 'batch-7',
      'x-mirrorgate-items': '1',
      'content-length': String(body.length),
      'user-agent': 'mirrorgate',
    })
    expect(delivery?.body).toEqual(body)
  })

  test.each(['gzip', 'zstd'] as const)('compression %s', async (compression) => {
    const long = Buffer.alloc(10_000, '{"n":1}')
    await client({ compression }).post(collector.url, { body: long }, never)
    expect(collector.deliveries[0]?.headers['content-encoding']).toBe(compression)
    expect(Number(collector.deliveries[0]?.headers['content-length'])).toBeLessThan(1000)
    expect(collector.deliveries[0]?.body).toEqual(long)
  })

  test('sockets are kept, and never more than the connection allows', async () => {
    const sinkHttp = client({}, { sockets: 2 })
    for (let n = 0; n < 5; n += 1) await sinkHttp.post(collector.url, { body }, never)
    await Promise.all(Array.from({ length: 20 }, () => sinkHttp.post(collector.url, { body }, never)))
    expect(collector.connections()).toBeLessThanOrEqual(2)
    expect(collector.deliveries).toHaveLength(25)
  })

  test('the sockets through a proxy are bounded too', async () => {
    const sinkHttp = client({}, { sockets: 2, proxyUrl: collector.url })
    const posts = Array.from({ length: 20 }, () =>
      sinkHttp.post('http://collector.invalid/in', { body }, never),
    )
    await Promise.all(posts)
    expect(collector.connections()).toBeLessThanOrEqual(2)
  })

  test.each(['Content-Length', 'Transfer-Encoding', 'Connection', 'Expect'])(
    'a connection cannot set %s',
    (name) => {
      expect(() => createSinkHttp(target({}, { headers: { [name]: '1' } }))).toThrow(
        `connection header ${name} is written by`,
      )
    },
  )

  test('a value that HTTP forbids is refused without being quoted', () => {
    const make = () => createSinkHttp(target({}, { headers: { 'x-key': 'secret\r\nx: y' } }))
    expect(make).toThrow('connection header "x-key" holds a character that HTTP forbids')
    expect(make).not.toThrow('secret')
  })
})

describe('destinations', () => {
  test.each([
    ['https://c.example/api', '/requests', 'https://c.example/api/requests'],
    ['https://c.example/api/', 'requests?x=1', 'https://c.example/api/requests?x=1'],
    ['https://c.example', '/requests', 'https://c.example/requests'],
    ['https://c.example/api', 'https://c.example/api/in', 'https://c.example/api/in'],
    ['https://c.example/api', 'https://c.example/api', 'https://c.example/api'],
    [null, 'http://127.0.0.1:1/x', 'http://127.0.0.1:1/x'],
  ])('%s and %s', (base, url, expected) => {
    expect(resolveDestination(base, url).href).toBe(expected)
  })

  test.each([
    ['https://c.example/api', 'https://evil.example/api', 'outside the base_url'],
    ['https://c.example/api', 'https://c.example/apis', 'outside the base_url'],
    ['https://c.example/api', '/../other', 'outside the base_url'],
    ['https://c.example/api', 'http://c.example/api', 'outside the base_url'],
    [null, '/requests', 'no base_url'],
  ])('%s refuses %s', (base, url, rule) => {
    expect(() => resolveDestination(base, url)).toThrow(rule)
  })
})

describe('answers', () => {
  test.each([
    [301, 'refused'],
    [400, 'rejected'],
    [401, 'unauthorized'],
    [403, 'unauthorized'],
    [404, 'not_found'],
    [408, 'retry'],
    [410, 'not_found'],
    [413, 'too_large'],
    [415, 'refused'],
    [422, 'rejected'],
    [425, 'retry'],
    [429, 'retry'],
    [500, 'retry'],
    [503, 'retry'],
  ])('%i means %s', async (status, kind) => {
    collector.behave(
      answer(status, { location: `${collector.url}/elsewhere`, 'retry-after': '7' }, 'because'),
    )
    const error = await failureOf(client().post(collector.url, { body }, never))
    expect(error).toMatchObject({ kind, status, network: false, answer: 'because', retryAfterMs: 7000 })
    expect(error.message).toBe(`the collector answered ${status} ${http.STATUS_CODES[status]}`)
    expect(collector.deliveries).toHaveLength(1)
  })

  test('an interim answer is not the answer', async () => {
    collector.behave((response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' })
      response.end('ok')
    })
    expect(await client().post(collector.url, { body }, never)).toEqual({ status: 200, text: 'ok' })
  })

  test('an answer without end is read to its bound, and its socket is closed', async () => {
    let ended = Promise.resolve<unknown>(null)
    collector.behave((response, delivery) => {
      ended = once(response, 'close')
      answerWithoutEnd(response, delivery)
    })
    const reply = await client().post(collector.url, { body }, never)
    expect(reply.status).toBe(200)
    expect(reply.text).toHaveLength(limits.answer_read_bytes)
    await ended
  })

  test('an answer that ends exactly at the bound keeps its socket', async () => {
    collector.behave(answer(200, {}, 'a'.repeat(limits.answer_read_bytes)))
    const sinkHttp = client({}, { sockets: 1 })
    await sinkHttp.post(collector.url, { body }, never)
    await sinkHttp.post(collector.url, { body }, never)
    expect(collector.connections()).toBe(1)
  })

  test('the status decides also when the body breaks off', async () => {
    collector.behave(resetInBody)
    expect(await client().post(collector.url, { body }, never)).toMatchObject({ status: 200 })
    collector.behave((response) => {
      response.writeHead(401, { 'content-length': 100 })
      response.write('no', () => response.socket?.resetAndDestroy())
    })
    expect(await failureOf(client().post(collector.url, { body }, never))).toMatchObject({
      kind: 'unauthorized',
      status: 401,
    })
  })

  test('secrets are taken out of the kept answer, which is bounded', async () => {
    const headers = { Authorization: 'Basic dXNlcjpodW50ZXI3', 'X-Key': 'opaque-key-1' }
    const echo = 'Basic dXNlcjpodW50ZXI3 dXNlcjpodW50ZXI3 hunter7 opaque-key-1 '
    collector.behave(answer(400, {}, echo.repeat(100)))
    const error = await failureOf(client({}, { headers }).post(collector.url, { body }, never))
    expect(error.answer).toMatch(/^\*\*\* \*\*\* \*\*\* \*\*\* /)
    for (const secret of ['hunter7', 'dXNlcjpodW50ZXI3', 'opaque']) expect(error.answer).not.toContain(secret)
    expect(Buffer.byteLength(error.answer ?? '')).toBeLessThanOrEqual(limits.answer_kept_bytes)
  })

  test.each([
    ['120', 120_000],
    ['0', 0],
    ['99999999', limits.retry_after_ms_max],
    ['Sat, 21 Nov 2026 08:00:30 GMT', 30_000],
    ['Sat, 21 Nov 2020 08:00:30 GMT', 0],
    ['soon', null],
    [null, null],
  ])('Retry-After %s', (value, wait) => {
    expect(retryAfterMs(value ?? undefined, Date.parse('2026-11-21T08:00:00Z'))).toBe(wait)
  })
})

describe('failures', () => {
  test('a header that cannot be sent waits for no network', async () => {
    const post = client().post(`${collector.url}/a`, { body, headers: { 'x-a': 'größe\n💥' } }, never)
    const error = await failureOf(post)
    expect(error).toMatchObject({ kind: 'refused', network: false })
    expect(error.message).toMatch(/^sending to .*: a header or the path holds a character that HTTP forbids$/)
    expect(collector.deliveries).toEqual([])
  })

  test('nobody listens', async () => {
    const { url } = collector
    const gone = await startCollector()
    await gone.close()
    const error = await failureOf(client().post(`${gone.url}/x?token=secret`, { body }, never))
    expect(error).toMatchObject({ kind: 'retry', network: true, status: null })
    expect(error.message).toBe(`connecting to ${new URL(gone.url).host}: connection refused`)
    expect(url).not.toBe(gone.url)
  })

  test('a reset on a new connection is reported, not repeated', async () => {
    collector.behave(resetBeforeHead)
    const error = await failureOf(client().post(collector.url, { body }, never))
    expect(error).toMatchObject({ kind: 'retry', network: false })
    expect(error.message).toMatch(/^sending to 127\.0\.0\.1:\d+: connection (reset|closed)$/)
    expect(collector.deliveries).toHaveLength(1)
  })

  test('a kept-alive socket that the collector resets is replaced at once, one time', async () => {
    const sinkHttp = client({}, { sockets: 1 })
    await sinkHttp.post(collector.url, { body }, never)
    let resets = 0
    collector.behave((response, delivery) => {
      resets += 1
      if (resets === 1) resetBeforeHead(response, delivery)
      else response.end('ok')
    })
    expect((await sinkHttp.post(collector.url, { body }, never)).status).toBe(200)
    expect(collector.connections()).toBe(2)
    collector.behave(resetBeforeHead)
    await failureOf(sinkHttp.post(collector.url, { body }, never))
    expect(collector.deliveries).toHaveLength(5)
  })

  test('a collector that hangs is left when the signal says so', async () => {
    collector.behave(hang)
    const error = await failureOf(client().post(collector.url, { body }, AbortSignal.timeout(200)))
    expect(error).toMatchObject({ kind: 'retry', network: false, status: null })
    expect(error.message).toContain('timed out')
  })

  test.each([
    ['hangs after', hangAfterHead],
    ['goes on byte by byte after', answerByteByByte],
  ])(
    'a collector that %s its 200 has accepted, and is left when the signal says so',
    async (_when, behaviour) => {
      collector.behave(behaviour)
      const answer = await client().post(collector.url, { body }, AbortSignal.timeout(200))
      expect(answer.status).toBe(200)
    },
  )

  test('a signal that aborted before the post sends nothing', async () => {
    const error = await failureOf(client().post(collector.url, { body }, AbortSignal.abort()))
    expect(error.kind).toBe('retry')
    expect(collector.deliveries).toHaveLength(0)
  })

  test('an answer that is not HTTP', async () => {
    const server = net.createServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-x\r\n\r\n'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const error = await failureOf(client().post(`http://127.0.0.1:${port}`, { body }, never))
    expect(error).toMatchObject({ kind: 'retry' })
    expect(error.message).toContain('it answered with invalid HTTP')
    server.close()
  })

  test('a proxy that wants credentials', async () => {
    collector.behave(answer(407))
    const sinkHttp = client({}, { proxyUrl: collector.url })
    const error = await failureOf(sinkHttp.post('http://collector.invalid/in', { body }, never))
    expect(error.kind).toBe('unauthorized')
    expect(error.message).toContain('the proxy answered 407 Proxy Authentication Required')
  })

  test('a closed client fails what is under way, and closing twice is fine', async () => {
    const { http: sinkHttp, close } = createSinkHttp(target())
    collector.behave(hang)
    const pending = failureOf(sinkHttp.post(collector.url, { body }, never))
    while (collector.deliveries.length === 0) await new Promise(setImmediate)
    await close()
    await close()
    expect((await pending).kind).toBe('retry')
  })

  test('a TLS file that cannot be read says which, not where', () => {
    const tls = { ca_file: '/nowhere/ca.pem', verify: true }
    expect(() => createSinkHttp(target({}, { tls }))).toThrow('reading tls.ca_file: ENOENT')
  })
})

describe('the transport of an SDK', () => {
  const put = (http: ReturnType<typeof client>, signal = never) =>
    http.send({ method: 'PUT', url: `${collector.url}/a?b=1`, headers: { 'x-sdk': '1' }, body }, signal)

  test('sends what it is given, and nothing of the connection', async () => {
    const http = client({ compression: 'gzip' }, { headers: { authorization: 'Bearer hunter7' } })
    expect(await put(http)).toMatchObject({ status: 200, body: expect.any(Buffer) })
    const [delivery] = collector.deliveries
    expect(delivery).toMatchObject({ path: '/a?b=1', body })
    const { 'x-sdk': own, authorization, 'content-encoding': coding } = delivery?.headers ?? {}
    expect([own, authorization, coding]).toEqual(['1', undefined, undefined])
  })

  test('any answer is an answer, with its fields; a redirect is not followed', async () => {
    const http = client()
    for (const status of [301, 403, 503]) {
      collector.behave(answer(status, { location: '/elsewhere', 'retry-after': '3' }, 'no'))
      const { headers, body: said } = await put(http)
      expect([headers['location'], headers['retry-after'], said.toString()]).toEqual([
        '/elsewhere',
        '3',
        'no',
      ])
    }
    expect(collector.deliveries).toHaveLength(3)
    collector.behave(answerWithoutEnd)
    expect((await put(http)).body).toHaveLength(limits.answer_read_bytes)
  })

  test('no answer is an error: resets, silence, nobody there', async () => {
    const http = client()
    collector.behave(resetBeforeHead)
    expect(await failureOf(put(http))).toMatchObject({ kind: 'retry', network: false })
    collector.behave(hang)
    expect((await failureOf(put(http, AbortSignal.timeout(50)))).message).toMatch(/timed out$/)
    await collector.close()
    expect(await failureOf(put(http))).toMatchObject({ kind: 'retry', network: true })
  })
})
