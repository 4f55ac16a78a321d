/** Telling the activity log never breaks what is told of, and never grows without bound. */
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { GatewayTrail } from '../../src/control/trail.ts'
import type { ActivityLog, NewActivity } from '../../src/contract/activity.ts'
import { type Actor, theGateway } from '../../src/contract/audit-trail.ts'
import type { EnvironmentName } from '../../src/contract/environments.ts'
import { limits } from '../../src/contract/limits.ts'
import { createLog } from '../../src/telemetry/log.ts'

const workspace = { id: 7, name: 'Alex', email: 'alex@example.com', time_zone: 'UTC' }

function trailInto(append: ActivityLog['append'], environment: EnvironmentName = 'dev') {
  const seen = { failed: 0, logged: '' }
  const into = new Writable({
    write(chunk, _encoding, done) {
      seen.logged += String(chunk)
      done()
    },
  })
  const log = createLog({ level: 'info', format: 'json' }, into)
  const countFailed = (entries: number) => {
    seen.failed += entries
  }
  const config = () => ({ workspace, environment })
  return { trail: new GatewayTrail({ activity: { append }, log, config, countFailed }), seen }
}

test('a log that cannot be written is an error line and a count, not a failure', async () => {
  const { trail, seen } = trailInto(() => Promise.reject(new Error('the disk is full')))
  const started = { event: 'gateway_started', actor: theGateway } as const
  expect(await trail.record(started, { ...started, event: 'configuration_loaded' })).toBe(false)
  expect(seen.failed).toBe(2)
  expect(seen.logged).toContain('the disk is full')
  expect(seen.logged).toContain('"events":["gateway_started","configuration_loaded"]')
})

test('a log that does not answer is told so much and no more; settled waits for it', async () => {
  const open: (() => void)[] = []
  const { trail, seen } = trailInto(() => new Promise((resolve) => open.push(() => resolve([]))))
  const first = Array.from({ length: limits.activity_pending_max }, () =>
    trail.record({ event: 'mirror_paused', actor: theGateway, resource: { name: 'salt' } }),
  )
  expect(await trail.record({ event: 'mirror_resumed', actor: theGateway })).toBe(false)
  expect(seen.failed).toBe(1)
  let settled = false
  const all = trail.settled().then(() => {
    settled = true
  })
  expect(settled).toBe(false)
  for (const write of open) write()
  expect(await Promise.all(first)).not.toContain(false)
  await all
  expect(settled).toBe(true)
})

test('many at once go in appends of the size that the log takes, in their order', async () => {
  const appends: number[][] = []
  const { trail } = trailInto(async (entries) => {
    appends.push(entries.map(({ resource }) => resource.id as number))
    return []
  })
  const most = limits.activity_append_entries_max
  const all = Array.from({ length: 2 * most + 1 }, (_, id) => id)
  const resources = all.map((id) => ({ id, name: `c${id}` }))
  await trail.record(
    ...resources.map((resource) => ({ event: 'collection_created', actor: theGateway, resource }) as const),
  )
  expect(appends.map(({ length }) => length)).toEqual([most, most, 1])
  expect(appends.flat()).toEqual(all)
})

test('an entry has the shape of the documented ones, and no text longer than its bound', async () => {
  const written: NewActivity[] = []
  const { trail } = trailInto(async (entries) => {
    written.push(...entries)
    return []
  }, 'stage')
  const long = 'x'.repeat(limits.activity_text_chars_max)
  const request = { ip_address: '192.0.2.1', user_agent: `${long}y` }
  const actor: Actor = { id: 54321, name: 'Jie', environment: 'prod', request, activity: 'token_login' }
  await trail.record(
    { event: 'user_login', actor },
    {
      event: 'mirror_parked',
      actor: theGateway,
      resource: { name: 'salt' },
      details: { errors: [`${long}y`] },
    },
  )
  const entry = { workspace: { id: 7, name: 'Alex', email: 'alex@example.com' } }
  expect(written).toEqual([
    {
      event_type: 'user_login',
      // The sign-in of a client is in the log of its own environment.
      workspace: { ...entry.workspace, environment: 'prod' },
      user: { id: 54321, name: 'Jie', email: 'alex@example.com' },
      details: { request: { ip_address: '192.0.2.1', user_agent: long }, activity: 'token_login' },
      resource: { id: 7, name: 'Alex', type: 'Workspace', email: 'alex@example.com' },
    },
    {
      event_type: 'mirror_parked',
      workspace: { ...entry.workspace, environment: 'stage' },
      user: { id: 0, name: 'mirrorgate', email: 'alex@example.com' },
      details: { errors: [long] },
      resource: { id: null, name: 'salt', type: 'Mirror' },
    },
  ])
})
