/** Retention takes whole prefixes away, keeps their anchor, and the rest still verifies. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { NewActivity } from '../../src/contract/activity.ts'
import type { EnvironmentName } from '../../src/contract/environments.ts'
import type { ActivityHost } from '../../src/store/activity/log.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { activity, checkpointsOf, expectIntact, newStore, openStore } from './rig.ts'

const DAY_MS = 86_400_000

function hostKeeping(days: Partial<Record<EnvironmentName, number>>): ActivityHost {
  return {
    log: createLog({ level: 'silent', format: 'json' }),
    settings: () => ({
      keepMs: (environment) => (days[environment] ?? 365) * DAY_MS,
      checkpointEntries: 1000,
      checkpointMs: 60_000,
      workspace: { id: 1, name: 'mirrorgate', email: 'ops@example.com' },
    }),
  }
}

/** So many entries, dev and prod by turns, this many days old. */
function aged(count: number, days: number): NewActivity[] {
  const timestamp = Date.now() - days * DAY_MS
  return Array.from({ length: count }, (_, at) =>
    activity({ timestamp: timestamp + at, environment: at % 2 === 0 ? 'dev' : 'prod' }),
  )
}

test('each environment loses its own old entries, and the rest verifies from the anchor on', async () => {
  const { folder, store } = await newStore()
  await store.activity.append(aged(1000, 100))
  await store.activity.append(aged(1000, 60))
  await store.activity.append(aged(100, 1))
  await store.activity.retain(hostKeeping({ dev: 30, prod: 90 }))

  const dev = await store.activity.page({ environment: 'dev', order: 'asc', size: 100 })
  const prod = await store.activity.page({ environment: 'prod', order: 'asc', size: 100 })
  // 50 and 550 stand, and each environment got one entry that says so.
  expect([dev.total, dev.data[0]?.id]).toEqual([51, 2001])
  expect([prod.total, prod.data[0]?.id]).toEqual([551, 1002])
  expect(dev.data.at(-1)).toMatchObject({
    event_type: 'activity_retention_applied',
    workspace: { environment: 'dev' },
    user: { id: 0, name: 'mirrorgate' },
    details: { removed: 1000, last_removed_id: 1999, retention_ms: 30 * DAY_MS },
    resource: { type: 'ActivityLog' },
  })
  expect(await store.activity.entry(1999, 'dev')).toBeNull()
  expect(await store.activity.entry(1002, 'prod')).not.toBeNull()

  await store.activity.retain(hostKeeping({ dev: 30, prod: 90 }))
  expect((await store.activity.page({ environment: 'dev', order: 'asc', size: 1 })).total, 'again').toBe(51)
  await store.close()
  expect((await expectIntact(folder)).length).toBe(51 + 551)
  expect((await checkpointsOf(folder)).at(-1)?.environments).toMatchObject({
    dev: { anchor_id: 1999, first_id: 2001, removed: 1000, entries: 51 },
    prod: { anchor_id: 1000, first_id: 1002, removed: 500, entries: 551 },
  })

  const again = openStore(folder)
  expect((await again.activity.page({ environment: 'dev', order: 'desc', size: 1 })).total).toBe(51)
})

test('an environment that loses everything goes on after its anchor, with new ids', async () => {
  const { folder, store } = await newStore()
  await store.activity.append(aged(2, 100))
  await store.activity.retain(hostKeeping({ prod: 30 }))
  expect((await store.activity.page({ environment: 'prod', order: 'desc', size: 9 })).data).toMatchObject([
    { id: 3, event_type: 'activity_retention_applied' },
  ])
  await store.close()
  expect(await expectIntact(folder)).toEqual([1, 3])
})

test('a younger entry keeps what came after it', async () => {
  const { store } = await newStore()
  await store.activity.append([...aged(2, 100), ...aged(2, 1), ...aged(2, 100)])
  await store.activity.retain(hostKeeping({ dev: 30 }))
  const { data } = await store.activity.page({ environment: 'dev', order: 'asc', size: 9 })
  expect(data.map(({ id }) => id)).toEqual([3, 5, 7])
})

test('empty blocks leave the index, and counts stay right across them', {
  timeout: 60_000,
}, async () => {
  const { folder, store } = await newStore()
  for (let at = 0; at < 66; at += 1) await store.activity.append(aged(1000, 100))
  const late = store.activity.append(aged(10, 1))
  await late
  await store.activity.retain(hostKeeping({ dev: 30, prod: 30 }))
  const filter = { environment: 'dev', includeEventTypes: ['USER_LOGIN'] } as const
  expect((await store.activity.page({ ...filter, order: 'asc', size: 1 })).total).toBe(5)
  expect(await store.activity.stats(filter)).toMatchObject({ total: 5, by_type: { user_login: 5 } })
  await store.close()
  const again = openStore(folder)
  expect((await again.activity.page({ ...filter, order: 'asc', size: 1 })).data).toMatchObject([
    { id: 66_001 },
  ])
  await again.close()
  expect((await expectIntact(folder)).length).toBe(12)
})

test('appends go on while retention runs, and each stands', async () => {
  const { folder, store } = await newStore()
  for (let at = 0; at < 10; at += 1) await store.activity.append(aged(1000, 100))
  let removing = true
  const retained = store.activity.retain(hostKeeping({ dev: 30, prod: 30 })).finally(() => (removing = false))
  const ids: number[] = []
  while (removing) ids.push(...(await store.activity.append([activity()])))
  await retained
  await store.close()
  const standing = await expectIntact(folder)
  expect(ids.length).toBeGreaterThan(1)
  expect(standing).toEqual(expect.arrayContaining(ids))
  expect(standing.length).toBe(ids.length + 2)
})

test('an export that retention overtakes ends with an error instead of a gap', async () => {
  const { store } = await newStore()
  await store.activity.append(aged(1000, 100))
  const exported = store.activity.entries({ environment: 'dev' })[Symbol.asyncIterator]()
  expect((await exported.next()).value).toMatchObject({ id: 1 })
  await store.activity.retain(hostKeeping({ dev: 30 }))
  await expect(exported.next()).rejects.toThrow('retention removed entry 3 before it was exported')
})

test('the clock applies it at a start, and a key that cannot be used stops a start', async () => {
  const { folder, store } = await newStore()
  await store.activity.append(aged(2, 100))
  store.activity.start(hostKeeping({ dev: 30 }))
  await expect
    .poll(async () => (await store.activity.page({ environment: 'dev', order: 'asc', size: 1 })).data[0]?.id)
    .toBe(3)
  await store.close()
  await writeFile(join(folder, 'audit-key.pem'), 'no key')
  expect(() => openStore(folder)).toThrow(/the key of the activity log, .*audit-key\.pem, cannot be used/)
})

test('of old checkpoints the last one of their day stays', { timeout: 60_000 }, async () => {
  const { folder, store } = await newStore()
  const host = hostKeeping({})
  store.activity.start({ ...host, settings: () => ({ ...host.settings(), checkpointEntries: 1 }) })
  for (let at = 0; at < 1250; at += 1) await store.activity.append([activity()])
  await store.activity.retain(host)
  await store.close()
  const sequences = (await checkpointsOf(folder)).map(({ sequence }) => sequence)
  // The newest thousand, and one of the 250 before them: a run over midnight leaves one more.
  expect(sequences.slice(-1000)).toEqual(Array.from({ length: 1000 }, (_, at) => 251 + at))
  expect(sequences.length - 1000).toBeLessThanOrEqual(2)
  expect(sequences).toContain(250)
  await expectIntact(folder)
})
