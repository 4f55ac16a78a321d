/** A full disk: appends are refused, reads go on, and appends do when there is room again. */
import { rm } from 'node:fs/promises'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { StorageFullError } from '../../src/contract/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { canMount, mountSmall } from '../faults/mount.ts'
import { tempDir } from '../support/files.ts'
import { fillUp } from './fill.ts'
import { activity, expectIntact, openStore } from './rig.ts'

const MIB = 1024 * 1024
const mounting = test.skipIf(!canMount)

function fillUpNow(file: string): void {
  for (let piece = MIB; piece >= 1024; piece /= 4) {
    try {
      for (;;) appendFileSync(file, Buffer.alloc(piece))
    } catch {
      // Full for pieces of this size.
    }
  }
}

const batch = Array.from({ length: 500 }, () => ({ ...activity(), details: { text: 'x'.repeat(1000) } }))

mounting('appends are refused below the floor and beyond it, reads go on (needs root to mount)', async () => {
  const folder = join(await tempDir(), 'data')
  mountSmall(folder, 24 * MIB)
  const store = openStore(folder)
  await store.activity.append(batch)
  const filler = await fillUp(folder, MIB / 2)
  await expect(store.activity.append(batch)).rejects.toThrow(StorageFullError)
  await expect(store.apply([{ type: 'setting', name: 'x', value: 1 }], batch)).rejects.toThrow(
    StorageFullError,
  )
  const page = { environment: 'dev', order: 'desc', size: 100 } as const
  expect(await store.activity.page(page)).toMatchObject({ total: 500, data: { length: 100 } })
  expect(store.setting('x'), 'nor the command').toBeUndefined()

  await rm(filler)
  expect((await store.activity.append(batch))[0]).toBe(501)
  expect((await store.activity.page(page)).total).toBe(1000)
  await store.close()
  expect((await expectIntact(folder)).length).toBe(1000)
})

mounting('a commit that finds the disk full leaves nothing behind (needs root to mount)', async () => {
  const folder = join(await tempDir(), 'data')
  mountSmall(folder, 24 * MIB)
  const store = openStore(folder)
  await store.activity.append(batch)
  const filler = join(folder, 'filler')
  // Inside the transaction, so that nothing could have known before its commit.
  const full = store.activity.appendWith(batch, () => fillUpNow(filler))
  await expect(full).rejects.toThrow(StorageFullError)
  const dev = { environment: 'dev', order: 'desc', size: 1 } as const
  expect(await store.activity.page(dev)).toMatchObject({ total: 500, data: [{ id: 500 }] })
  expect(await store.activity.stats(dev)).toMatchObject({ total: 500 })

  await rm(filler)
  const others = batch.map((entry) => ({ ...entry, ...activity({ environment: 'prod' }) }))
  expect((await store.activity.append(others))[0], 'ids of what never stood are given again').toBe(501)
  expect((await store.activity.page({ ...dev, environment: 'prod' })).total).toBe(500)
  expect((await store.activity.page(dev)).total, 'nothing is left in the index').toBe(500)
  await store.close()
  expect((await expectIntact(folder)).length).toBe(1000)
})

mounting('a failed commit that would have closed a block leaves it open (needs root to mount)', async () => {
  const folder = join(await tempDir(), 'data')
  mountSmall(folder, 128 * MIB)
  const store = openStore(folder)
  const thousand = Array.from({ length: 1000 }, () => activity())
  await Promise.all(Array.from({ length: 65 }, () => store.activity.append(thousand)))
  const filler = join(folder, 'filler')
  const full = store.activity.appendWith(thousand, () => fillUpNow(filler))
  await expect(full).rejects.toThrow(StorageFullError)
  await rm(filler)
  const prod = thousand.map((entry) => ({ ...entry, ...activity({ environment: 'prod' }) }))
  await store.activity.append(prod)
  const total = async (environment: 'dev' | 'prod', from: Store) =>
    (await from.activity.page({ environment, order: 'asc', size: 1 })).total
  expect([await total('dev', store), await total('prod', store)]).toEqual([65_000, 1000])
  await store.close()
  const again = openStore(folder)
  expect([await total('dev', again), await total('prod', again)]).toEqual([65_000, 1000])
})
