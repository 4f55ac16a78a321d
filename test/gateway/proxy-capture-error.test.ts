/** A capture that breaks: the client notices nothing, and every mirror counts what it lost. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { RuleSet } from '../../src/proxy/mirror-rules.ts'
import { ProxyServer } from '../../src/proxy/server.ts'
import { SlabPool } from '../../src/proxy/slabs.ts'
import { Counters, threadCell } from '../../src/telemetry/counters.ts'
import { onEnd } from '../support/cleanup.ts'
import { RawClient } from '../support/client.ts'
import { planOf } from '../support/data-thread.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

/** Throws, while it is broken, where memory for a body is asked of it. */
class BreakingPool extends SlabPool {
  broken = false
  override reserve(bytes: number): boolean {
    if (this.broken) throw new Error('no such memory')
    return super.reserve(bytes)
  }
}

const bodyBytesMax = 1000

async function startServer() {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(200, { 'content-length': 2 }).end('ok'))
  })
  const mirrors = [{ name: 'one' }, { name: 'two' }, { name: 'none', match: { methods: ['DELETE'] } }]
  const collection = {
    name: 'api',
    upstreams: [{ url: upstream.url }],
    mirrors: ['one', 'two', 'none'],
    limits: { body_bytes: bodyBytesMax },
  }
  const plan = planOf({
    collections: [collection],
    mirrors,
  })
  const counters = new Counters()
  const slabs = new BreakingPool(16 * 1024 * 1024, counters, () => {})
  const warnings: string[] = []
  const server = new ProxyServer({
    plan,
    counters,
    connections: new SharedArrayBuffer(4),
    slabs,
    warn: (kind, error) => warnings.push(`${kind}: ${(error as Error).message}`),
    onDrained: () => {},
  })
  onEnd(() => {
    server.drain(0)
    server.abort()
  })
  const port = await server.listen('127.0.0.1', 0, false)
  const mirrorOf = (name: string) =>
    counters.readMirror(plan.mirrors.find((mirror) => mirror.name === name)?.slot ?? -1)
  return { server, slabs, port, counters, mirrorOf, warnings }
}

test.each([
  ['in the request body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok'],
  ['in the answer', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
])('%s', async (_where, bytes) => {
  const { slabs, port, counters, mirrorOf, warnings } = await startServer()
  const client = await RawClient.connect(port)
  slabs.broken = true
  expect(await client.request(bytes)).toMatchObject({ status: 200, complete: true })
  slabs.broken = false
  expect((await client.request('GET /whole HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(200)
  await until(() => mirrorOf('one').captured === 2, { what: 'both exchanges are counted' })
  for (const name of ['one', 'two'])
    expect(mirrorOf(name)).toEqual({ captured: 2, slabbed: 1, bufferFull: 0, captureError: 1 })
  expect(mirrorOf('none').captured).toBe(0)
  expect(warnings).toEqual(['capture_error: no such memory'])
  expect(counters.cells[threadCell.exchangesOpen]).toBe(0)
})

test("in the gateway's own answer", async () => {
  const { slabs, port, mirrorOf, warnings } = await startServer()
  slabs.broken = true
  const client = await RawClient.connect(port)
  const tooLarge = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bodyBytesMax + 1}\r\n\r\n`
  expect(await client.request(tooLarge)).toMatchObject({ status: 413, complete: true })
  await until(() => mirrorOf('one').captured === 1, { what: 'the exchange is counted' })
  expect(mirrorOf('two')).toEqual({ captured: 1, slabbed: 0, bufferFull: 0, captureError: 1 })
  expect(warnings).toEqual(['capture_error: no such memory'])
})

test.each(['the decision', 'the record'])('at the end, in %s', async (where) => {
  const { server, port, mirrorOf, warnings } = await startServer()
  const broken = (): never => {
    throw new Error('no such record')
  }
  if (where === 'the record') Object.assign(server.shared.slabs, { seal: broken })
  else vi.spyOn(RuleSet.prototype, 'takers').mockImplementation(broken)
  onTestFinished(() => void vi.restoreAllMocks())
  const client = await RawClient.connect(port)
  expect((await client.request('GET /whole HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(200)
  await until(() => mirrorOf('one').captured === 1, { what: 'the exchange is counted' })
  for (const name of ['one', 'two'])
    expect(mirrorOf(name)).toEqual({ captured: 1, slabbed: 0, bufferFull: 0, captureError: 1 })
  expect(warnings).toEqual(['capture_error: no such record'])
})
