/** The outbox keeps the order of each incident, looks at a backlog once, and drops only what it must. */
import { expect, test } from 'vitest'
import type { PendingNotice } from '../../src/contract/incidents.ts'
import { noticeKey } from '../../src/notify/incidents.ts'
import { type Channel, Outbox, type OutboxParts } from '../../src/notify/outbox.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { onEnd } from '../support/cleanup.ts'
import { until } from '../support/wait.ts'

/** What a machine listens to takes any number of messages. */
const webhook = (send: Channel['send']): Channel => ({ send, perHourMax: Number.POSITIVE_INFINITY })

function startOutbox(parts: Partial<OutboxParts> & Pick<OutboxParts, 'channel'>): Outbox {
  const outbox = new Outbox({
    retry: () => ({ min_wait_ms: 1000, max_wait_ms: 60_000 }),
    settle: () => Promise.resolve(),
    count: () => {},
    log: createLog({ level: 'silent', format: 'json' }),
    ...parts,
  })
  onEnd(() => outbox.close())
  return outbox
}

function notice(id: number, event: string, over: Partial<PendingNotice> = {}): PendingNotice {
  const at = Date.now()
  return {
    ...{ channel: 'webhook', event, at, attempts: 0, last_error: null, next_at: 0 },
    facts: { workspace: 'w', admin_url: '', mirrors: [] },
    incident: {
      ...{ id, uid: String(id), kind: 'config_rejected', subject: 'f', environment: 'dev', state: 'open' },
      ...{ opened_at: at, updated_at: at, recovered_at: null, closed_at: null, occurrences: 1 },
      ...{ details: {}, legs: {}, outcome: null, acknowledged: null },
    },
    ...over,
  }
}

const listed = (notices: readonly PendingNotice[]) =>
  new Map(notices.map((one) => [noticeKey(one.incident.id, one.event, one.channel), one]))

const told = (notices: readonly PendingNotice[]) =>
  notices.map(({ incident, event }) => `${incident.id} ${event}`)

test('nothing of an incident overtakes what waits of it, also where much is told as one', async () => {
  const messages: string[][] = []
  const mail: Channel = { perHourMax: 1, send: async (notices) => void messages.push(told(notices)) }
  const outbox = startOutbox({ channel: () => mail, hourMs: 300 })
  const waits = { next_at: Date.now() + 60_000 }
  outbox.add(
    listed([
      notice(1, 'opened'),
      notice(2, 'opened'),
      notice(2, 'reminder-1', waits),
      notice(2, 'closed'),
      notice(3, 'opened', waits),
      notice(4, 'opened'),
      notice(4, 'closed'),
    ]),
  )
  await until(() => messages.length === 2, { what: 'the first mail, and the digest of an hour later' })
  expect(messages).toEqual([['1 opened'], ['2 opened', '4 opened', '4 closed']])
  expect(outbox.pending('webhook')).toBe(3)
})

test('a backlog is drained with a few looks at each notice, not with one for each pair', async () => {
  const count = 1000
  let looks = 0
  const counted = Array.from({ length: count }, (_, at) => {
    const { incident, ...rest } = notice(at + 1, 'opened')
    return {
      ...rest,
      get incident() {
        looks += 1
        return incident
      },
    }
  })
  let sent = 0
  const outbox = startOutbox({ channel: () => webhook(async (notices) => void (sent += notices.length)) })
  const backlog = listed(counted)
  looks = 0
  outbox.add(backlog)
  await until(() => outbox.pending('webhook') === 0, { what: 'everything is sent' })
  expect(sent).toBe(count)
  expect(looks).toBeLessThan(20 * count)
})

test('a channel that is configured while what came before is dropped takes what comes after', async () => {
  let channel: Channel | null = null
  const sent: string[] = []
  const outcomes: string[] = []
  const outbox = startOutbox({
    channel: () => channel,
    count: (_, outcome) => void outcomes.push(outcome),
    settle: async () => {
      if (channel !== null) return
      channel = webhook(async (notices) => void sent.push(...told(notices)))
      outbox.reconfigured()
      outbox.add(listed([notice(2, 'opened')]))
    },
  })
  outbox.add(listed([notice(1, 'opened')]))
  await until(() => outbox.pending('webhook') === 0, { what: 'nothing waits' })
  await until(() => outcomes.length === 2, { what: 'both are counted' })
  expect(outcomes).toEqual(['dropped', 'sent'])
  expect(sent).toEqual(['2 opened'])
})
