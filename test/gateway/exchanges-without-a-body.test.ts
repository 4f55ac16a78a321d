/** Exchanges that have no body on one side or both are forwarded and mirrored like all others (trap A3). */
import { beforeAll, describe, expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { answering, startRawUpstream } from '../support/upstream.ts'

interface Case {
  name: string
  method: string
  /** What the upstream writes, byte for byte. */
  answer: string
  status: number
  /** Fields of the request that stand after Host. */
  fields?: string
}

const cases: Case[] = [
  {
    name: 'HEAD with a length',
    method: 'HEAD',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n',
    status: 200,
  },
  {
    name: 'HEAD that says chunked',
    method: 'HEAD',
    answer: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    status: 200,
  },
  { name: '204', method: 'GET', answer: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204 },
  { name: '204 to DELETE', method: 'DELETE', answer: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204 },
  {
    name: '304 with the length it would have',
    method: 'GET',
    answer: 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\n\r\n',
    status: 304,
  },
  { name: 'length zero', method: 'GET', answer: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', status: 200 },
  {
    name: 'an empty chunked body',
    method: 'GET',
    answer: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    status: 200,
  },
  {
    name: 'POST of length zero',
    method: 'POST',
    fields: 'Content-Length: 0\r\n',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    status: 200,
  },
  {
    name: 'POST without any framing',
    method: 'POST',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    status: 200,
  },
  {
    name: 'PUT of an empty chunked body',
    method: 'PUT',
    fields: 'Transfer-Encoding: chunked\r\n',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    status: 200,
  },
  {
    name: 'OPTIONS',
    method: 'OPTIONS',
    answer: 'HTTP/1.1 200 OK\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n',
    status: 200,
  },
]

let collector: TestCollector
let gateway: TestGateway

beforeAll(async () => {
  const upstreams = await Promise.all(cases.map(({ answer }) => startRawUpstream(answering(answer))))
  collector = await startCollector()
  const collections = upstreams.map(({ url }, at) => ({
    name: `case-${at}`,
    prefix: `/${at}`,
    upstreams: [{ url }],
    mirrors: ['salt'],
  }))
  const config = mirrorConfig({
    upstream: 'http://127.0.0.1:1',
    collector: collector.url,
    rest: { collections },
  })
  gateway = await startTestGateway({ config })
})

describe.each(cases.map((entry, at) => ({ ...entry, at })))(
  '$name',
  ({ method, status, fields = '', at }) => {
    test('is answered, leaves the connection usable, and arrives as a pair', async () => {
      const client = await RawClient.connect(gateway.port)
      const end = fields.includes('chunked') ? '0\r\n\r\n' : ''
      for (const path of [`/${at}/first`, `/${at}/second`]) {
        const answer = await client.request(
          `${method} ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n${end}`,
          method,
        )
        expect([answer.status, answer.body.length, answer.complete]).toEqual([status, 0, true])
        const pair = await collector.pairOf(path)
        expect(pair.request.request).toMatchObject({
          method,
          path,
          body: null,
          body_encoding: 'none',
          body_bytes: 0,
        })
        expect(pair.response.outcome).toBe('complete')
        expect(pair.response.response).toMatchObject({ status, body: null, body_bytes: 0, truncated: false })
      }
      expect(client.rest.length).toBe(0)
    })
  },
)

test('the identity holds over all of them', async () => {
  const view = await gateway.delivered(cases.length * 2)
  expect(view.legs.map(({ counts }) => counts.delivered)).toEqual([cases.length * 2, cases.length * 2])
})
