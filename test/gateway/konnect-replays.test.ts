/** Replay jobs of audit webhooks: the whole window that was asked for, and running only while it is sent. */
import { beforeAll, expect, test } from 'vitest'
import { accept, answer, type Collector, startCollector } from '../conformance/collector.ts'
import { onFileEnd } from '../support/cleanup.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const portal = '3e551b39-0a6e-4a0b-9d7c-6f6f3a8d1c55'
const stream = `/api/streams/audit-webhook-${portal}`
const webhook = `/v3/portals/${portal}/audit-log-webhook`
const jobs = `/v3/portals/${portal}/audit-log-replay-job`

let receiver: Collector
let gateway: TestGateway

beforeAll(async () => {
  receiver = await startCollector()
  onFileEnd(() => receiver.close())
  gateway = await startGateway()
  const own = { name: 'd', endpoint: `${receiver.url}/`, authorization: 'Splunk x', log_format: 'json' }
  const { json } = await call('POST', '/v3/audit-log-destinations', own)
  const wanted = { audit_log_destination_id: json['id'], enabled: true }
  expect(await call('PATCH', webhook, wanted)).toMatchObject({ status: 200 })
})

const startGateway = (folder?: string) =>
  startTestGateway({
    config: { collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }] },
    shared: true,
    ...(folder !== undefined && { folder }),
  })

async function call(method: string, path: string, body?: object) {
  const { status, text } = await gateway.admin.call(method, path, body)
  return { status, json: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

async function signIn(name: string, at: number): Promise<void> {
  const entry = {
    event_type: 'user_login',
    timestamp: new Date(at).toISOString(),
    user: { id: 7, name, email: 'jie@example.com' },
    resource: { id: 7, name, type: 'Workspace' },
    portal_id: portal,
  }
  expect((await call('POST', '/api/activity_logs', [entry])).status).toBe(202)
}

/** How often the receiver took an entry of a time. */
const taken = (at: number): number =>
  receiver.deliveries
    .flatMap(({ body }) => body.toString().split('\n'))
    .filter((line) => line.includes(`"rt":"${at}"`) || line.includes(`"rt":${at}`)).length

const comes = (at: number, times: number) =>
  until(() => taken(at) === times, { what: `the entry for the ${times}. time` })

const jobReads = (status: string) =>
  until(async () => (await call('GET', jobs)).json['status'] === status, { what: `the job is ${status}` })

/** A moment without its milliseconds. */
const secondOf = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`

const late = Math.floor(Date.now() / 1000 - 3600) * 1000 + 700

test('the last second, or day, of the window belongs to it', async () => {
  await signIn('late in its second', late)
  await comes(late, 1)
  const second = { start_at: secondOf(late), end_at: secondOf(late) }
  expect(await call('PUT', jobs, second)).toMatchObject({ status: 202, json: second })
  await comes(late, 2)
  await jobReads('completed')
  expect((await call('GET', jobs)).json).toMatchObject(second)
  const day = { start_at: secondOf(late), end_at: new Date().toISOString().slice(0, 10) }
  const begun = await call('PUT', jobs, day)
  expect(begun).toMatchObject({ status: 202, json: { status: 'accepted' } })
  expect(Date.parse(String(begun.json['end_at'])), 'no later than now').toBeLessThanOrEqual(Date.now())
  await comes(late, 3)
  const tomorrow = { ...second, end_at: secondOf(Date.now() + 86_400_000) }
  expect((await call('PUT', jobs, tomorrow)).status).toBe(400)
})

test('a job runs while something of its window waits, whatever else does, also over a restart', async () => {
  await jobReads('completed')
  receiver.behave(answer(401))
  const fresh = late + 1_000_000
  await signIn('while it refused', fresh)
  await until(async () => Number((await call('GET', stream)).json['state'] === 'parked'), { what: 'parked' })
  expect((await call('GET', jobs)).json, 'an ordinary backlog').toMatchObject({ status: 'completed' })

  const window = { start_at: secondOf(late), end_at: secondOf(late) }
  expect(await call('PUT', jobs, window)).toMatchObject({ status: 202 })
  await gateway.stop()
  gateway = await startGateway(gateway.folder)
  expect((await call('GET', jobs)).json).toMatchObject({ ...window, status: 'running' })
  expect(await call('PUT', jobs, window)).toMatchObject({
    status: 409,
    json: { title: 'Resource Conflict', detail: 'a replay job is currently running' },
  })
  const before = taken(late)
  receiver.behave(accept)
  await call('POST', `${stream}/replay`)
  await jobReads('completed')
  expect(taken(late), 'sent since it is taken').toBeGreaterThan(before)
})

test('a job for a webhook whose stream somebody deleted is refused until it is there again', async () => {
  const window = { start_at: secondOf(late), end_at: secondOf(late) }
  expect((await call('DELETE', stream)).status).toBeLessThan(300)
  expect(await call('PUT', jobs, window)).toMatchObject({
    status: 409,
    json: { detail: 'the stream of the webhook was deleted: enable the webhook again' },
  })
  expect(await call('PATCH', webhook, { enabled: true })).toMatchObject({ status: 200 })
  expect(await call('PUT', jobs, window)).toMatchObject({ status: 202 })
  await jobReads('completed')
})
