/** What changes of legs is written together, in order, and is not lost when a commit fails. */
import { expect, test } from 'vitest'
import { LegLedger } from '../../src/shipper/ledger.ts'
import type { Command } from '../../src/store/store.ts'
import { Store } from '../../src/store/store.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { until } from '../support/wait.ts'

/** Notes its commits; refuses those that come while `refuses`. */
class WatchedStore extends Store {
  readonly commits: number[] = []
  refuses = false

  override apply(commands: readonly Command[]): Promise<void> {
    this.commits.push(commands.length)
    return this.refuses ? Promise.reject(new Error('the store refuses')) : super.apply(commands)
  }
}

async function open(legs: readonly string[]): Promise<{ store: WatchedStore; ledgers: LegLedger[] }> {
  const store = new WatchedStore(await tempDir())
  onEnd(() => store.close())
  const memory = () => ({ captured: 0, slabbed: 0, bufferFull: 0, captureError: 0 })
  return { store, ledgers: legs.map((leg) => new LegLedger(leg, store, memory, null)) }
}

const batch = (id: string, parts = 1) => ({
  ...{ segment: 's', from: 0, to: 9, items: parts, id },
  parts: [[0, parts] as [number, number]],
})
const idsOf = (store: Store, leg: string) => store.legs.get(leg).batches.map(({ id }) => id)

test('batches of several legs that begin at once are one commit', async () => {
  const { store, ledgers } = await open(['a', 'b'])
  const [a, b] = ledgers as [LegLedger, LegLedger]
  const written = []
  for (const id of ['1', '2']) {
    for (const ledger of [a, b]) {
      ledger.putBatch(batch(id))
      written.push(ledger.flush())
    }
  }
  expect(await Promise.all(written)).toEqual([true, true, true, true])
  expect(store.commits).toEqual([2])
  expect([idsOf(store, 'a'), idsOf(store, 'b')]).toEqual([
    ['1', '2'],
    ['1', '2'],
  ])
})

test('what comes while a commit is under way is in the next one', async () => {
  const { store, ledgers } = await open(['a'])
  const [a] = ledgers as [LegLedger]
  a.putBatch(batch('1'))
  const first = a.flush()
  await until(() => store.commits.length === 1, { what: 'the first commit' })
  a.putBatch(batch('1', 2))
  a.putBatch(batch('2'))
  expect(await Promise.all([first, a.flush(), a.flush()])).toEqual([true, true, true])
  expect(store.commits).toEqual([1, 1])
  expect(store.legs.get('a').batches.map(({ items }) => items)).toEqual([2, 1])
})

test('a delivery is written a moment later, or with what is written before', async () => {
  const { store, ledgers } = await open(['a'])
  const [a] = ledgers as [LegLedger]
  a.delivered = 5
  a.touch()
  a.flushSoon()
  await until(() => store.legs.get('a').record?.delivered === 5, { what: 'the delivery in the store' })
  a.delivered = 6
  a.touch()
  a.flushSoon()
  a.putBatch(batch('1'))
  expect(await a.flush()).toBe(true)
  expect(store.legs.get('a').record?.delivered).toBe(6)
  expect(store.commits).toEqual([1, 1])
})

test('deliveries of several legs are one commit, and go with the first change that cannot wait', async () => {
  const { store, ledgers } = await open(['a', 'b', 'c'])
  const [a, b, c] = ledgers as [LegLedger, LegLedger, LegLedger]
  const deliver = (ledger: LegLedger): void => {
    ledger.delivered += 1
    ledger.touch()
    ledger.flushSoon()
  }
  const delivered = (): unknown[] => ['a', 'b'].map((leg) => store.legs.get(leg).record?.delivered)
  deliver(a)
  deliver(b)
  deliver(a)
  await until(() => delivered().join() === '2,1', { what: 'both in the store' })
  expect(await Promise.all([a.flush(), b.flush()])).toEqual([true, true])
  deliver(a)
  deliver(b)
  c.putBatch(batch('1'))
  expect(await c.flush()).toBe(true)
  expect(delivered()).toEqual([3, 2])
  expect(store.commits).toEqual([2, 3])
})

test('after a commit that failed nothing older overwrites what is newer', async () => {
  const { store, ledgers } = await open(['a', 'b'])
  const [a, b] = ledgers as [LegLedger, LegLedger]
  store.refuses = true
  a.putBatch(batch('1'))
  b.putBatch(batch('1'))
  const failed = [a.flush(), b.flush()]
  await until(() => store.commits.length === 1, { what: 'the commit that fails' })
  store.refuses = false
  a.putBatch(batch('1', 2))
  const next = [a.flush(), b.flush()]
  expect(await Promise.all(failed)).toEqual([false, false])
  expect(await Promise.all(next)).toEqual([true, true])
  // What came back from the first is older than what the second wrote.
  a.touch()
  expect(await a.flush()).toBe(true)
  expect(store.legs.get('a').batches.map(({ items }) => items)).toEqual([2])
  expect(idsOf(store, 'b')).toEqual(['1'])
})
