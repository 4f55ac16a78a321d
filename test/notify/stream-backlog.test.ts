/** Backlogs of streams: told before the spool is full, and before retention of the log takes what waits. */
import { expect, test } from 'vitest'
import { BacklogWatch } from '../../src/control/backlog-watch.ts'
import { Client } from '../support/client.ts'
import { startTestGateway } from '../support/gateway.ts'
import { incidentOf, incidentsOf } from '../support/incidents.ts'
import { startMailServer } from '../support/mail-server.ts'
import { startReceiver } from '../support/receiver.ts'
import { arrived, happen, stream, streamsConfig } from '../support/streams.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'
import { told } from '../stories/people.ts'

const MINUTE_MS = 60_000
const small = {
  spool: { max_bytes: 1_048_576 },
  batch: { max_bytes: 500_000, max_wait_ms: 20 },
  match: {},
}
/** Three of them are below 80 % of the spool, four above. */
const text = 'x'.repeat(215_000)
const jobs = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ id: `job-${at}`, recipe_id: 7, status: 'succeeded', text }))

test('each kind of stream is told of in its own words, once, and ends when it has room', async () => {
  const [receiver, upstream, mail] = await Promise.all([startReceiver(), startUpstream(), startMailServer()])
  receiver.status = () => 403
  const streams = [
    stream('posted', { events: ['job_summary'], ...small }),
    stream('exchanges', { events: ['api_details'], ...small }),
    stream('log'),
  ]
  const config = streamsConfig(receiver.url, streams, {
    collections: [{ name: 'orders', upstreams: [{ url: upstream.url }] }],
    activity: { retention_ms: 10 * MINUTE_MS },
    capture: { flush_after_ms: 20 },
    notifications: told(mail),
  })
  const gateway = await startTestGateway({ config })
  await gateway.admin.json('POST', '/api/events', jobs(3))
  await happen(gateway, 3, 0, { timestamp: new Date(Date.now() - 5 * MINUTE_MS).toISOString() })
  await until(async () => (await incidentsOf(gateway, 'kind=stream_failed')).length === 2, {
    what: 'both are refused',
  })
  expect(await incidentsOf(gateway, 'kind=spool_nearly_full'), 'there is room').toEqual([])

  await gateway.admin.json('POST', '/api/events', jobs(1))
  const client = new Client(gateway.port)
  for (let sent = 0; sent < 4; sent += 1) await client.send({ method: 'POST', path: '/orders', body: text })
  await happen(gateway, 3, 3, { timestamp: new Date(Date.now() - 9 * MINUTE_MS).toISOString() })
  const open = await until(
    async () => {
      const all = await incidentsOf(gateway, 'kind=spool_nearly_full')
      return all.length === 3 && new Map(all.map((one) => [one.subject, one]))
    },
    { what: 'all three are told of' },
  )
  expect(open.get('stream:posted')?.details).toMatchObject({ leg: 'events', max_bytes: 1_048_576 })
  expect(open.get('stream:exchanges')?.details).toMatchObject({ leg: 'api', max_bytes: 1_048_576 })
  const log = open.get('stream:log')
  expect(log?.details).toMatchObject({ leg: 'activity', removed_from: expect.any(String) })
  const left = Date.parse(String(log?.details['removed_from'])) - Date.now()
  expect(left > 0 && left < MINUTE_MS, `${left} ms are left`).toBe(true)
  const { steps, mirrors } = await incidentOf(gateway, log?.id ?? 0)
  expect(JSON.stringify(steps)).toMatch(/caught up before 20.*retention removes.*activity\.retention_ms/)
  expect(mirrors).toMatchObject([{ kind: 'streams', name: 'log', legs: [{ name: 'activity', waiting: 6 }] }])
  expect(mirrors[0]?.legs[0]?.kept_until).toBe(log?.details['removed_from'])
  await mail.mailsCome(6)
  for (const [name, rule] of [
    ['posted', 'refused with 507'],
    ['exchanges', 'items are dropped'],
    ['log', 'retention removes'],
  ] as const) {
    const subject = `[mirrorgate dev] Incident: stream ${name}: the backlog is nearly full`
    const [told] = mail.mails.filter(({ headers }) => headers.get('subject') === subject)
    expect(told?.text.replaceAll(/\s+/g, ' '), name).toContain(rule)
    expect(told?.text).toContain(`/api/streams/${name}/test`)
  }

  receiver.status = () => 200
  for (const { name } of streams as { name: string }[])
    await gateway.admin.json('POST', `/api/streams/${name}/replay`)
  await until(async () => (await incidentsOf(gateway, 'state=open')).length === 0, { what: 'all are over' })
  expect(await arrived(receiver, 'log', 6), 'nothing was lost').toHaveLength(6)
  await mail.mailsCome(12)
}, 45_000)

test('a stream that catches up with an old log is not told of; one that falls back is', () => {
  const raised: string[] = []
  const state = { at: 0, oldest: 0, state: 'delivering' }
  const delivery = { name: 'log', legs: [{}], spool: { max_bytes: 1 } }
  const watch = new BacklogWatch({
    book: {
      find: () => (raised.length > 0 ? ({} as never) : undefined),
      raise: ({ subject }) => void raised.push(subject),
      resolve: () => void raised.pop(),
    },
    config: () =>
      ({ mirrors: [], streams: [delivery], activity: { retention: {}, retention_ms: 1000 } }) as never,
    view: () => {
      const oldest_waiting_at = new Date(state.oldest).toISOString()
      return {
        legs: [{ name: 'activity', state: state.state, waiting_bytes: 1, oldest_waiting_at }],
      } as never
    },
    disk: () => null,
    monotonic: () => state.at,
  })
  const looks = (minutes: number, moved: number, being = 'delivering') => {
    state.at += minutes * MINUTE_MS
    state.oldest += moved
    state.state = being
    watch.look()
    return [...raised]
  }
  expect(looks(0, 0), 'it has just begun').toEqual([])
  expect(looks(2, 3 * MINUTE_MS), 'it gains').toEqual([])
  expect(looks(0.5, 0), 'between two batches').toEqual([])
  expect(looks(2, MINUTE_MS), 'it loses').toEqual(['stream:log'])
  expect(looks(2, Date.now() - state.oldest), 'it is there').toEqual([])
  expect(looks(2, -MINUTE_MS, 'parked'), 'it stands still').toEqual(['stream:log'])
})
