/** Streams that read the activity log from its beginning: how fast a backlog of it drains to an HTTP sink. */
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Store } from '../../src/store/store.ts'
import type { Bed } from '../harness/bed.ts'
import { freePort, startChild, untilAnswers } from '../harness/child.ts'
import { cpuOf } from '../harness/procfs.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const BATCH = 1000
/** A drain that takes longer has failed. */
const DRAIN_MS = 120_000

export interface StreamsResult {
  readonly entries: number
  /** By the number of streams that read side by side. */
  readonly drains: readonly {
    readonly streams: number
    readonly eventsPerSecond: number
    /** CPU time of the whole gateway for each event, µs. */
    readonly cpuPerEvent: number
  }[]
}

async function fill(folder: string, entries: number): Promise<void> {
  const store = new Store(folder)
  for (let from = 0; from < entries; from += BATCH) {
    const count = Math.min(BATCH, entries - from)
    await store.activity.append(
      Array.from({ length: count }, (_, at) => ({
        event_type: 'recipe_updated',
        workspace: { id: 12345, name: 'Alex', email: 'alex@example.com', environment: 'dev' as const },
        user: { id: at, name: `User ${at}`, email: `user${at}@example.com` },
        details: {
          request: { ip_address: '192.0.2.1', user_agent: 'Mozilla/5.0 (X11; Linux x86_64)' },
          activity: 'recipe_updated',
        },
        resource: { id: from + at, name: 'My new recipe', type: 'Flow' },
      })),
    )
  }
  await store.close()
}

/** Counts events by the path that they are posted to. */
async function startSink() {
  const items = new Map<string, number>()
  const server = http.createServer((request, response) => {
    request.on('data', () => {})
    request.on('end', () => {
      const path = request.url ?? ''
      const count = Number(request.headers['x-mirrorgate-items'])
      items.set(path, (items.get(path) ?? 0) + count)
      response.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, items, close: () => server.close() }
}

const configOf = (ports: { listen: number; admin: number; sink: number }, names: readonly string[]): string =>
  `data_dir: ./data
listen: { host: 127.0.0.1, port: ${ports.listen}, threads: 1 }
admin: { port: ${ports.admin} }
collections: [{ name: orders, upstreams: [{ url: "http://127.0.0.1:9" }] }]
connections: [{ name: siem, base_url: "http://127.0.0.1:${ports.sink}" }]
streams:
${names
  .map(
    (name) =>
      `  - { name: ${name}, sink: http, connection: siem, url: /${name}, events: [activity], ` +
      'start: beginning, batch: { max_items: 2000 } }',
  )
  .join('\n')}
logging: { level: warn, format: json }
`

async function drain(bed: Bed, folder: string, entries: number, count: number) {
  const names = Array.from({ length: count }, (_, at) => `of-${count}-${at}`)
  const sink = await startSink()
  const [listen, admin] = [await freePort(), await freePort()]
  const file = `${folder}/gateway.yaml`
  writeFileSync(file, configOf({ listen, admin, sink: sink.port }, names))
  const args = [main, 'start', '--config', file]
  const child = startChild({ name: 'streams', cores: bed.core, command: process.execPath, args, folder })
  await untilAnswers(child, `http://127.0.0.1:${admin}/readyz`)
  // What was sent while the gateway started is not counted: neither is its time.
  const total = (): number => names.reduce((sum, name) => sum + (sink.items.get(`/${name}`) ?? 0), 0)
  const [started, before, cpu] = [performance.now(), total(), cpuOf(child.pid)]
  while (names.some((name) => (sink.items.get(`/${name}`) ?? 0) < entries)) {
    if (performance.now() - started > DRAIN_MS) throw new Error(`${total()} events after ${DRAIN_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const events = total() - before
  const seconds = (performance.now() - started) / 1000
  const used = cpuOf(child.pid).total - cpu.total
  await child.stop()
  sink.close()
  return { streams: count, eventsPerSecond: events / seconds, cpuPerEvent: used / events }
}

export async function streams(bed: Bed, entries: number): Promise<StreamsResult> {
  const folder = `${bed.folder}/streams`
  mkdirSync(`${folder}/data`, { recursive: true })
  await fill(`${folder}/data`, entries)
  const drains: StreamsResult['drains'][number][] = []
  for (const count of [1, 10]) drains.push(await drain(bed, folder, entries, count))
  return { entries, drains }
}
