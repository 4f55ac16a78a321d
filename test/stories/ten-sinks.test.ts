/** Ten sinks of different kinds: one hangs, one refuses, one is slow; the other seven never wait for them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { DeliveryView } from '../../src/admin/commands.ts'
import { type Collector, startCollector } from '../conformance/collector.ts'
import { Client } from '../support/client.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { tempDir } from '../support/files.ts'
import { happen, streamView, thingNames } from '../support/streams.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

/** Exchanges and entries of one round. */
const ROUND = 20
const SLOW_MS = 100

const mirrors = ['hung', 'open', 'har', 'lines'] as const
const streams = ['refused', 'slow', 'sumo', 'elastic', 'otlp', 'webhook'] as const
type Name = (typeof mirrors)[number] | (typeof streams)[number]
const seven: readonly Name[] = ['open', 'har', 'lines', 'sumo', 'elastic', 'otlp', 'webhook']

function configOf(places: string, upstream: string, file: string): Record<string, unknown> {
  const short = {
    batch: { max_items: 5, max_wait_ms: 20 },
    retry: { attempts: 2, min_wait_ms: 50, max_wait_ms: 200, probe_ms: 100 },
    timeout_ms: 60_000,
  }
  const audit = { events: ['activity'], match: { event_types: ['thing_done'] }, ...short }
  return {
    collections: [{ name: 'orders', upstreams: [{ url: upstream }], mirrors }],
    mirrors: [
      {
        ...{ name: 'hung', sink: 'salt', ...short },
        ...{ request_url: `${places}/hung/requests`, response_url: `${places}/hung/responses` },
      },
      { name: 'open', sink: 'http', url: `${places}/open`, ...short },
      { name: 'har', sink: 'http', format: 'har', url: `${places}/har`, ...short },
      { name: 'lines', sink: 'file', path: file, ...short },
    ],
    streams: [
      { name: 'refused', sink: 'splunk', url: `${places}/refused`, token: '${env:TOKEN}', ...audit },
      { name: 'slow', sink: 'datadog', url: `${places}/slow`, api_key: '${env:TOKEN}', ...audit },
      { name: 'sumo', sink: 'sumo', url: `${places}/sumo`, ...audit },
      { name: 'elastic', sink: 'elasticsearch', url: `${places}/elastic/_bulk`, index: 'audit', ...audit },
      { name: 'otlp', sink: 'otlp', url: `${places}/otlp/v1/logs`, ...audit },
      // Its own lines do not name the thing.
      {
        name: 'webhook',
        sink: 'webhook',
        endpoint: `${places}/webhook`,
        message: '{{{log_message}}}',
        ...audit,
      },
    ],
    capture: { flush_after_ms: 20 },
  }
}

const viewOf = (gateway: TestGateway, name: Name): Promise<DeliveryView> =>
  (streams as readonly string[]).includes(name) ? streamView(gateway, name) : gateway.admin.mirror(name)

/** Every leg of these has delivered all that happened. */
async function level(gateway: TestGateway, names: readonly Name[], rounds: number): Promise<void> {
  const behind = async () => {
    const views = await Promise.all(names.map((name) => viewOf(gateway, name)))
    for (const view of views) expectIdentity(view)
    const legs = views.flatMap((view) => view.legs.map(({ counts }) => ({ name: view.name, counts })))
    const late = legs.filter(({ counts }) => counts.delivered !== rounds * ROUND || counts.waiting > 0)
    if (late.length > 0) throw new Error(JSON.stringify(late))
    return true
  }
  await until(behind, { what: `${names.join(', ')} have delivered ${rounds} rounds`, within_ms: 15_000 })
}

/** Where all of them deliver, each at a path of its own, until `mend` is called. */
async function startPlaces(): Promise<{ collector: Collector; mend: () => void }> {
  const collector = await startCollector()
  onTestFinished(() => collector.close())
  const accepted = '{"errors":false,"text":"Success","code":0}'
  const held: (() => void)[] = []
  let isMended = false
  collector.behave((response, { path }) => {
    const accept = () => void response.end(path.startsWith('/otlp') ? '{}' : accepted)
    if (path.startsWith('/slow')) setTimeout(accept, SLOW_MS)
    else if (isMended) accept()
    else if (path.startsWith('/hung')) held.push(accept)
    else if (path.startsWith('/refused')) response.writeHead(403).end('{"text":"Invalid token","code":4}')
    else accept()
  })
  const mend = () => {
    isMended = true
    for (const accept of held.splice(0)) accept()
  }
  return { collector, mend }
}

test('seven of ten deliver every round while three do not, and at the end all accounts add up', async () => {
  const { collector, mend } = await startPlaces()
  const upstream = await startUpstream()
  const file = join(await tempDir(), 'lines.ndjson')
  const config = configOf(collector.url, upstream.url, file)
  const env = { TOKEN: 'a-token' }
  let gateway = await startTestGateway({ config, env })
  let rounds = 0
  const round = async () => {
    const client = new Client(gateway.port, 4)
    const from = rounds * ROUND
    const exchanges = Array.from({ length: ROUND }, (_, at) =>
      client.send({ method: 'POST', path: `/orders/${from + at}`, body: '{}' }),
    )
    for (const { status } of await Promise.all(exchanges)) expect(status).toBe(200)
    await happen(gateway, ROUND, from)
    rounds += 1
    await level(gateway, seven, rounds)
    for (const name of ['hung', 'refused'] as const) {
      const { legs } = await viewOf(gateway, name)
      for (const { counts } of legs)
        expect(counts, name).toMatchObject({ delivered: 0, waiting: from + ROUND, dropped: {} })
    }
  }
  await round()
  await round()
  await gateway.kill9()
  gateway = await startTestGateway({ config, env, folder: gateway.folder })
  await level(gateway, seven, rounds)
  await round()

  mend()
  await gateway.admin.json('POST', '/api/streams/refused/replay')
  await level(gateway, [...mirrors, ...streams], rounds)
  const found = (pattern: RegExp, texts: readonly string[]) =>
    [...new Set(texts.flatMap((text) => text.match(pattern) ?? []))].sort()
  const at = (name: Name) =>
    collector.deliveries.filter(({ path }) => path.startsWith(`/${name}`)).map(({ body }) => body.toString())
  for (const name of streams) expect(found(/thing-\d+/g, at(name)), name).toEqual(thingNames(60).sort())
  const orders = Array.from({ length: 60 }, (_, n) => `/orders/${n}`).sort()
  for (const name of ['hung', 'open', 'har'] as const)
    expect(found(/\/orders\/\d+/g, at(name)), name).toEqual(orders)
  expect(found(/\/orders\/\d+/g, [await readFile(file, 'utf8')])).toEqual(orders)
}, 60_000)
