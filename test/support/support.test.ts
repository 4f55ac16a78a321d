/** The tests' own tools tell the truth: the raw client reads every framing, each fault does what it says. */
import { request as httpRequest } from 'node:http'
import { describe, expect, test } from 'vitest'
import { Client, RawClient, valuesOf } from './client.ts'
import { type Fault, faults, startCollector } from './collector.ts'
import { answering, startRawUpstream, startUpstream } from './upstream.ts'
import { until } from './wait.ts'

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

describe('the raw client', () => {
  test.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc', { body: 'abc', complete: true }],
    [
      'chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n',
      { body: 'abc', complete: true },
    ],
    ['no body', 'HTTP/1.1 204 No Content\r\n\r\n', { body: '', complete: true }],
  ])('reads an answer framed by %s, twice on one connection', async (_what, bytes, expected) => {
    const { port } = await startRawUpstream(answering(bytes))
    const client = await RawClient.connect(port)
    for (const _turn of [1, 2]) {
      const { body, complete } = await client.request(get)
      expect({ body: body.toString(), complete }).toEqual(expected)
    }
  })

  test('keeps case, order and duplicates, interim answers and trailers', async () => {
    const { port } = await startRawUpstream(
      answering(
        'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 Fine\r\nX-A: 1\r\nx-a: 2\r\n' +
          'Transfer-Encoding: chunked\r\n\r\n0\r\nX-End: yes\r\n\r\n',
      ),
    )
    const answer = await (await RawClient.connect(port)).request(get)
    expect(answer.interim.map(({ status }) => status)).toEqual([103])
    expect([answer.reason, valuesOf(answer.rawHeaders, 'X-a')]).toEqual(['Fine', ['1', '2']])
    expect(answer.rawTrailers).toEqual(['X-End', 'yes'])
  })

  test.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc'],
  ])('sees that an answer framed by %s was cut', async (_what, bytes) => {
    const { port } = await startRawUpstream((socket) => socket.once('data', () => socket.end(bytes)))
    const { body, complete } = await (await RawClient.connect(port)).request(get)
    expect([body.toString(), complete]).toEqual(['abc', false])
  })

  test('takes a body of many MiB', async () => {
    const { port } = await startUpstream((_request, response) => response.end(Buffer.alloc(20_000_000)))
    const { body, complete } = await (await RawClient.connect(port)).request(get)
    expect([body.length, complete]).toEqual([20_000_000, true])
  })
})

test('the plain client keeps its connection, and the upstream records what it got', async () => {
  const upstream = await startUpstream()
  const client = new Client(upstream.port)
  const first = await client.send({
    method: 'POST',
    path: '/a',
    body: 'abc',
    headers: ['X-A', '1', 'x-a', '2'],
  })
  const second = await client.send({ path: '/b' })
  expect([first.text, second.localPort, upstream.accepted]).toEqual(['{"ok":true}', first.localPort, 1])
  expect(upstream.received.map(({ method, url, body }) => [method, url, body?.toString()])).toEqual([
    ['POST', '/a', 'abc'],
    ['GET', '/b', ''],
  ])
  expect(valuesOf(upstream.received[0]?.rawHeaders ?? [], 'x-a')).toEqual(['1', '2'])
})

describe('a faulty collector', () => {
  interface Result {
    status?: number
    error?: string
    bytes?: number
  }

  /** Posts one item and says what came back within a second. */
  function deliver(port: number, id = '1'): Promise<Result> {
    let status: number | undefined
    return new Promise((resolve) => {
      const call = httpRequest({
        host: '127.0.0.1',
        port,
        path: '/requests',
        method: 'POST',
        agent: false,
        timeout: 500,
      })
      call.on('timeout', () => {
        resolve({ error: 'timeout' })
        call.destroy()
      })
      // A reset is told to the request even when its answer has begun.
      call.on('error', (error: NodeJS.ErrnoException) => {
        resolve(status === undefined ? { error: String(error.code) } : { status, error: 'cut' })
      })
      call.on('response', (response) => {
        let bytes = 0
        status = response.statusCode as number
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
        })
        response.on('error', () => {})
        response.on('end', () => resolve({ status: response.statusCode as number, bytes }))
      })
      call.end(JSON.stringify([{ id, request: {} }]))
    })
  }

  const cases: [name: string, fault: Fault, result: Partial<Result>, accepted: number][] = [
    ['hangBeforeBody', faults.hangBeforeBody, { error: 'timeout' }, 0],
    ['hangBeforeHead', faults.hangBeforeHead, { error: 'timeout' }, 0],
    ['hangAfterHead', faults.hangAfterHead, { error: 'timeout' }, 1],
    ['resetMidRequest', faults.resetMidRequest, { error: 'ECONNRESET' }, 0],
    ['resetMidAnswer', faults.resetMidAnswer, { status: 200, error: 'cut' }, 1],
    ['byteByByte', faults.byteByByte, { status: 200, bytes: 2 }, 1],
    ['closeConnections', faults.closeConnections, { status: 200 }, 1],
    ['closeSilently', faults.closeSilently, { status: 200 }, 1],
    ['status', faults.status(503), { status: 503 }, 0],
    ['tooManyRequests', faults.tooManyRequests(1), { status: 429 }, 0],
    ['redirect', faults.redirect('/elsewhere'), { status: 307 }, 0],
    ['poison', faults.poison(({ id }) => id === '1'), { status: 400 }, 0],
    ['tooLarge', faults.tooLarge(3), { status: 413 }, 0],
    ['hugeAnswer', faults.hugeAnswer(3_000_000), { status: 200, bytes: 3_000_000 }, 1],
  ]

  test.each(cases)('%s', async (_name, fault, result, accepted) => {
    const collector = await startCollector()
    collector.fault = fault
    expect(await deliver(collector.port)).toMatchObject(result)
    expect([collector.posts, collector.totals('requests').distinct]).toEqual([1, accepted])
  })

  test('times and onLeg narrow a fault', async () => {
    const collector = await startCollector()
    collector.fault = faults.times(1, faults.status(500))
    expect([(await deliver(collector.port)).status, (await deliver(collector.port)).status]).toEqual([
      500, 200,
    ])
    collector.fault = faults.onLeg('responses', faults.status(500))
    expect((await deliver(collector.port)).status).toBe(200)
  })
})

test('until gives up with what it saw last', async () => {
  const waiting = until(() => 0, { what: 'the count grows', within_ms: 50 })
  await expect(waiting).rejects.toThrow('the count grows: did not happen within 50 ms; last answer: 0')
})
