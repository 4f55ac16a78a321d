/** What a stream makes of its events: templates, audit formats, previews, and ranges that are sent again. */
import { expect, test } from 'vitest'
import { sharedTestGateway, startTestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { ask } from '../support/resources.ts'
import { arrived, happen, stream, streamed, streamsConfig, thingNames, things } from '../support/streams.ts'
import { clockMovesOn, until } from '../support/wait.ts'

const template = '{"source":"{{{name}}}","at":{{{now_utc_nano}}},"log_message":{{{log_message}}}}'

const configured = sharedTestGateway()

// First: what there is no event for is shown by a sample.
test('a preview shows the newest event as it would be sent, and what is wrong with a template', async () => {
  const receiver = await startReceiver()
  const gateway = await configured(streamsConfig(receiver.url, [stream('siem')]))
  const preview = (body: object) => ask(gateway, 'POST', '/api/streams/preview', { body })
  expect((await preview({ stream: 'siem' })).json).toMatchObject({ is_sample: true })
  await happen(gateway, 3)
  const { status, json } = await preview({ stream: 'siem', message: template })
  expect(status).toBe(200)
  expect(json['event']).toMatchObject({ resource: { name: 'thing-2' } })
  expect(JSON.parse(json['rendered'] as string)).toMatchObject({
    source: 'siem',
    log_message: { resource: { name: 'thing-2' } },
  })
  const refused = await preview({ message: '{"a": {{{nothing}}}}' })
  expect([refused.status, Object.keys(refused.json['errors'] as object)]).toEqual([400, ['message']])
  expect((await preview({ stream: 'nobody' })).status).toBe(404)
})

test('a template, CEF and CPS are what the destination receives', async () => {
  const receiver = await startReceiver()
  const gateway = await configured(
    streamsConfig(receiver.url, [
      stream('templated', { message: template }),
      stream('cef', { format: 'cef' }),
      stream('cps', { format: 'cps' }),
    ]),
  )
  await happen(gateway, 2)
  const events = await arrived(receiver, 'templated', 2)
  expect(events.map(({ source }) => source)).toEqual(['templated', 'templated'])
  expect(things(events.map((event) => event['log_message'] as Record<string, unknown>))).toEqual(
    thingNames(2),
  )
  for (const name of ['cef', 'cps']) await streamed(gateway, name, 2)
  const textOf = (path: string) =>
    receiver.batches
      .filter((batch) => batch.path === path)
      .map(({ text }) => text)
      .join('')
  const lines = textOf('/cef').trimEnd().split('\n')
  expect(lines.length).toBe(2)
  for (const line of lines) expect(line).toMatch(/CEF:0\|/)
  for (const line of textOf('/cps').trimEnd().split('\n'))
    expect(JSON.parse(line)).toMatchObject({ event: { event_type: 'thing_done' } })
})

test('a range of the log is sent again behind the cursor, also over a restart', async () => {
  const receiver = await startReceiver()
  const config = streamsConfig(receiver.url, [stream('siem')])
  const first = await startTestGateway({ config })
  await happen(first, 3)
  await clockMovesOn()
  const from = new Date().toISOString()
  await happen(first, 4, 3)
  await arrived(receiver, 'siem', 7)
  const to = new Date().toISOString()
  await clockMovesOn()
  await happen(first, 2, 7)
  await arrived(receiver, 'siem', 9)
  await ask(first, 'POST', '/api/streams/siem/pause')
  const answer = await ask(first, 'POST', '/api/streams/siem/replay', { body: { from, to } })
  expect(answer.status, answer.text).toBe(200)
  await first.kill9()
  const second = await startTestGateway({ config, folder: first.folder })
  await ask(second, 'POST', '/api/streams/siem/resume')
  const events = await arrived(receiver, 'siem', 13)
  expect(things(events.slice(9))).toEqual(thingNames(4, 3))
  const view = await streamed(second, 'siem', 13)
  expect(view.counts.captured).toBe(13)
  await happen(second, 1, 9)
  await until(() => receiver.events('/siem').length === 14, { what: 'the stream goes on' })
  const backwards = { body: { from: to, to: from } }
  expect((await ask(second, 'POST', '/api/streams/siem/replay', backwards)).status).toBe(400)
})
