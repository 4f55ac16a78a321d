/** Posted events: durable before they are accepted, all of a body or nothing, sent to who asks for them. */
import { expect, test } from 'vitest'
import { sharedTestGateway, startTestGateway } from '../support/gateway.ts'
import { startReceiver } from '../support/receiver.ts'
import { arrived, postedStream, postEvents, streamed, streamsConfig, streamView } from '../support/streams.ts'
import { until } from '../support/wait.ts'

const configured = sharedTestGateway()

/** No double holds it: events are never parsed on their way. */
const longId = '12345678901234567890'

const job = (id: number, more: object = {}) => ({
  ...{ id: `j-${id}`, recipe_id: 7, status: 'succeeded', account_id: 12 },
  ...more,
})

test('jobs and types of their own reach the streams that ask for them, as JSON and as lines', async () => {
  const receiver = await startReceiver()
  const gateway = await configured(
    streamsConfig(receiver.url, [
      postedStream('jobs', ['job_summary', 'deploy']),
      postedStream('details', ['job_details'], { mask_data: true }),
      postedStream('not_deploys', ['job_summary', 'deploy'], { match: { exclude_event_types: ['deploy'] } }),
    ]),
  )
  const lines = [{ input: { a: 1 }, output: { b: 2 }, adapter_name: 'http' }]
  expect(await postEvents(gateway, JSON.stringify(job(1), null, 2))).toEqual({
    status: 202,
    json: { accepted: 1 },
  })
  expect(
    (await postEvents(gateway, JSON.stringify([job(2, { lines }), { type: 'deploy', id: 3 }]))).status,
  ).toBe(202)
  const ndjson = `${JSON.stringify(job(4))}\n\n{"id":${longId},"status":"failed"}\n`
  expect((await postEvents(gateway, ndjson, 'application/x-ndjson')).json).toEqual({ accepted: 2 })
  const jobs = await arrived(receiver, 'jobs', 5)
  expect(jobs.map(({ id }) => id)).toEqual(['j-1', 'j-2', 3, 'j-4', Number(longId)])
  expect(jobs.every((event) => event['lines'] === undefined)).toBe(true)
  expect(receiver.batches.map(({ text }) => text).join('')).toContain(`"id":${longId}`)
  const [details = {}] = await arrived(receiver, 'details', 1)
  const [line] = details['lines'] as Record<string, unknown>[]
  expect(line).toMatchObject({ input: { data: 'masked' }, output: { data: 'masked' }, mask_data: true })
  expect((await arrived(receiver, 'not_deploys', 4)).map(({ id }) => id)).not.toContain(3)
  await streamed(gateway, 'jobs', 5)
})

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

test('a bad event refuses its body with its line, and nothing of it is taken', async () => {
  const receiver = await startReceiver()
  const config = streamsConfig(receiver.url, [postedStream('refusing', ['job_summary'])])
  const gateway = await configured(config)
  const good = JSON.stringify(job(1))
  const bodies: readonly (readonly [body: string, type: string, line: string])[] = [
    [`${good}\n{"id":"x"}\n`, 'application/x-ndjson', 'line 2'],
    [`${good}\n\n[1]\n`, 'application/x-ndjson', 'line 3'],
    [`[\n${good},\n${good}`, 'application/json', 'line 3'],
    [`[${good},\n\n{"id":"a","status":"weird"}]`, 'application/json', 'line 3'],
    [`${good} ${good}`, 'application/json', 'line 1'],
    ['', 'application/x-ndjson', 'line 1'],
    ['{"type":"activity"}', 'application/json', 'line 1'],
    ['{"type":"../x"}', 'application/json', 'line 1'],
    [`${good}\n{"type":"deep","a":${nested(512)}}`, 'application/x-ndjson', 'line 2'],
  ]
  for (const [body, type, line] of bodies) {
    const { status, json } = await postEvents(gateway, body, type)
    expect([status, Object.keys(json['errors'] as object)], body).toEqual([400, [line]])
  }
  const deepest = await postEvents(gateway, `{"type":"deep","a":${nested(511)}}`)
  expect(deepest.json['message']).toContain('no stream takes events of type "deep"')
  const unasked = await postEvents(gateway, `[${good},{"type":"unknown"}]`)
  expect([unasked.status, unasked.json['message']]).toEqual([
    409,
    'no stream takes events of type "unknown": name it in the events of one',
  ])
  expect((await postEvents(gateway, good, 'text/plain')).status).toBe(415)
  expect((await streamView(gateway, 'refusing')).counts.captured).toBe(0)
})

test('what was accepted survives a kill, a large body included', async () => {
  const receiver = await startReceiver()
  await receiver.stop()
  const config = streamsConfig(receiver.url, [postedStream('jobs', ['job_summary', 'job_details'])])
  const first = await startTestGateway({ config })
  const large = job(0, { lines: [{ input: 'x'.repeat(3_000_000) }] })
  const body = [large, ...Array.from({ length: 3000 }, (_, at) => job(at + 1))]
  expect((await postEvents(first, JSON.stringify(body))).json).toEqual({ accepted: 3001 })
  await first.kill9()
  const second = await startTestGateway({ config, folder: first.folder })
  expect((await streamView(second, 'jobs')).counts).toMatchObject({ captured: 3001, waiting: 3001 })
  expect((await postEvents(second, JSON.stringify(job(3001)))).status).toBe(202)
  await receiver.start()
  const ids = (await arrived(receiver, 'jobs', 3002)).map(({ id }) => id)
  expect(ids).toEqual(Array.from({ length: 3002 }, (_, at) => `j-${at}`))
  await streamed(second, 'jobs', 3002)
  await until(async () => (await streamView(second, 'jobs')).state === 'idle', { what: 'it is idle' })
})
