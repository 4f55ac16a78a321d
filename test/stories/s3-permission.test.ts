/**
 * Who writes to a bucket loses the permission at 09:00 and has it back at 11:00, with two kills in between:
 * on OpenStack Swift, which has real permissions, and by a clock in whose hands hours pass in seconds.
 */
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Clock, clockMissing, startClock } from '../support/clock.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { bytesUnder, filesUnder } from '../support/files.ts'
import { incidentComes, incidentsOf } from '../support/incidents.ts'
import { type Mail, type MailServer, startMailServer } from '../support/mail-server.ts'
import type { Event } from '../support/receiver.ts'
import { startSwift, type Swift, swiftMissing } from '../support/stores/swift.ts'
import { happen, streamed, streamView, thingNames, things } from '../support/streams.ts'
import { expectIdentity, until } from '../support/wait.ts'
import { mailIsNoted, told } from './people.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const bucket = 'audit'
const yesterday = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10)
const at = (time: string): Date => new Date(`${yesterday}T${time}:00Z`)

/** Retries, probes and time-outs are those that people have who set none. */
function configOf({ url, writer }: Swift, mail: MailServer): Record<string, unknown> {
  return {
    collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }],
    streams: [
      {
        ...{ name: 'audit', sink: 's3', events: ['activity', 'job_summary'] },
        ...{ endpoint: url, bucket, path_style: true, files: 'per_batch' },
        ...{ access_key_id: writer.id, secret_access_key: '${env:S3_SECRET}' },
        match: { event_types: ['thing_done', 'job_summary'] },
        batch: { max_items: 5, max_wait_ms: 20 },
      },
    ],
    notifications: told(mail),
  }
}

const jobNames = (count: number) => Array.from({ length: count }, (_, job) => `job-${job}`)

/** So many entries of the log and so many jobs, numbered on from `from`. */
async function work(gateway: TestGateway, clock: Clock, count: number, from: number): Promise<void> {
  const completed_at = clock.now().toISOString()
  const jobs = jobNames(from + count).slice(from)
  await Promise.all([
    happen(gateway, count, from),
    gateway.admin.json(
      'POST',
      '/api/events',
      jobs.map((id) => ({ id, recipe_id: 7, status: 'succeeded', completed_at })),
    ),
  ])
}

/** What is in the bucket, in the order in which it was put there: entries of the log, and jobs. */
async function bucketOf(swift: Swift) {
  const files = [...(await swift.objects(bucket)).values()].sort((a, b) => (a.at < b.at ? -1 : 1))
  const events = files.flatMap(({ body }) =>
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

/** A new time; connections that were idle are gone with it, as after a machine's sleep. */
async function itIs(time: string, clock: Clock, gateway: TestGateway): Promise<void> {
  await clock.set(at(time))
  const ask = () => streamView(gateway, 'audit')
  await until(() => Promise.all([ask(), ask(), ask()]), { what: `the gateway answers at ${time}` })
}

/** Time goes on until something is seen: probes of a destination that is down come once a minute. */
function timePasses(clock: Clock, what: string, seen: () => Promise<boolean>): Promise<boolean> {
  return until(
    async () => {
      if (await seen()) return true
      await clock.advance(MINUTE_MS)
      return false
    },
    { what, every_ms: 500, within_ms: 20_000 },
  )
}

/** The mail says since when, what is missing, how to test it, and until when each queue is kept. */
function expectSteps(opening: Mail | undefined, { writer }: Swift): void {
  expect(opening?.text).toContain(`since: ${yesterday} 09:00:`)
  expect(opening?.text).toContain('s3:PutObject must be allowed on arn:aws:s3:::audit/*')
  expect(opening?.text).toMatch(/curl -X POST http:\/\/127\.0\.0\.1:\d+\/api\/streams\/audit\/test/)
  const days = (count: number) => new Date(at('09:00').getTime() + count * DAY_MS).toISOString()
  const kept = { activity: days(365).slice(0, 10), events: days(7).slice(0, 10) }
  // The mail leaves when the first of the two queues is refused: the other may be empty still.
  const told = [...(opening?.text.matchAll(/audit (\w+): .* kept until (\S+) 09/g) ?? [])]
  expect(told.length).toBeGreaterThan(0)
  for (const [, queue, until] of told) expect(until).toBe(kept[queue as keyof typeof kept])
  expect(opening?.raw).not.toContain(writer.secret)
}

const missing = swiftMissing ?? clockMissing

test.skipIf(missing !== null)(
  `a permission away from 09:00 to 11:00: told, all waits and arrives in order (${missing ?? 'on Swift'})`,
  async () => {
    const clock = await startClock(at('08:58'))
    const swift = await startSwift(clock.env)
    onTestFinished(() => swift.close())
    const [mail] = await Promise.all([startMailServer(), swift.createBucket(bucket)])
    await swift.allow(bucket, true)
    const start = (folder?: string) =>
      startTestGateway({
        config: configOf(swift, mail),
        env: { ...clock.env, S3_SECRET: swift.writer.secret },
        ...(folder !== undefined && { folder }),
      })
    const first = await start()
    await work(first, clock, 10, 0)
    await streamed(first, 'audit', 20)
    const spool = join(first.dataDir, 'streams')

    await itIs('09:00', clock, first)
    await swift.allow(bucket, false)
    await work(first, clock, 100, 10)
    expectIdentity(await waits(first, 100))
    const [opening] = await mail.mailsCome(1)
    expect(mail.subjects()).toEqual(['[mirrorgate dev] Incident: stream audit: streaming fails'])
    expectSteps(opening, swift)

    await itIs('10:00', clock, first)
    await mailIsNoted(first)
    await first.kill9()
    const second = await start(first.folder)
    // A jump ends requests that are on their way: nothing may be.
    await waits(second, 100)
    await itIs('10:30', clock, second)
    await work(second, clock, 40, 110)
    await waits(second, 140)
    expect(await bytesUnder(spool)).toBeGreaterThan(0)
    const [open] = await incidentsOf(second, 'state=open')
    expect(open).toMatchObject({ kind: 'stream_failed', subject: 'audit', details: { status: 403 } })

    // Killed with files on their way.
    await itIs('11:00', clock, second)
    const stored = await swift.count(bucket)
    await swift.allow(bucket, true)
    await timePasses(clock, 'files arrive', async () => (await swift.count(bucket)) > stored + 3)
    swift.stall()
    await second.kill9()
    swift.goOn()
    const third = await start(first.folder)
    const view = await streamed(third, 'audit', 300)
    expect(view.counts).toMatchObject({ captured: 300, delivered: 300, dead_lettered: 0, dropped: {} })
    expect(await bucketOf(swift)).toEqual({ entries: thingNames(150), jobs: jobNames(150) })

    const closed = await incidentComes(third, 'stream_failed', 'closed')
    expect(closed.outcome).toMatchObject({ reason: 'recovered', replayed: 280, lost: 0, waiting: 0 })
    const [, closing] = await mail.mailsCome(2)
    expect(mail.subjects()[1]).toBe('[mirrorgate dev] Over: stream audit: streaming fails')
    expect(closing?.text).toMatch(/after: 2 h \d+ min/)
    expect(closing?.text).toContain('items replayed: 280')
    expect(closing?.headers.get('in-reply-to')).toBe(opening?.headers.get('message-id'))
    expect(await incidentsOf(third), 'no jump of the clock, nothing lost').toHaveLength(1)
    await until(async () => (await filesUnder(spool)).length === 0, {
      what: 'the wait is gone from the disk',
    })
  },
  60_000,
)
