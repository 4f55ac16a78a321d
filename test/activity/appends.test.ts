/** Appends: ids, idempotency, bounds, one transaction with commands, and checkpoints. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { IdempotencyError, BusyError } from '../../src/contract/errors.ts'
import { limits } from '../../src/contract/limits.ts'
import { activity, checkpointsOf, expectIntact, newStore, openStore } from './rig.ts'

test('ids ascend in the order of the calls, over all environments, and go on after a restart', async () => {
  const { folder, store } = await newStore()
  const environments = ['dev', 'prod', 'uat'] as const
  const calls = Array.from({ length: 60 }, (_, at) =>
    store.activity.append([activity({ environment: environments[at % 3] ?? 'dev' }), activity()]),
  )
  expect((await Promise.all(calls)).flat()).toEqual(Array.from({ length: 120 }, (_, at) => at + 1))
  await store.close()
  const again = openStore(folder)
  expect(await again.activity.append([activity()])).toEqual([121])
  expect(await again.activity.append([])).toEqual([])
  await again.close()
  expect((await expectIntact(folder)).length).toBe(121)
})

test('an entry is what was given, with milliseconds, and is hidden from other environments', async () => {
  const { store } = await newStore()
  const given = {
    ...activity({ timestamp: Date.parse('2024-06-18T19:17:31.123Z') }),
    details: { activity: 'x', zeta: [1, { b: null }], '2': 'numbers first', text: '\ud800 lone, é, "' },
    resource: { id: null, name: 'My new recipe', type: 'Flow', folder_id: 46319 },
  }
  const [id = 0] = await store.activity.append([given])
  const { prev_hash, hash, ...entry } = (await store.activity.entry(id, 'dev')) ?? {}
  expect(entry).toEqual({ id, ...given })
  expect([prev_hash, hash]).toEqual(['0'.repeat(64), expect.stringMatching(/^[0-9a-f]{64}$/)])
  expect(await store.activity.entry(id, 'prod')).toBeNull()
  expect(await store.activity.entry(id + 1, 'dev')).toBeNull()
})

test('a key gives the same ids under way, later and after a restart; not with another body', async () => {
  const { folder, store } = await newStore()
  const key = { client: 'ci', key: 'a', digest: 'one' }
  const first = store.activity.append([activity(), activity()], key)
  const second = store.activity.append([activity(), activity()], key)
  expect([await first, await second]).toEqual([
    [1, 2],
    [1, 2],
  ])
  expect(await store.activity.append([activity()], { ...key, client: 'other' }), 'of another client').toEqual(
    [3],
  )
  await store.close()
  const again = openStore(folder)
  expect(await again.activity.append([activity(), activity()], key)).toEqual([1, 2])
  const other = again.activity.append([activity()], { ...key, digest: 'two' })
  await expect(other).rejects.toThrow(IdempotencyError)
  expect((await again.activity.page({ environment: 'dev', order: 'asc', size: 9 })).total).toBe(3)
})

test('an entry that is too large, or more than may wait, is refused and nothing is written', async () => {
  const { store } = await newStore()
  const details = { text: 'x'.repeat(limits.activity_entry_bytes_max) }
  await expect(store.activity.append([activity(), { ...activity(), details }])).rejects.toThrow(
    /^entry 1 must be at most 65536 bytes, got 65\d\d\d$/,
  )
  const large = { ...activity(), details: { text: 'x'.repeat(limits.activity_entry_bytes_max - 1000) } }
  const many = Array.from({ length: 1000 }, () => large)
  const fits = store.activity.append(many)
  await expect(store.activity.append(many)).rejects.toThrow(BusyError)
  expect((await fits).length).toBe(1000)
  expect((await store.activity.page({ environment: 'dev', order: 'asc', size: 1 })).total).toBe(1000)
})

test('a command of the store and its entries are one transaction', async () => {
  const { folder, store } = await newStore()
  await store.apply(
    [{ type: 'setting', name: 'paused', value: true }],
    [activity({ event_type: 'mirror_paused' })],
  )
  await store.close()
  const again = openStore(folder)
  expect(again.setting('paused')).toBe(true)
  expect((await again.activity.page({ environment: 'dev', order: 'asc', size: 1 })).data).toMatchObject([
    { id: 1, event_type: 'mirror_paused' },
  ])
})

test('checkpoints come with entries and at the end, and the key is the owner’s alone', async () => {
  const { folder, store } = await newStore()
  await store.activity.append(Array.from({ length: 1000 }, () => activity()))
  await store.activity.append([activity({ environment: 'prod' })])
  const { keys } = store.activity.jwks()
  await store.close()
  const again = openStore(folder)
  await again.close()
  const checkpoints = await checkpointsOf(folder)
  expect(
    checkpoints.map(({ sequence }) => sequence),
    'none for a run without changes',
  ).toEqual([1, 2])
  expect(checkpoints[0]?.environments).toMatchObject({ dev: { first_id: 1, last_id: 1000, entries: 1000 } })
  expect(checkpoints[1]?.environments.prod).toMatchObject({ first_id: 1001, last_id: 1001, anchor_id: 0 })
  expect(checkpoints[1]?.key_id).toBe(keys[0]?.['kid'])
  expect(keys).toMatchObject([{ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig' }])
  expect((await stat(join(folder, 'audit-key.pem'))).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await readFile(join(folder, 'audit-jwks.json'), 'utf8'))).toEqual({ keys })
  await expectIntact(folder)
})
