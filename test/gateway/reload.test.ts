/** A reload swaps everything that may change under open connections, and loses nothing on the way. */
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import type { DeliveryView } from '../../src/admin/commands.ts'
import { Client, RawClient } from '../support/client.ts'
import { startCollector } from '../support/collector.ts'
import { type MirrorSetup, mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

const post = (path: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n` +
  `Content-Length: ${body.length}\r\n\r\n${body}`

/** An upstream that names itself; requests to /held wait until they are let go. */
async function startNamed(name: string) {
  const held: ServerResponse[] = []
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => {
      if (request.url === '/held') held.push(response)
      else response.end(name)
    })
  })
  const release = () => {
    for (const response of held) response.end(name)
  }
  return { url: upstream.url, held, release }
}

type Section = Record<string, unknown>

const listen = { threads: 2 }
let first: Promise<TestGateway> | null = null
let mirrors = 0

/** The gateway of the file, with this configuration, and what its mirror is called there. */
async function gatewayWith(setup: MirrorSetup) {
  mirrors += 1
  const name = `salt-${mirrors}`
  const configOf = ({ mirror, collection, rest, ...ends }: MirrorSetup): Section =>
    mirrorConfig({
      ...ends,
      mirror: { ...mirror, name },
      collection: { mirrors: [name], ...collection },
      rest: { ...rest, listen },
    })
  const config = configOf(setup)
  const started = first === null
  first ??= startTestGateway({ config, shared: true })
  const gateway = await first
  const reload = async (next: Section) => {
    await gateway.rewrite({ config: next })
    return gateway.admin.json<{ generation: number }>('POST', '/api/config/reload')
  }
  if (!started) await reload(config)
  return { gateway, config, configOf, reload, name }
}

const reloads: Record<string, (gateway: TestGateway) => Promise<unknown>> = {
  'POST /api/config/reload': (gateway) => gateway.admin.json('POST', '/api/config/reload'),
  SIGHUP: async (gateway) => {
    const { generation } = (await gateway.admin.status()).config
    gateway.process.child.kill('SIGHUP')
    await until(async () => (await gateway.admin.status()).config.generation === generation + 1, {
      what: 'the next generation is in force',
    })
  },
}

test.each(Object.keys(reloads))(
  '%s: what is in flight ends as it began, the next request of its connection sees the new file',
  async (way) => {
    const [old, next] = [await startNamed('old'), await startNamed('next')]
    const collector = await startCollector()
    const { gateway, configOf, name } = await gatewayWith({ upstream: old.url, collector: collector.url })
    const applied = async () =>
      (await gateway.admin.metrics()).sum('config_reloads_total', { result: 'applied' })
    const before = await applied()
    expect((await gateway.admin.status()).threads.data).toBe(2)

    // The kernel spreads connections over both threads.
    const clients = await Promise.all(Array.from({ length: 12 }, () => RawClient.connect(gateway.port)))
    const ask = (path: string, body: string) =>
      Promise.all(clients.map(async (client) => (await client.request(post(path, body))).body.toString()))
    expect(await ask('/before', '{"nick":"ada"}')).toEqual(clients.map(() => 'old'))
    for (const client of clients) client.send(post('/held', '{}'))
    await until(() => old.held.length === clients.length, { what: 'every request is at the old upstream' })

    const mirror = { redact: { json_fields: ['nick'] } }
    await gateway.rewrite({ config: configOf({ upstream: next.url, collector: collector.url, mirror }) })
    await reloads[way]?.(gateway)
    old.release()
    for (const client of clients) expect((await client.response()).body.toString()).toBe('old')
    expect(await ask('/after', '{"nick":"ada"}')).toEqual(clients.map(() => 'next'))

    await gateway.delivered(3 * clients.length, name)
    const bodies = new Map<string, Set<string | null>>()
    for (const [, { request }] of collector.kept()) {
      const { path = '', body = null } = request?.request ?? {}
      bodies.set(path, (bodies.get(path) ?? new Set()).add(body))
    }
    expect(bodies.get('/before')).toEqual(new Set(['{"nick":"ada"}']))
    expect(bodies.get('/after')).toEqual(new Set(['{"nick":"[redacted]"}']))
    expect((await applied()) - before).toBe(1)
  },
)

test('a mirror is switched on and off under an open connection, to the request', async () => {
  const upstream = await startUpstream()
  const collector = await startCollector()
  const base = { upstream: upstream.url, collector: collector.url }
  const {
    gateway,
    config: bare,
    configOf,
    reload,
    name,
  } = await gatewayWith({ ...base, collection: { mirrors: [] } })
  const mirrored = configOf(base)
  const elsewhere = configOf({ ...base, collection: { name: 'other', prefix: '/other' } })
  const client = new Client(gateway.port)
  const ports = new Set<number>()
  const send = async (path: string) => {
    const { status, localPort } = await client.send({ path })
    ports.add(localPort)
    return status
  }

  expect(await send('/1')).toBe(200)
  await reload(mirrored)
  expect([await send('/2'), await send('/3')]).toEqual([200, 200])
  await reload(elsewhere)
  expect([await send('/4'), await send('/other/5')]).toEqual([404, 200])
  await reload(bare)
  expect(await send('/6')).toBe(200)

  expect(ports.size).toBe(1)
  await gateway.delivered(3, name)
  const paths = [...collector.kept()].map(([, { request }]) => request?.request.path)
  expect(paths.toSorted()).toEqual(['/2', '/3', '/other/5'])
})

test('reloads in the middle of traffic lose no request and no exchange', async () => {
  const upstreams = [await startUpstream(), await startUpstream()] as const
  const collector = await startCollector()
  // Each reload hands a slab over, and a recorder that has little of a busy machine gives it back late.
  const rest = { capture: { flush_after_ms: 200 } }
  const setup = (at: 0 | 1): MirrorSetup => {
    const mirror = { redact: { headers: [`x-${at}`] } }
    return { upstream: upstreams[at].url, collector: collector.url, mirror, rest }
  }
  const { gateway, configOf, reload, name } = await gatewayWith(setup(0))
  const { generation: before } = (await gateway.admin.status()).config
  let reloading = true
  const lane = async () => {
    const client = new Client(gateway.port)
    const ports = new Set<number>()
    let sent = 0
    for (; reloading; sent += 1) {
      const { status, localPort } = await client.send({ method: 'POST', path: `/${sent}`, body: '{}' })
      expect(status).toBe(200)
      ports.add(localPort)
    }
    expect(ports.size).toBe(1)
    return sent
  }
  const lanes = Array.from({ length: 6 }, lane)
  for (let turn = 1; turn <= 6; turn += 1) {
    const { generation } = await reload(configOf(setup(turn % 2 === 0 ? 0 : 1)))
    expect(generation).toBe(before + turn)
  }
  reloading = false
  const sent = (await Promise.all(lanes)).reduce((sum, count) => sum + count, 0)
  const { counts } = await gateway.delivered(sent, name)
  expect(counts).toMatchObject({ delivered: 2 * sent, dropped: {} })
  expect(collector.pairs).toBe(sent)
  const answered = upstreams.map(({ received }) => received.length)
  expect(answered[0]! + answered[1]!).toBe(sent)
  expect(answered.every((count) => count > 0)).toBe(true)
})

test('an upload that has begun ends where it began, though the reload took its collection away', async () => {
  const upstream = await startUpstream()
  const collector = await startCollector()
  const base = { upstream: upstream.url, collector: collector.url }
  const { gateway, configOf, reload, name } = await gatewayWith(base)
  const client = await RawClient.connect(gateway.port)
  client.send('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf')
  await until(() => upstream.received[0]?.bytes === 4, { what: 'half of the upload is at the upstream' })

  const gone = await startUpstream()
  const collection = { name: 'other', prefix: '/other' }
  await reload(configOf({ ...base, upstream: gone.url, collection }))
  client.send('rest')
  expect((await client.response()).status).toBe(200)
  expect(upstream.received[0]?.body?.toString()).toBe('halfrest')
  expect((await client.request(post('/upload', '{}'))).status).toBe(404)

  await gateway.delivered(1, name)
  const { request, response } = await collector.pairOf('/upload')
  expect(request).toMatchObject({ collection: 'orders', request: { body: 'halfrest' } })
  expect(response).toMatchObject({ outcome: 'complete', upstream: upstream.url })
  // Its connections to an upstream that nobody names any more are closed.
  await until(() => upstream.sockets.size === 0, { what: 'the old upstream is let go' })
})

/** A gateway whose collector is down, with this many exchanges waiting for it. */
async function withBacklog(exchanges: number) {
  const upstream = await startUpstream()
  const collector = await startCollector()
  await collector.stop()
  const base = { upstream: upstream.url, collector: collector.url }
  const { gateway, config, configOf, reload, name } = await gatewayWith(base)
  const removed = configOf({ ...base, collection: { mirrors: [] }, rest: { mirrors: [] } })
  const client = new Client(gateway.port)
  for (let at = 0; at < exchanges; at += 1) await client.send({ path: `/${at}` })
  await until(async () => (await gateway.admin.mirror(name)).counts.waiting === 2 * exchanges, {
    what: 'everything waits',
  })
  return { gateway, collector, config, removed, reload, client, name }
}

test('the backlog of a removed mirror waits until the mirror returns', async () => {
  const { gateway, collector, config, removed, reload, client, name } = await withBacklog(20)
  await reload(removed)
  const view = await gateway.admin.mirror(name)
  expectIdentity(view)
  expect(view).toMatchObject({ enabled: false, state: 'disabled' })
  expect(view.counts).toMatchObject({ captured: 40, waiting: 40 })
  // It takes nothing more, and nobody can command what the configuration does not name.
  expect((await client.send({ path: '/unmirrored' })).status).toBe(200)
  for (const act of ['pause', 'resume', 'replay', 'test'])
    expect((await gateway.admin.call('POST', `/api/mirrors/${name}/${act}`)).status).toBe(409)

  await collector.start()
  await reload(config)
  await gateway.admin.replay(name)
  const end = await gateway.delivered(20, name)
  expect(end.counts).toMatchObject({ captured: 40, delivered: 40, dropped: {} })
  expect(collector.pairs).toBe(20)
})

test('the backlog of a removed mirror can be purged, and says so', async () => {
  const { gateway, collector, removed, config, reload, name } = await withBacklog(5)
  await until(async () => (await gateway.admin.mirror(name)).legs.every((leg) => leg.durable_items === 5), {
    what: 'everything is on disk',
  })
  await reload(removed)
  await until(
    async () => {
      const { status, text } = await gateway.admin.call('DELETE', `/api/mirrors/${name}/backlog`)
      // A batch on its way at that moment waits again when it has failed.
      return status === 404 || (JSON.parse(text) as DeliveryView).counts.waiting === 0
    },
    { what: 'nothing is left to purge' },
  )
  expect((await gateway.admin.call('GET', `/api/mirrors/${name}`)).status).toBe(404)

  await collector.start()
  await reload(config)
  const view = await gateway.admin.mirror(name)
  expectIdentity(view)
  expect(view.counts).toEqual({
    captured: 10,
    delivered: 0,
    waiting: 0,
    dead_lettered: 0,
    dropped: { purged: 10 },
  })
  expect(collector.posts).toBe(0)
})
