/** A role loses its permission on a bucket at 09:00 and has it back at 11:00, with two kills in between. */
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { bytesUnder, filesUnder } from '../support/files.ts'
import { incidentComes, incidentsOf } from '../support/incidents.ts'
import { type MailServer, startMailServer } from '../support/mail-server.ts'
import type { Event } from '../support/receiver.ts'
import { caFile } from '../support/secrets/service.ts'
import { type FakeS3, startFakeS3 } from '../support/stores/s3.ts'
import { happen, streamed, streamView, thingNames, things } from '../support/streams.ts'
import { expectIdentity, until } from '../support/wait.ts'
import { mailIsNoted, told } from './people.ts'

const DAY_MS = 86_400_000
const yesterday = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10)

function configOf(s3: FakeS3, mail: MailServer): Record<string, unknown> {
  return {
    collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }],
    connections: [{ name: 'aws', tls: { ca_file: caFile } }],
    streams: [
      {
        ...{ name: 'audit', sink: 's3', connection: 'aws', events: ['activity', 'job_summary'] },
        ...{ endpoint: s3.url, bucket: s3.bucket, region: s3.region, path_style: true, files: 'per_batch' },
        ...{ access_key_id: s3.keys.id, secret_access_key: '${env:AWS_SECRET}' },
        ...{ role_arn: s3.role.arn, external_id: s3.role.externalId, sts_endpoint: s3.url },
        match: { event_types: ['thing_done', 'job_summary'] },
        batch: { max_items: 5, max_wait_ms: 20 },
        retry: { attempts: 2, min_wait_ms: 50, max_wait_ms: 200, probe_ms: 100 },
      },
    ],
    notifications: told(mail),
  }
}

const jobNames = (count: number) => Array.from({ length: count }, (_, at) => `job-${at}`)

/** So many entries of the log and so many jobs, numbered on from `from`, all of one time of the day. */
async function work(gateway: TestGateway, time: string, count: number, from: number): Promise<void> {
  const at = `${yesterday}T${time}:00Z`
  await happen(gateway, count, from, { timestamp: at })
  const jobs = jobNames(from + count).slice(from)
  await gateway.admin.json(
    'POST',
    '/api/events',
    jobs.map((id) => ({ id, recipe_id: 7, status: 'succeeded', completed_at: at })),
  )
}

/** What is in the bucket, in the order in which it was put there: entries of the log, and jobs. */
function bucketOf({ objects }: FakeS3) {
  const events = [...objects.values()].flatMap(({ body }) =>
    body
      .toString()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Event),
  )
  return {
    entries: things(events.filter((event) => 'resource' in event)),
    jobs: events.filter((event) => !('resource' in event)).map(({ id }) => id),
  }
}

const putsOf = ({ asked }: FakeS3, since = 0) =>
  asked.slice(since).flatMap(({ method, url }) => (method === 'PUT' ? [url.pathname] : []))

/** Both queues wait for the permission, with everything that happened since it was taken. */
function waits(gateway: TestGateway, events: number) {
  return until(
    async () => {
      const view = await streamView(gateway, 'audit')
      return view.legs.every(({ state, counts }) => state === 'parked' && counts.waiting === events) && view
    },
    { what: `both queues wait with ${events} events`, within_ms: 15_000 },
  )
}

test('a role without its permission: told once; everything waits, arrives once and in order', async () => {
  const s3 = await startFakeS3()
  onTestFinished(() => s3.close())
  const mail = await startMailServer()
  const config = configOf(s3, mail)
  const env = { AWS_SECRET: s3.keys.secret }
  const first = await startTestGateway({ config, env })
  await work(first, '08:59', 10, 0)
  await streamed(first, 'audit', 20)
  const spool = join(first.dataDir, 'streams')

  s3.allowed = false
  await work(first, '09:00', 150, 10)
  expectIdentity(await waits(first, 150))
  const [opening] = await mail.mailsCome(1)
  expect(mail.subjects()[0]).toContain('stream audit')
  expect(opening?.text).toContain('s3:PutObject must be allowed on arn:aws:s3:::audit/*')
  expect(opening?.text).toMatch(/curl -X POST http:\/\/127\.0\.0\.1:\d+\/api\/streams\/audit\/test/)
  expect(opening?.text).toMatch(/kept until \d{4}-\d\d-\d\d/)
  expect(opening?.raw).not.toContain(s3.keys.secret)

  await mailIsNoted(first)
  await first.kill9()
  const second = await startTestGateway({ config, env, folder: first.folder })
  await work(second, '10:30', 50, 160)
  await waits(second, 200)
  expect(await bytesUnder(spool)).toBeGreaterThan(0)
  const [open] = await incidentsOf(second, 'state=open')
  expect(open).toMatchObject({ kind: 'stream_failed', subject: 'audit', details: { status: 403 } })

  // Back at 11:00, and killed with a file on its way.
  const elevenOClock = s3.asked.length
  const stored = s3.objects.size
  s3.allowed = true
  await until(() => s3.objects.size > stored + 5, { what: 'files arrive again', every_ms: 1 })
  s3.behave(() => undefined)
  const hung = s3.asked.length
  await until(() => s3.asked.length > hung, { what: 'a file hangs' })
  await second.kill9()
  s3.behave(null)
  const third = await startTestGateway({ config, env, folder: first.folder })
  const view = await streamed(third, 'audit', 420)
  expect(view.counts).toMatchObject({ captured: 420, delivered: 420, dead_lettered: 0, dropped: {} })
  expect(bucketOf(s3)).toEqual({ entries: thingNames(210), jobs: jobNames(210) })
  // Only what was on its way was put again, under the same name: at most one file of each queue.
  const puts = putsOf(s3, elevenOClock)
  expect(puts.length - new Set(puts).size).toBeLessThanOrEqual(2)

  const closed = await incidentComes(third, 'stream_failed', 'closed')
  expect(closed.outcome).toMatchObject({ reason: 'recovered', replayed: 400, lost: 0, waiting: 0 })
  // At least once: a kill just before a mail is noted on the disk has it sent again.
  const closing = await until(() => mail.mails.find(({ text }) => text.includes('items replayed')), {
    what: 'the closing mail',
  })
  expect(closing.text).toContain('items replayed: 400')
  expect(closing.headers.get('in-reply-to')).toBe(opening?.headers.get('message-id'))
  expect(await incidentsOf(third)).toHaveLength(1)
  await until(async () => (await filesUnder(spool)).length === 0, { what: 'the wait is gone from the disk' })
}, 60_000)
