/** Searches for text end when nobody wants them any more, or after their time, and few run at a time. */
import { join } from 'node:path'
import { open } from 'lmdb'
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { StoredActivityLog } from '../../src/store/activity/log.ts'
import { Searches } from '../../src/store/activity/searches.ts'
import type { Store } from '../../src/store/store.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { activity, newStore } from './rig.ts'

const nowhere = { environment: 'dev', text: 'nobody wrote this', size: 100, order: 'desc' } as const

/** Takes many slices to be searched. */
const ENTRIES = 30_000

async function fill(log: Pick<Store['activity'], 'append'>): Promise<void> {
  for (let at = 0; at < ENTRIES; at += 1000)
    await log.append(Array.from({ length: 1000 }, (_, index) => activity({ timestamp: at + index })))
}

const gone = new Error('the client went away')

test('as many as may run at a time, others go on, and an aborted one makes room', async () => {
  const { store } = await newStore()
  await fill(store.activity)
  const asked = new AbortController()
  const most = limits.activity_searches_max
  const running = Array.from({ length: most }, (_, at) =>
    at % 2 === 0
      ? store.activity.page(nowhere, asked.signal)
      : store.activity.stats({ environment: 'dev', text: 'nobody' }, asked.signal),
  )
  const ended = Promise.allSettled(running)
  const refusal = { name: 'SearchBusyError', message: `at most ${most} searches for text may run at a time` }
  await expect(store.activity.page(nowhere)).rejects.toMatchObject(refusal)
  await expect(store.activity.stats(nowhere)).rejects.toMatchObject(refusal)
  const { environment, order } = nowhere
  expect((await store.activity.page({ environment, order, size: 1 })).total).toBe(ENTRIES)
  asked.abort(gone)
  for (const result of await ended) expect(result).toEqual({ status: 'rejected', reason: gone })
  expect(await store.activity.page(nowhere)).toEqual({ data: [], total: 0 })
  await expect(store.activity.page(nowhere, AbortSignal.abort(gone))).rejects.toBe(gone)
  await expect(store.activity.page({ environment, order, size: 1 }, AbortSignal.abort(gone))).rejects.toBe(
    gone,
  )
})

test('one that takes longer than it may says what to do instead', async () => {
  const folder = await tempDir()
  const env = open({ path: join(folder, 'store'), maxDbs: 32, eventTurnBatching: false })
  onEnd(() => env.close())
  const log = new StoredActivityLog(env, folder, new Searches(1))
  onEnd(() => log.close())
  await fill(log)
  const late = {
    name: 'SearchTooLongError',
    message:
      'a search for text must take at most 1 ms: ' +
      'narrow it with from and to, users or types, or take an export',
  }
  await expect(log.page(nowhere)).rejects.toMatchObject(late)
  await expect(log.stats(nowhere)).rejects.toMatchObject(late)
  // An export takes as long as it needs.
  const found = await Array.fromAsync(log.entries({ environment: 'dev', text: 'PASSWORD_login' }))
  expect(found.length).toBe(ENTRIES)
})

test('an export whose client is gone looks no further', async () => {
  const { store } = await newStore()
  await fill(store.activity)
  const asked = new AbortController()
  const lines = store.activity.entries({ environment: 'dev', text: 'nobody' }, asked.signal)
  const next = lines[Symbol.asyncIterator]().next()
  asked.abort(gone)
  await expect(next).rejects.toBe(gone)
})

test('a store that is closed ends what still searches it', async () => {
  const { store } = await newStore()
  await fill(store.activity)
  const search = expect(store.activity.page(nowhere)).rejects.toThrow('the store is being closed')
  await store.close()
  await search
})
