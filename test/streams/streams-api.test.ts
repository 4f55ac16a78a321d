/** Streams by API: defined, stopped, replayed and emptied like mirrors, and told of in the log. */
import { expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
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
import { expectIdentity, until } from '../support/wait.ts'

/** Event types of the log about streams, newest first. */
async function told(gateway: TestGateway): Promise<string[]> {
  const query = '?include_resource_types=Stream&page[size]=100'
  const { json } = await ask(gateway, 'GET', `/api/activity_logs${query}`)
  return (json['data'] as { event_type: string }[]).map(({ event_type }) => event_type)
}

/** Metrics and totals say what the view of the stream says. */
async function expectFigures(gateway: TestGateway): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)
  const text = await response.text()
  const labels = 'stream="siem",leg="activity"'
  for (const line of [
    `mirrorgate_stream_captured_total{${labels}} 9`,
    `mirrorgate_stream_delivered_total{${labels}} 4`,
    `mirrorgate_stream_dropped_total{${labels},reason="purged"} 5`,
    `mirrorgate_stream_waiting_items{${labels}} 0`,
  ])
    expect(text).toContain(line)
  expect(text).toMatch(
    /mirrorgate_stream_attempts_total\{stream="siem",leg="activity",outcome="accepted"\} [1-9]/,
  )
  const { json } = await ask(gateway, 'GET', '/api/status')
  expect((json['totals'] as { streams: object }).streams).toMatchObject({ captured: 9, delivered: 4 })
}

const stateOf = async (gateway: TestGateway, name: string) => (await streamView(gateway, name)).state

test('a stream of the API is created, changed, used and deleted', async () => {
  const receiver = await startReceiver()
  const gateway = await startTestGateway({ config: streamsConfig(receiver.url, []) })
  await happen(gateway, 5)
  const definition = stream('siem', { start: 'beginning' })
  const tried = await ask(gateway, 'POST', '/api/streams?dry_run=true', { body: definition })
  expect(tried.status).toBe(200)
  expect((await ask(gateway, 'GET', '/api/streams/siem')).status).toBe(404)
  const created = await ask(gateway, 'POST', '/api/streams', { body: definition })
  expect(created.status, created.text).toBe(201)
  expect(things(await arrived(receiver, 'siem', 5))).toEqual(thingNames(5))
  const etag = created.etag ?? ''
  const patch = { match: { event_types: ['thing_done', 'recipe_done'] } }
  const changed = await ask(gateway, 'PATCH', '/api/streams/siem', { body: patch, ifMatch: etag })
  expect(changed.status, changed.text).toBe(200)
  expect((await ask(gateway, 'PATCH', '/api/streams/siem', { body: {}, ifMatch: etag })).status).toBe(412)
  await happen(gateway, 3, 5)
  await happen(gateway, 1, 8, { event_type: 'recipe_done' })
  expect(things(await arrived(receiver, 'siem', 9))).toEqual(thingNames(9))
  const view = await streamed(gateway, 'siem', 9)
  expect(view.managed_by).toBe('api')
  expect((await ask(gateway, 'DELETE', '/api/connections/siem')).status).toBe(409)
  expect((await ask(gateway, 'DELETE', '/api/streams/siem')).status).toBe(200)
  expect((await ask(gateway, 'GET', '/api/streams/siem')).status).toBe(404)
  expect(await told(gateway)).toEqual(['stream_deleted', 'stream_updated', 'stream_created'])
})

test('a stream of the file and a hostile definition are refused with what is wrong', async () => {
  const receiver = await startReceiver()
  const gateway = await startTestGateway({ config: streamsConfig(receiver.url, [stream('siem')]) })
  const taken = await ask(gateway, 'POST', '/api/streams', { body: stream('siem') })
  expect(taken.status).toBe(409)
  const hostile = stream('bad', {
    events: ['api_summary', 'api_details', '../x'],
    sink: 'salt',
    start: 'soon',
  })
  const refused = await ask(gateway, 'POST', '/api/streams', { body: hostile })
  expect(refused.status).toBe(400)
  const errors = refused.json['errors'] as Record<string, string[]>
  expect(Object.keys(errors).sort()).toEqual(['events[2]', 'sink', 'start'])
})

test('pause, park, test, dead letters and purge: counted, and told of in the log', async () => {
  const receiver = await startReceiver()
  const gateway = await startTestGateway({ config: streamsConfig(receiver.url, [stream('siem')]) })
  const act = async (method: string, path: string) => {
    const { status, text } = await ask(gateway, method, `/api/streams/siem/${path}`)
    expect(status, text).toBe(200)
  }
  await act('POST', 'pause')
  await happen(gateway, 4)
  await until(async () => (await streamView(gateway, 'siem')).counts.waiting === 4, { what: 'four wait' })
  await act('DELETE', 'backlog')
  receiver.status = (_path, text) => (text.includes('thing-5') ? 400 : 200)
  await happen(gateway, 4, 4)
  await act('POST', 'resume')
  await until(async () => (await streamView(gateway, 'siem')).counts.dead_lettered === 1, {
    what: 'one dies',
  })
  await act('DELETE', 'dead-letters')
  await happen(gateway, 1, 5)
  await until(async () => (await streamView(gateway, 'siem')).counts.dead_lettered === 1, { what: 'again' })
  receiver.status = () => 503
  await act('POST', 'test')
  await act('POST', 'dead-letters/replay')
  await until(async () => (await stateOf(gateway, 'siem')) === 'parked', { what: 'it parks' })
  receiver.status = () => 200
  await act('POST', 'replay')
  const view = await streamed(gateway, 'siem', 4)
  expect(view.counts).toMatchObject({ captured: 9, delivered: 4, dropped: { purged: 5 } })
  expectIdentity(view)
  await expectFigures(gateway)
  expect(things(receiver.events('/siem').filter((event) => event['resource'] !== undefined))).toEqual([
    ...['thing-4', 'thing-6', 'thing-7', 'thing-5'],
  ])
  await until(async () => (await told(gateway)).includes('stream_recovered'), { what: 'it is told' })
  expect(new Set(await told(gateway))).toEqual(
    new Set([
      ...['stream_paused', 'stream_purged', 'stream_resumed', 'stream_dead_letters_deleted'],
      ...['stream_tested', 'stream_dead_letters_replayed', 'stream_parked', 'stream_replayed'],
      'stream_recovered',
    ]),
  )
})
