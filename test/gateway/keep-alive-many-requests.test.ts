/** Capture is per message, not per connection: each request of a keep-alive connection is mirrored (A9). */
import { beforeAll, expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type HttpUpstream, startUpstream } from '../support/upstream.ts'

let upstream: HttpUpstream
let collector: TestCollector
let gateway: TestGateway

beforeAll(async () => {
  // Says which path it answers, with a body whose length differs from answer to answer.
  upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => response.end(`${request.url} `.repeat(1 + ((request.url?.length ?? 0) % 7))))
  })
  collector = await startCollector()
  gateway = await startTestGateway({
    config: mirrorConfig({ upstream: upstream.url, collector: collector.url }),
  })
})

const count = 100
const paths = Array.from({ length: count }, (_, at) => `/orders/${at}`)
const posting = (path: string, at: number) => {
  const body = 'b'.repeat(at)
  const chunks = `${at.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  // Every other body is chunked: both framings on one connection.
  return at % 2 === 0
    ? `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${at}\r\n\r\n${body}`
    : `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`
}

test('one after the other on one connection: each is one pair with its own bodies', async () => {
  const client = await RawClient.connect(gateway.port)
  for (const [at, path] of paths.entries()) {
    const answer = await client.request(posting(path, at))
    expect(answer.body.toString()).toContain(`${path} `)
  }
  const view = await gateway.delivered(count)
  expect(view.legs.map(({ counts }) => counts.delivered)).toEqual([count, count])
  expect(collector.pairs).toBe(count)
  expect(upstream.received.length).toBe(count)

  const seen = new Map([...collector.kept()].map(([, pair]) => [pair.request?.request.path, pair]))
  for (const [at, path] of paths.entries()) {
    expect(seen.get(path)?.request?.request).toMatchObject({ body_bytes: at, truncated: false })
    expect(seen.get(path)?.response?.response.body).toMatch(new RegExp(`^(${path} )+$`))
  }
})

test('all at once on one connection: answered in their order, each mirrored once', async () => {
  const before = collector.pairs
  const client = await RawClient.connect(gateway.port)
  client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  for (const path of paths) {
    const answer = await client.response()
    expect([answer.status, answer.body.toString().split(' ')[0]]).toEqual([200, path])
  }
  await gateway.delivered(before + count)
  expect([collector.pairs, collector.ids]).toEqual([before + count, before + count])
  expect(collector.totals('requests').items).toBe(before + count)
})
