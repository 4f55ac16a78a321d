/**
 * Segments that were torn or flipped between two runs: what can be read is delivered, the rest is counted.
 */
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import type { LegView } from '../../src/admin/commands.ts'
import { Client } from '../support/client.ts'
import { startCollector } from '../support/collector.ts'
import { filesUnder } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { droppedOf, expectIdentity, until } from '../support/wait.ts'
import { startBed } from './bed.ts'

const segmentsOf = async ({ dataDir }: TestGateway, mirror: string, leg: string) => {
  const files = await filesUnder(path.join(dataDir, 'spool', mirror, leg))
  return files.filter((file) => file.endsWith('.seg')).sort()
}

const mutations: Readonly<Record<string, (file: string) => void>> = {
  'torn-tail': (file) => fs.truncateSync(file, Math.floor(fs.statSync(file).size * 0.7)),
  'flipped-bit': (file) => {
    const bytes = fs.readFileSync(file)
    const at = Math.floor(bytes.length / 2)
    fs.writeFileSync(file, bytes.with(at, (bytes[at] as number) ^ 1))
  },
  zeros: (file) => fs.writeFileSync(file, Buffer.alloc(fs.statSync(file).size)),
  'no-file': (file) => fs.rmSync(file),
}

/** A mirror for each damage, with a collector of its own. */
async function startDamaged(names: readonly string[]) {
  const upstream = await startUpstream()
  const collectors = await Promise.all(names.map(() => startCollector()))
  const mirrors = names.map((name, at) => ({
    name,
    sink: 'salt',
    request_url: `${collectors[at]?.url}/requests`,
    response_url: `${collectors[at]?.url}/responses`,
    batch: { max_wait_ms: 50 },
    retry: { attempts: 1, min_wait_ms: 100, max_wait_ms: 100, probe_ms: 300 },
  }))
  const config = {
    collections: [{ name: 'orders', upstreams: [{ url: upstream.url }], mirrors: names }],
    mirrors,
    capture: { flush_after_ms: 20 },
  }
  return { collectors, config, gateway: await startTestGateway({ config }) }
}

async function send({ port }: TestGateway, count: number): Promise<void> {
  const client = new Client(port)
  for (let at = 0; at < count; at += 1) {
    const { status } = await client.send({ method: 'POST', path: `/orders/${at}`, body: '{"item":"book"}' })
    expect(status).toBe(200)
  }
}

const seesAll = (
  gateway: TestGateway,
  names: readonly string[],
  what: string,
  is: (leg: LegView) => boolean,
) =>
  until(
    async () => {
      const views = await Promise.all(names.map((name) => gateway.admin.mirror(name)))
      return views.every(({ legs }) => legs.every(is)) && views
    },
    { what, within_ms: 15_000 },
  )

test('damage after a clean stop: the start goes on, and the loss of each mirror is exact', async () => {
  const names = Object.keys(mutations)
  const { collectors, config, gateway } = await startDamaged(names)
  for (const collector of collectors) await collector.stop()
  for (let round = 1; round <= 5; round += 1) {
    await send(gateway, 20)
    // A frame per round.
    await seesAll(gateway, names, 'they are on disk', ({ durable_items }) => durable_items === round * 20)
  }
  expect(await gateway.stop()).toBe(0)
  for (const name of names) {
    const [file] = await segmentsOf(gateway, name, 'requests')
    mutations[name]?.(file as string)
  }

  for (const collector of collectors) await collector.start()
  const next = await startTestGateway({ config, folder: gateway.folder })
  await send(next, 10)
  const views = await seesAll(
    next,
    names,
    'nothing waits',
    ({ counts }) => counts.captured === 110 && counts.waiting === 0,
  )
  const metrics = await next.admin.metrics()
  for (const [at, view] of views.entries()) {
    expectIdentity(view)
    const [requests, responses] = view.legs
    expect(requests?.counts).toMatchObject({ captured: 110, dead_lettered: 0 })
    expect(Object.keys(requests?.counts.dropped ?? {}), view.name).toEqual(['spool_corrupt'])
    const lost = droppedOf(view.counts)
    expect(collectors[at]?.totals('requests').distinct).toBe(110 - lost)
    expect(responses?.counts).toMatchObject({ captured: 110, delivered: 110, dropped: {} })
    expect(metrics.sum('mirror_dropped_total', { mirror: view.name, reason: 'spool_corrupt' })).toBe(lost)
  }
})

test('every segment torn after a kill: the start goes on with what is whole', async () => {
  const bed = await startBed()
  await bed.collector.stop()
  await bed.send(100)
  await bed.sees('all is on disk', ({ legs }) => legs.every(({ durable_items }) => durable_items === 100))
  await bed.gateway.kill9()
  for (const leg of ['requests', 'responses']) {
    for (const file of await segmentsOf(bed.gateway, 'salt', leg))
      fs.truncateSync(file, fs.statSync(file).size - 30)
  }
  await bed.collector.start()
  await bed.restart()
  await bed.send(10)
  const view = await bed.sees('nothing waits', ({ counts }) => counts.waiting === 0 && counts.delivered > 20)
  for (const { name, counts } of view.legs) {
    expect(counts.captured).toBeLessThan(110)
    expect(bed.collector.totals(name as 'requests').distinct).toBe(counts.delivered)
  }
})
