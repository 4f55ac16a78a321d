/** The activity log of a running gateway: a full disk, retention by configuration, metrics, a clean stop. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { canMount, mountSmall } from '../faults/mount.ts'
import { Client } from '../support/client.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'
import { fillUp } from './fill.ts'
import { activity, checkpointsOf, expectIntact, openStore } from './rig.ts'

const MIB = 1024 * 1024
const DAY_MS = 86_400_000

const entry = { event_type: 'recipe_updated', user: { id: 7 }, resource: { type: 'Flow' } }
const mine = '/api/activity_logs?include_event_types[]=recipe_updated'

async function total(gateway: TestGateway): Promise<number> {
  const { status, text } = await gateway.admin.call('GET', mine)
  expect(status, text).toBe(200)
  return (JSON.parse(text) as { total: number }).total
}

const post = async (gateway: TestGateway, body: unknown): Promise<number> =>
  (await gateway.admin.call('POST', '/api/activity_logs', body)).status

test.skipIf(!canMount)(
  'a full disk: entries are answered 507, reads and clients go on (needs root to mount)',
  async () => {
    const folder = await tempDir()
    mountSmall(join(folder, 'data'), 24 * MIB)
    const upstream = await startUpstream()
    const config = { collections: [{ name: 'orders', upstreams: [{ url: upstream.url }] }] }
    const gateway = await startTestGateway({ config, folder })
    expect(await post(gateway, entry)).toBe(202)
    const filler = await fillUp(gateway.dataDir, MIB / 2)
    expect(await post(gateway, entry)).toBe(507)
    expect(await total(gateway)).toBe(1)
    // A state that cannot be told of does not change; what an entry only tells of is done all the same.
    expect((await gateway.admin.call('POST', '/api/capture/pause')).status).toBe(507)
    expect((await gateway.admin.status()).capture.paused).toBe(false)
    expect((await gateway.admin.call('PUT', '/api/logging', { level: 'warn' })).status).toBe(200)
    expect((await gateway.admin.metrics()).sum('activity_failed_total')).toBe(1)
    const answer = await new Client(gateway.port).send({ method: 'GET', path: '/orders' })
    expect(answer.status).toBe(200)

    await rm(filler)
    expect(await post(gateway, [entry, entry])).toBe(202)
    expect(await total(gateway)).toBe(3)
    expect(await gateway.stop()).toBe(0)
    await expectIntact(gateway.dataDir)
  },
)

test('the configuration says how long entries are kept, and a clean stop signs the end', async () => {
  const folder = await tempDir()
  const dataDir = join(folder, 'data')
  await mkdir(dataDir)
  const store = openStore(dataDir)
  const aged = (days: number) =>
    activity({ timestamp: Date.now() - days * DAY_MS, event_type: 'recipe_updated' })
  await store.activity.append([aged(400), aged(100), aged(1)])
  await store.close()
  const collections = [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }]

  const gateway = await startTestGateway({ config: { collections }, folder })
  await until(async () => (await total(gateway)) === 2, { what: 'what is older than a year is gone' })
  expect(await gateway.stop()).toBe(0)
  const days = { collections, activity: { retention: { dev: 30 * DAY_MS }, checkpoint_entries: 1 } }
  const shorter = await startTestGateway({ config: days, folder })
  await until(async () => (await total(shorter)) === 1, { what: 'what is older than 30 days is gone' })
  const metrics = await shorter.admin.metrics()
  expect(metrics.sum('activity_append_seconds_count')).toBeGreaterThan(0)
  expect(metrics.sum('store_size_bytes')).toBeGreaterThan(0)
  const standing = metrics.sum('activity_entries')
  expect(standing).toBeGreaterThan(2)
  expect(await shorter.stop()).toBe(0)

  const ids = await expectIntact(dataDir)
  expect(ids.length).toBeGreaterThanOrEqual(standing)
  const { dev } = (await checkpointsOf(dataDir)).at(-1)?.environments ?? {}
  expect(dev).toMatchObject({ anchor_id: 2, first_id: 3, last_id: ids.at(-1), entries: ids.length })
})
