/** A stream of the activity log: everything in it, in order, once, whatever happens to its destination. */
import { expect, test } from 'vitest'
import { sharedTestGateway, startTestGateway } from '../support/gateway.ts'
import { type Event, startReceiver } from '../support/receiver.ts'
import { ask } from '../support/resources.ts'
import {
  arrived,
  happen,
  stream,
  streamed,
  streamsConfig,
  streamView,
  thingNames,
  things,
} from '../support/streams.ts'
import { clockMovesOn, expectIdentity, until } from '../support/wait.ts'

const configured = sharedTestGateway()

test('entries reach the destination in the order of the log', async () => {
  const receiver = await startReceiver()
  const gateway = await configured(streamsConfig(receiver.url, [stream('siem')]))
  await happen(gateway, 1200)
  const events = await arrived(receiver, 'siem', 1200)
  expect(things(events)).toEqual(thingNames(1200))
  const view = await streamed(gateway, 'siem', 1200)
  expect(view.counts.captured).toBe(1200)
})

test('an outage loses nothing, and what waited comes in order and once', async () => {
  const receiver = await startReceiver()
  const gateway = await configured(streamsConfig(receiver.url, [stream('breaking')]))
  await happen(gateway, 10)
  await arrived(receiver, 'breaking', 10)
  await receiver.stop()
  await happen(gateway, 700, 10)
  await until(async () => (await streamView(gateway, 'breaking')).state === 'parked', { what: 'it parks' })
  expectIdentity(await streamView(gateway, 'breaking'))
  await receiver.start()
  expect(things(await arrived(receiver, 'breaking', 710))).toEqual(thingNames(710))
  await streamed(gateway, 'breaking', 710)
})

test('a gateway killed in the middle goes on: no loss, repeats of one batch at most', async () => {
  const receiver = await startReceiver()
  const config = streamsConfig(receiver.url, [stream('siem', { batch: { max_items: 100, max_wait_ms: 20 } })])
  const first = await startTestGateway({ config })
  await happen(first, 500)
  let accepted = 0
  receiver.status = () => (++accepted > 5 ? null : 200)
  await happen(first, 1500, 500)
  await until(() => accepted > 5, { what: 'a batch hangs' })
  await first.kill9()
  receiver.status = () => 200
  const second = await startTestGateway({ config, folder: first.folder })
  await happen(second, 10, 2000)
  const names = (events: readonly Event[]) => new Set(things(events))
  await until(() => names(receiver.events('/siem')).size === 2010, { what: 'every entry arrives' })
  const ids = receiver.batches.map(({ batchId }) => batchId)
  const once = receiver.batches.filter(({ batchId }, at) => ids.indexOf(batchId) === at)
  const events = once.flatMap(({ text }) => JSON.parse(text) as Event[])
  expect(things(events)).toEqual(thingNames(2010))
  expect(ids.length - new Set(ids).size).toBeLessThanOrEqual(1)
  const view = await streamed(second, 'siem', 2010)
  expect(view.counts.captured).toBe(2010)
})

test('a new stream begins where it is told to, and a known one goes on where it was', async () => {
  const receiver = await startReceiver()
  const first = await startTestGateway({ config: streamsConfig(receiver.url, [stream('a')]) })
  await happen(first, 3)
  await arrived(receiver, 'a', 3)
  await clockMovesOn()
  const middle = new Date().toISOString()
  await happen(first, 3, 3)
  await first.stop()
  const starts = { b: 'now', c: 'beginning', d: middle }
  const streams = [stream('a'), ...Object.entries(starts).map(([name, start]) => stream(name, { start }))]
  const second = await startTestGateway({
    config: streamsConfig(receiver.url, streams),
    folder: first.folder,
  })
  await happen(second, 2, 6)
  const expected = { a: 8, b: 2, c: 8, d: 5 }
  for (const [name, count] of Object.entries(expected)) {
    const events = await arrived(receiver, name, count)
    expect(things(events), name).toEqual(thingNames(count, 8 - count))
    await streamed(second, name, count)
  }
})

test('two streams on one log are independent: one is refused and parks, the other goes on', async () => {
  const receiver = await startReceiver()
  receiver.status = (path) => (path === '/refused' ? 401 : 200)
  const config = streamsConfig(receiver.url, [
    stream('refused'),
    stream('other', { match: { event_types: ['thing_done'], exclude_resource_types: ['Recipe'] } }),
  ])
  const gateway = await configured(config)
  await happen(gateway, 40)
  await happen(gateway, 5, 40, { resource: { id: 1, name: 'recipe', type: 'recipe' } })
  expect(things(await arrived(receiver, 'other', 40))).toEqual(thingNames(40))
  await until(async () => (await streamView(gateway, 'refused')).state === 'parked', { what: 'it parks' })
  expect((await streamView(gateway, 'refused')).counts).toMatchObject({ captured: 45, waiting: 45 })
  expect((await streamView(gateway, 'other')).counts).toMatchObject({ captured: 40, delivered: 40 })
  receiver.status = () => 200
  await ask(gateway, 'POST', '/api/streams/refused/replay')
  await streamed(gateway, 'refused', 45)
})
