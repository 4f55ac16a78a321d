/** A year of activity goes to a destination that was added today, with a kill on the way. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openStore } from '../support/admin.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway } from '../support/gateway.ts'
import { type Event, startReceiver } from '../support/receiver.ts'
import { stream, streamed, streamsConfig, streamView, things } from '../support/streams.ts'
import { until } from '../support/wait.ts'

const ENTRIES = 50_000
const APPEND = 1000
const YEAR_MS = 365 * 86_400_000

/** A data folder whose log tells of things over the past year, one after the other. */
async function yearOfThings(): Promise<string> {
  const folder = await tempDir()
  const store = await openStore(join(folder, 'data'))
  const start = Date.now() - YEAR_MS
  const thing = (id: number) => ({
    timestamp: start + Math.floor((id * YEAR_MS) / ENTRIES),
    event_type: 'thing_done',
    workspace: { id: 1, name: 'w', email: 'w@example.com', environment: 'dev' as const },
    user: { id: 7, name: 'Jie', email: 'jie@example.com' },
    details: {},
    resource: { id, name: `thing-${id}`, type: 'Flow' },
  })
  for (let from = 0; from < ENTRIES; from += APPEND)
    await store.activity.append(Array.from({ length: APPEND }, (_, at) => thing(from + at)))
  await store.close()
  return folder
}

test('a year of activity reaches a new stream: complete, in order, and the account holds', async () => {
  const receiver = await startReceiver()
  const keep = { activity: { retention_ms: 2 * YEAR_MS } }
  const config = streamsConfig(receiver.url, [], keep)
  const first = await startTestGateway({ config, folder: await yearOfThings() })
  let accepted = 0
  receiver.status = () => (++accepted > 10 ? null : 200)
  const added = stream('siem', { start: 'beginning', batch: { max_items: 1000, max_wait_ms: 20 } })
  await first.admin.json('POST', '/api/streams', added)
  await until(() => accepted > 10, { what: 'a batch hangs', within_ms: 15_000 })
  const { counts } = await streamView(first, 'siem')
  expect(counts).toMatchObject({ delivered: receiver.events().length, dropped: {} })
  await first.kill9()

  receiver.status = () => 200
  const second = await startTestGateway({ config, folder: first.folder })
  const view = await streamed(second, 'siem', ENTRIES)
  expect(view.counts).toEqual({
    ...{ captured: ENTRIES, delivered: ENTRIES, waiting: 0, dead_lettered: 0, dropped: {} },
  })
  const ids = receiver.batches.map(({ batchId }) => batchId)
  const once = receiver.batches.filter(({ batchId }, at) => ids.indexOf(batchId) === at)
  const events = once.flatMap(({ text }) => JSON.parse(text) as Event[])
  // What differs between two lists of this length takes minutes to print: the first place says enough.
  const names = things(events)
  const misplaced = names.findIndex((name, at) => name !== `thing-${at}`)
  expect([misplaced, names[misplaced], names.length]).toEqual([-1, undefined, ENTRIES])
  expect(ids.length - new Set(ids).size).toBeLessThanOrEqual(1)
  const times = events.map(({ timestamp }) => Date.parse(String(timestamp)))
  expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(YEAR_MS * 0.99)
}, 60_000)
