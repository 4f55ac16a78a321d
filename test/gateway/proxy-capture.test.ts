/** Which exchanges a data thread captures, what it keeps of them, and what it counts when it cannot. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { threadCell } from '../../src/telemetry/counters.ts'
import { Client, RawClient } from '../support/client.ts'
import { type DataThread, startThread } from '../support/data-thread.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const MIB = 1024 * 1024
const answering = (body: Buffer | string = 'ok', status = 200, type = 'application/json') =>
  startUpstream((request, response) => {
    request.resume()
    request.on('end', () => response.writeHead(status, { 'content-type': type }).end(body))
  })

async function targets(thread: DataThread, count: number): Promise<string[]> {
  return (await thread.exchanges(count)).map(({ target }) => target)
}

/** Every mirror's cells add up, whatever happened. */
function expectCounted(thread: DataThread, name: string): void {
  const { captured, slabbed, bufferFull, captureError } = thread.mirror(name)
  expect(slabbed + bufferFull + captureError).toBe(captured)
}

test('methods, paths and excluded paths decide before the answer', async () => {
  const upstream = await answering()
  const match = { methods: ['POST', 'GET'], paths: ['/orders/*', '/cart'], exclude_paths: ['*/secret'] }
  const thread = await startThread(upstream, { mirrors: [{ name: 'before', match }] })
  const client = new Client(thread.port)
  for (const path of ['/orders/1?x=/secret', '/orders/secret', '/cart', '/cart/1', '/'])
    await client.send({ path })
  await client.send({ method: 'DELETE', path: '/orders/2' })
  await client.send({ method: 'POST', path: '/orders/3' })
  expect(await targets(thread, 3)).toEqual(['/orders/1?x=/secret', '/cart', '/orders/3'])
  expect(thread.mirror('before')).toEqual({ captured: 3, slabbed: 3, bufferFull: 0, captureError: 0 })
})

test('statuses, content types and durations decide after it', async () => {
  const upstream = await startUpstream((request, response) => {
    const [, status = '200', type = 'text/plain'] = (request.url ?? '').split('~')
    const answer = () => response.writeHead(Number(status), { 'Content-Type': type.replace('_', '/') }).end()
    if (request.url?.startsWith('/slow')) setTimeout(answer, 250)
    else answer()
  })
  const thread = await startThread(upstream, {
    mirrors: [
      { name: 'status', match: { statuses: ['404', '5xx'] } },
      { name: 'type', match: { content_types: ['application/json', 'text/*'] } },
      { name: 'slow', match: { min_duration_ms: 200 } },
    ],
  })
  const client = new Client(thread.port)
  const paths = [
    '/a~200~image_png',
    '/a~404~image_png',
    '/a~503~text_html; charset=x',
    '/a~403~APPLICATION_JSON',
    '/slow~200~x_y',
  ]
  for (const path of paths) await client.send({ path: path.replace(' ', '%20') })
  await thread.exchanges(4)
  expect(thread.mirror('status').captured).toBe(2)
  expect(thread.mirror('type').captured).toBe(2)
  expect(thread.mirror('slow').captured).toBe(1)
  const both = thread.captured.find(({ status }) => status === 503)
  expect(both?.mirrors).toHaveLength(2)
})

test('the same key gives the same decision, and a smaller rate takes a part of a larger one', async () => {
  const upstream = await answering()
  const key = 'header:X-Session'
  const thread = await startThread(upstream, {
    mirrors: [
      { name: 'tenth', sample: { rate: 0.1, key } },
      { name: 'half', sample: { rate: 0.5, key } },
      { name: 'cookie', sample: { rate: 0.5, key: 'cookie:sid' } },
      { name: 'none', sample: { rate: 0 } },
    ],
  })
  const client = new Client(thread.port)
  for (let round = 0; round < 2; round++) {
    for (let session = 0; session < 100; session++) {
      const headers = ['X-Session', `s-${session}`, 'Cookie', `a=b; sid=s-${session}; c=d`]
      await client.send({ path: `/${session}`, headers })
    }
  }
  await thread.exchanges(1)
  const half = thread.mirror('half').captured
  const tenth = thread.mirror('tenth').captured
  expect(half % 2).toBe(0)
  expect(half).toBeGreaterThan(60)
  expect(half).toBeLessThan(140)
  expect(thread.mirror('cookie').captured).toBe(half)
  expect(thread.mirror('none').captured).toBe(0)
  const slots = new Map<string, string>()
  for (const { target, mirrors } of thread.captured) {
    expect(slots.get(target) ?? mirrors.join()).toBe(mirrors.join())
    slots.set(target, mirrors.join())
  }
  const sizes = thread.captured.map(({ mirrors }) => mirrors.length)
  expect(sizes.filter((size) => size === 3)).toHaveLength(tenth)
})

test('mirrors of one collection share one copy, as long as the longest wants', async () => {
  const upstream = await answering('x'.repeat(5000))
  const thread = await startThread(upstream, {
    mirrors: [
      { name: 'short', capture: { body_bytes: 10 } },
      { name: 'long', capture: { body_bytes: 1000, request_body: false } },
    ],
  })
  await new Client(thread.port).send({ method: 'POST', body: 'y'.repeat(50) })
  const [exchange] = await thread.exchanges(1)
  expect(thread.captured).toHaveLength(1)
  expect(exchange?.mirrors).toHaveLength(2)
  expect(exchange?.requestBody).toMatchObject({ text: 'y'.repeat(10), size: 50, limited: false })
  expect(exchange?.responseBody).toMatchObject({ text: 'x'.repeat(1000), size: 5000, limited: false })
  expect(thread.slabs[0]?.counts).toHaveLength(4)
})

test('what the gateway answers itself is captured once a route is known', async () => {
  const upstream = await answering()
  const thread = await startThread(upstream, {
    collection: {
      name: 'api',
      upstreams: [{ url: upstream.url }],
      prefix: '/api',
      mirrors: ['m'],
      limits: { body_bytes: 3 },
    },
    mirrors: [{ name: 'm' }],
  })
  const client = await RawClient.connect(thread.port)
  expect((await client.request('GET /other HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(404)
  const answer = await client.request('POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n')
  const captured = await thread.exchanges(1)
  expect(captured).toHaveLength(1)
  expect(captured[0]).toMatchObject({ outcome: 'rejected', status: 413, upstream: '', target: '/api' })
  expect(captured[0]?.responseBody.text).toBe(answer.body.toString())
})

test('without a free slab captures are dropped and counted, and clients see nothing', async () => {
  const upstream = await answering('z'.repeat(100_000))
  const parts = { mirrors: [{ name: 'stuck' }], capture: { flush_after_ms: 10 } }
  const thread = await startThread(upstream, parts, { bufferBytes: 4 * MIB })
  thread.returning = false
  const client = new Client(thread.port, 4)
  for (let index = 0; index < 60; index++) expect((await client.send()).body.length).toBe(100_000)
  // An answer reaches its client a moment before its exchange is counted.
  await until(() => thread.mirror('stuck').captured === 60, { what: 'all exchanges counted' })
  const { bufferFull, slabbed } = thread.mirror('stuck')
  expect(bufferFull).toBeGreaterThan(30)
  await until(() => thread.captured.length === slabbed, { what: 'all slabs handed over' })
  expectCounted(thread, 'stuck')
  expect(thread.cell('slabsInUse')).toBe(2)
  thread.returning = true
  thread.giveBack()
  await client.send()
  await thread.exchanges(slabbed + 1)
  expectCounted(thread, 'stuck')
})

test('a record larger than a slab travels alone, within the budget', async () => {
  const upstream = await answering(Buffer.alloc(3 * MIB, 97))
  const parts = { mirrors: [{ name: 'large', capture: { body_bytes: 8 * MIB } }] }
  const thread = await startThread(upstream, parts, { bufferBytes: 64 * MIB })
  await new Client(thread.port).send({ method: 'POST', body: Buffer.alloc(2 * MIB, 98) })
  const [exchange] = await thread.exchanges(1)
  expect(exchange?.requestBody.bytes.equals(Buffer.alloc(2 * MIB, 98))).toBe(true)
  expect(exchange?.responseBody.bytes.equals(Buffer.alloc(3 * MIB, 97))).toBe(true)
  expect(thread.slabs[0]?.used).toBeGreaterThan(limits.slab_bytes_max)
  await until(() => thread.cell('captureBytes') === 0, { what: 'all memory given back' })
  thread.returning = false
  await new Client(thread.port).send({ method: 'POST', body: Buffer.alloc(2 * MIB, 98) })
  await thread.exchanges(2)
  const bytes = thread.cell('captureBytes')
  expect(bytes).toBeGreaterThan(5 * MIB)
  thread.post({ type: 'slab_lost', bytes })
  await until(() => thread.cell('captureBytes') === 0, { what: 'memory that died with a recorder' })
  const tight = await startThread(
    upstream,
    { ...parts, mirrors: [{ ...parts.mirrors[0], name: 'tight' }] },
    { bufferBytes: 4 * MIB },
  )
  expect((await new Client(tight.port).send()).body.length).toBe(3 * MIB)
  await tight.exchanges(1)
  expect(tight.captured[0]?.responseBody).toMatchObject({ size: 3 * MIB, limited: true })
  expectCounted(tight, 'tight')
})

test('open exchanges share a budget: over it bodies are cut short and say so', async () => {
  const open: (() => void)[] = []
  const upstream = await startUpstream((_request, response) => {
    response.write(Buffer.alloc(MIB, 100))
    open.push(() => response.end())
  })
  const parts = { mirrors: [{ name: 'budget', capture: { body_bytes: MIB } }] }
  const thread = await startThread(upstream, parts, { bufferBytes: 8 * MIB })
  const client = new Client(thread.port, 12)
  const answers = Array.from({ length: 12 }, () => client.send())
  await until(() => open.length === 12 && thread.cell('exchangesOpen') === 12, {
    what: 'twelve open exchanges',
  })
  await until(() => thread.cell('captureBytes') > 3 * MIB, { what: 'kept bodies' })
  expect(thread.cell('captureBytes')).toBeLessThanOrEqual(8 * MIB)
  for (const end of open) end()
  for (const answer of await Promise.all(answers)) expect(answer.body.length).toBe(MIB)
  await thread.exchanges(1)
  expect(thread.captured.some(({ responseBody }) => responseBody.limited)).toBe(true)
  expect(thread.captured.every(({ responseBody }) => responseBody.size === MIB)).toBe(true)
  expect(thread.mirror('budget').captured).toBe(12)
  expectCounted(thread, 'budget')
  await until(() => thread.cell('captureBytes') === 0, { what: 'all memory given back' })
})

test('slabs are numbered without a gap, and hold what they say', async () => {
  const upstream = await answering('q'.repeat(20_000))
  const thread = await startThread(upstream, {
    mirrors: [{ name: 'a' }, { name: 'b', match: { paths: ['/b*'] } }],
  })
  const client = new Client(thread.port, 8)
  await Promise.all(
    Array.from({ length: 200 }, (_, index) => client.send({ path: index % 2 === 0 ? '/b' : '/a' })),
  )
  await thread.exchanges(200)
  expect(thread.slabs.map(({ sequence }) => sequence)).toEqual(thread.slabs.map((_, index) => index + 1))
  const sums = new Map<number, number>()
  for (const { counts } of thread.slabs) {
    for (let at = 0; at < counts.length; at += 2) {
      sums.set(counts[at] as number, (sums.get(counts[at] as number) ?? 0) + (counts[at + 1] as number))
    }
  }
  expect([...sums.values()].sort((a, b) => a - b)).toEqual([100, 200])
})

test('a slab leaves by itself soon after its first record', async () => {
  const upstream = await answering()
  const thread = await startThread(upstream, { mirrors: [{ name: 'm' }], capture: { flush_after_ms: 50 } })
  await new Client(thread.port).send()
  await until(() => thread.captured.length === 1, { what: 'a slab that nobody asked for' })
})

test('a new plan is seen by the next request of an open connection, not by what has begun', async () => {
  const open: (() => void)[] = []
  const before = await startUpstream((request, response) => {
    if (request.url === '/open') open.push(() => response.end('before'))
    else response.end('before')
  })
  const after = await startUpstream((_request, response) => response.end('after'))
  const parts = (url: string, mirror: string) => ({
    collections: [{ name: 'api', upstreams: [{ url }], mirrors: [mirror] }],
    mirrors: [{ name: mirror }],
  })
  const thread = await startThread(before, parts(before.url, 'old'))
  const [kept, slow] = [await RawClient.connect(thread.port), await RawClient.connect(thread.port)]
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  expect((await kept.request(get('/'))).body.toString()).toBe('before')
  slow.send(get('/open'))
  await until(() => open.length === 1, { what: 'the open request' })
  await thread.apply(parts(after.url, 'new'))
  for (let round = 0; round < 3; round++) expect((await kept.request(get('/'))).body.toString()).toBe('after')
  open[0]?.()
  expect((await slow.response()).body.toString()).toBe('before')
  expect((await slow.request(get('/'))).body.toString()).toBe('after')
  await thread.exchanges(6)
  expect(thread.mirror('old').captured).toBe(2)
  expect(thread.mirror('new').captured).toBe(4)
  const generations = thread.slabs.map(({ generation }) => generation)
  expect(new Set(generations).size).toBe(2)
  // The connections of an upstream that is gone end with its last exchange.
  await until(() => before.sockets.size === 0, { what: 'no connection to the old upstream' })
})

test('an upstream that a reload keeps, keeps its connections', async () => {
  const upstream = await answering()
  const collections = [{ name: 'api', upstreams: [{ url: upstream.url }] }]
  const thread = await startThread(upstream, { collections })
  const client = new Client(thread.port)
  for (let round = 0; round < 5; round++) {
    await client.send()
    await thread.apply({
      collections: [{ ...collections[0], name: 'api', prefix: '/', timeouts: { idle_ms: 1000 + round } }],
    })
  }
  expect(upstream.accepted).toBe(1)
})

test('while capture is paused nothing is kept', async () => {
  const upstream = await answering()
  const thread = await startThread(upstream, { mirrors: [{ name: 'paused' }], capturing: false })
  await new Client(thread.port).send({ method: 'POST', body: 'x' })
  expect(thread.mirror('paused').captured).toBe(0)
  expect(thread.cell('captureBytes')).toBe(0)
})

test('requests are counted by status, duration and reason', async () => {
  const upstream = await answering('', 404)
  const thread = await startThread(upstream)
  const client = new Client(thread.port)
  for (let round = 0; round < 3; round++) await client.send()
  await client.send({ method: 'PURGE' })
  await until(() => thread.collection('api', 'statusClass', 3) === 3, { what: 'three answers of class 4xx' })
  const buckets = Array.from({ length: 15 }, (_, index) => thread.collection('api', 'durationBucket', index))
  expect(buckets.reduce((sum, count) => sum + count, 0)).toBe(3)
  expect(thread.collection('api', 'durationSumMs')).toBeGreaterThan(0)
  // `method_not_allowed` is the third reason.
  expect(thread.counters.cells[threadCell.rejected + 2]).toBe(1)
})
