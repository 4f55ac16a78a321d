/**
 * The answers that the gateway makes itself: over the wire, in the metrics, and in the items of the mirror.
 */
import type { Socket } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { Client, RawClient, type RawResponse } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startRawUpstream, startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

let upstream: HttpUpstream
let collector: TestCollector
let gateway: TestGateway
/** Exchanges that had a route. */
let routed = 0

const listen = {
  server_header: true,
  limits: { header_bytes: 2048, header_count: 20 },
  timeouts: { body_idle_ms: 500, header_ms: 1000 },
}

async function config(server_header: boolean): Promise<Record<string, unknown>> {
  const base = mirrorConfig({ upstream: upstream.url, collector: collector.url })
  const closing = await startRawUpstream((socket: Socket) => socket.once('data', () => socket.destroy()))
  const lying = await startRawUpstream((socket) =>
    socket.once('data', () => socket.end('SMTP ready\r\n\r\n')),
  )
  const gone = await startRawUpstream(() => {})
  await gone.stop()
  const collection = (name: string, url: string, more: object = {}) => ({
    ...{ name, prefix: `/${name}`, upstreams: [{ url }], mirrors: ['salt'], retry: { attempts: 0 }, ...more },
  })
  return {
    ...base,
    collections: [
      collection('small', upstream.url, { limits: { body_bytes: 10 } }),
      collection('single', upstream.url, { limits: { connections_per_upstream: 1, pending: 0 } }),
      collection('slow', upstream.url, { timeouts: { response_ms: 300 } }),
      collection('plain', upstream.url),
      collection('gone', gone.url),
      collection('closing', closing.url),
      collection('lying', lying.url),
    ],
    listen: { ...listen, server_header },
  }
}

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    if (request.url?.includes('hang')) return
    request.resume()
    request.on('end', () => response.writeHead(200, { Server: 'theirs' }).end('ok'))
  })
  collector = await startCollector()
  gateway = await startTestGateway({ config: await config(true) })
})

const head = (line: string, ...fields: string[]) =>
  [`${line} HTTP/1.1`, 'Host: a', 'X-Request-Id: mine-1', ...fields, '', ''].join('\r\n')

/** Sends bytes on a connection of its own, and checks what all of these answers have in common. */
async function ask(bytes: string, status: number, code: string): Promise<RawResponse> {
  const client = await RawClient.connect(gateway.port)
  const answer = await client.request(bytes)
  expect(answer.status).toBe(status)
  const body = JSON.parse(answer.body.toString()) as Record<string, string>
  expect(body).toEqual({
    error: code,
    message: expect.stringMatching(/^[a-z].*[^.]$/),
    request_id: expect.any(String),
  })
  expect(answer.header('content-type')).toBe('application/json')
  expect(answer.header('content-length')).toBe(String(answer.body.length))
  expect(Date.parse(answer.header('date') ?? '')).toBeGreaterThan(0)
  expect(answer.header('server')).toBe('mirrorgate')
  expect(body['request_id']).not.toBe('')
  return answer
}

const rejected = async (reason: string) =>
  (await gateway.admin.metrics()).sum('http_rejected_total', { reason })

describe('before a route is known: counted, not mirrored', () => {
  const cases: [status: number, code: string, bytes: string][] = [
    [404, 'no_route', head('GET /nowhere')],
    [404, 'no_route', head('GET /plainer')],
    [405, 'method_not_allowed', head('PROPFIND /plain')],
    [405, 'method_not_allowed', head('TRACE /plain')],
    [400, 'bad_request', head('GET /plain', 'Host: b')],
    [400, 'bad_request', 'GARBAGE\r\n\r\n'],
    [417, 'expectation_failed', head('POST /plain', 'Expect: miracles', 'Content-Length: 2')],
    [431, 'headers_too_large', head('GET /plain', `X-Long: ${'x'.repeat(2100)}`)],
    [431, 'headers_too_large', head('GET /plain', ...Array.from({ length: 20 }, (_, at) => `X-${at}: 1`))],
    [408, 'request_timeout', 'GET /plain HTTP/1.1\r\nHost: a\r\n'],
  ]
  test.each(cases)('%s %s', async (status, code, bytes) => {
    const before = await rejected(code)
    const answer = await ask(bytes, status, code)
    if (status === 405) {
      expect(answer.header('allow')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
    }
    expect(await rejected(code)).toBe(before + 1)
    expect((await gateway.admin.mirror('salt')).legs[0]?.counts.captured).toBe(routed)
  })
})

describe('with a route: mirrored as the client saw it, with the reason', () => {
  const cases: [status: number, code: string, bytes: string, outcome: string][] = [
    [413, 'body_too_large', head('POST /small/1', 'Content-Length: 11'), 'rejected'],
    [502, 'upstream_unreachable', head('GET /gone/2'), 'upstream_error'],
    [502, 'upstream_reset', head('GET /closing/3'), 'upstream_error'],
    [502, 'upstream_protocol_error', head('GET /lying/4'), 'upstream_error'],
    [504, 'upstream_timeout', head('GET /slow/hang'), 'timeout'],
    [408, 'request_timeout', `${head('POST /plain/6', 'Content-Length: 11')}part`, 'timeout'],
  ]
  test.each(cases)('%s %s', async (status, code, bytes, outcome) => {
    const before = await rejected(code)
    const answer = await ask(bytes, status, code)
    routed += 1
    expect((JSON.parse(answer.body.toString()) as { request_id: string }).request_id).toBe('mine-1')
    expect(await rejected(code)).toBe(before + 1)
    const { request, response } = await collector.pairOf(bytes.split(' ')[1] as string)
    expect(response.outcome).toBe(outcome)
    expect(request.collection).toBe(bytes.split(/[ /]/)[2] as string)
    expect(response.response).toMatchObject({
      ...{ status, body: answer.body.toString(), body_encoding: 'utf8', body_bytes: answer.body.length },
    })
    expect(response.response.headers).toContainEqual(['content-type', 'application/json'])
  })

  test('503 overloaded: no connection is free and none may wait', async () => {
    const first = await RawClient.connect(gateway.port)
    first.send(head('GET /single/hang'))
    await until(() => upstream.received.some(({ url }) => url === '/single/hang'), {
      what: 'the first request',
    })
    const answer = await ask(head('GET /single/8'), 503, 'overloaded')
    expect(answer.header('retry-after')).toBe('1')
    const { response } = await collector.pairOf('/single/8')
    expect(response).toMatchObject({ outcome: 'rejected', response: { status: 503 } })
    first.destroy()
    const left = await collector.pairOf('/single/hang')
    expect(left.response).toMatchObject({
      outcome: 'client_aborted',
      response: { status: null, headers: [], body: null, body_encoding: 'none', body_bytes: 0 },
    })
    routed += 2
  })
})

test('an answer that was refused keeps the connection where its borders are sure', async () => {
  const client = await RawClient.connect(gateway.port)
  expect((await client.request(head('GET /nowhere'))).status).toBe(404)
  expect((await client.request(head('DELETE /gone/9'))).status).toBe(502)
  const whole = await client.request(head('GET /plain/10'))
  routed += 2
  expect([whole.status, whole.body.toString(), whole.header('server')]).toEqual([200, 'ok', 'theirs'])
})

test('HEAD gets the head of it alone', async () => {
  const client = await RawClient.connect(gateway.port)
  const answer = await client.request(head('HEAD /gone/11'), 'HEAD')
  routed += 1
  expect([answer.status, Number(answer.header('content-length')) > 0]).toEqual([502, true])
  expect((await client.request(head('GET /plain/12'))).status).toBe(200)
  routed += 1
  const { response } = await collector.pairOf('/gone/11')
  expect(response.response).toMatchObject({ status: 502, body_bytes: 0 })
})

test('the account holds over all of them, and without server_header nobody is named', async () => {
  await gateway.delivered(routed)
  const { totals } = await gateway.admin.status()
  expect(totals.dropped).toEqual({})
  await gateway.rewrite({ config: { ...(await config(false)) } })
  await gateway.admin.json('POST', '/api/config/reload')
  expect((await new Client(gateway.port).send({ path: '/nowhere' })).headers).not.toHaveProperty('server')
})
