/** The book and its channels over a real store and a real mail server, without a gateway around them. */
import { expect, test } from 'vitest'
import type { Config } from '../../src/config/schema.ts'
import { type IncidentKind, incidentKindNames } from '../../src/contract/incidents.ts'
import { Notifier } from '../../src/notify/notifier.ts'
import type { Store } from '../../src/store/store.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { openStore } from '../support/admin.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { type MailServer, startMailServer } from '../support/mail-server.ts'
import { until } from '../support/wait.ts'

type Notifications = Config['notifications']
type Email = NonNullable<Notifications['email']>

const log = createLog({ level: 'silent', format: 'json' })

function settings(
  mail: MailServer,
  email: Partial<Email> = {},
  rest: Partial<Notifications> = {},
): Notifications {
  const smtp = { host: '127.0.0.1', port: mail.port, tls: 'none', verify: true, timeout_ms: 2000 } as const
  return {
    email: {
      ...{ smtp, from: 'gateway@example.com', recipients: ['ops@example.com'] },
      ...{ recipients_by_environment: {}, digest_after_per_hour: 100, ...email },
    },
    retry: { min_wait_ms: 50, max_wait_ms: 200 },
    ...{ repeat_ms: 0, quiet_ms: 1000, certificate_days: 14, retention_ms: 60_000 },
    ...rest,
    secret_fields: [],
  }
}

async function open(notifications: Notifications, more: { folder?: string; hourMs?: number } = {}) {
  const store = await openStore(more.folder ?? (await tempDir()))
  const unread = () => Promise.reject(new Error('nothing refers to a secret'))
  const notifier = new Notifier({
    ...{ store, log, trail: { entries: () => [] } },
    secrets: { read: unread, readAgain: unread },
    config: () => ({ environment: 'test', notifications }),
    facts: () => ({ workspace: 'ours', admin_url: 'http://127.0.0.1:9901', mirrors: [] }),
    ...(more.hourMs !== undefined && { hourMs: more.hourMs }),
  })
  notifier.start()
  onEnd(() => notifier.close())
  return { notifier, store, book: notifier.book }
}

const raise = (
  subjects: readonly string[],
  book: Notifier['book'],
  kind: IncidentKind = 'mirroring_error',
) => {
  for (const subject of subjects) book.raise({ kind, subject, details: { error: `${subject} says no` } })
}

/** The next write of a store waits, as on a slow disk, until it is released. */
function stalledWrite(store: Store, method: 'apply' | 'applyDurably') {
  const real = store[method].bind(store)
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
  store[method] = async (commands) => {
    store[method] = real
    ask()
    await released
    await real(commands)
  }
  return { asked, release }
}

test('beyond so many mails an hour the rest comes as one digest', async () => {
  const mail = await startMailServer()
  const { book } = await open(settings(mail, { digest_after_per_hour: 2 }), { hourMs: 1500 })
  // All at once: the hour must not pass between them, however slow the machine.
  raise(['a', 'b', 'c', 'd'], book)
  book.resolve('mirroring_error', 'a')
  const [, , digest] = await mail.mailsCome(3)
  expect(mail.subjects()[2]).toBe('[mirrorgate test] 3 events in one digest')
  for (const line of [/c: mirroring fails: c says no/, /d: mirroring fails/, /Over: mirror a/])
    expect(digest?.text).toMatch(line)
  await until(() => book.open().every(({ notices }) => notices.every(({ state }) => state === 'sent')), {
    what: 'all are told',
  })
  // The hour is over: one by one again.
  raise(['e'], book)
  await mail.mailsCome(4)
  expect(mail.subjects()[3]).toContain('Incident: mirror e')
})

test('one recipient that is refused does not keep the others from their mail', async () => {
  const mail = await startMailServer()
  mail.refusal = { at: 'recipient', status: 550, message: 'no such user', recipient: 'gone@example.com' }
  const { book } = await open(settings(mail, { recipients: ['gone@example.com', 'ops@example.com'] }))
  raise(['salt'], book)
  const [only] = await mail.mailsCome(1)
  expect(only?.to).toEqual(['ops@example.com'])
})

test('a message that is refused for now is tried again, and arrives once', async () => {
  const mail = await startMailServer()
  mail.refusal = { at: 'data', status: 451, message: 'greylisted' }
  const { book } = await open(settings(mail))
  raise(['salt'], book)
  const notice = () => book.find('mirroring_error', 'salt')?.notices[0]
  await until(() => (notice()?.attempts ?? 0) > 1, { what: 'it was refused twice' })
  expect(notice()).toMatchObject({ state: 'pending', last_error: expect.stringContaining('greylisted') })
  mail.refusal = null
  await mail.mailsCome(1)
  await until(() => notice()?.state === 'sent', { what: 'it is known to be sent' })
  expect(mail.mails).toHaveLength(1)
})

test('a mail is sent once it is on the disk, and known as sent once that is', async () => {
  const mail = await startMailServer()
  const { book, store } = await open(settings(mail))
  const stored = () => store.incidents.get(1)?.notices[0]?.state
  const opening = stalledWrite(store, 'apply')
  raise(['salt'], book)
  await opening.asked
  expect(mail.connections).toBe(0)
  opening.release()

  const settling = stalledWrite(store, 'applyDurably')
  await settling.asked
  expect(mail.mails).toHaveLength(1)
  expect(book.find('mirroring_error', 'salt')?.notices[0]?.state).toBe('pending')
  // Closed meanwhile: neither write takes back what the other one says.
  book.resolve('mirroring_error', 'salt')
  settling.release()
  await mail.mailsCome(2)
  await until(() => book.get(1)?.notices.every(({ state }) => state === 'sent'), { what: 'both are noted' })
  expect([stored(), store.incidents.pending().size]).toEqual(['sent', 0])
  expect(store.incidents.get(1)).toMatchObject({ state: 'closed', notices: [{}, { state: 'sent' }] })
})

test('what a full disk did not take of a message is written when it has room', async () => {
  const mail = await startMailServer()
  const { book, store, notifier } = await open(settings(mail))
  const real = store.applyDurably.bind(store)
  store.applyDurably = () => Promise.reject(new Error('writing to the store: no space left'))
  raise(['salt'], book)
  await mail.mailsCome(1)
  await until(() => book.get(1)?.notices[0]?.state === 'sent', { what: 'it is sent all the same' })
  expect(store.incidents.pending().size).toBe(1)
  store.applyDurably = real
  await notifier.tick()
  expect(store.incidents.pending().size).toBe(0)
  expect(store.incidents.get(1)?.notices).toMatchObject([{ state: 'sent' }])
})

test('a stop waits for the answer to a mail that is on its way', async () => {
  const mail = await startMailServer()
  const folder = await tempDir()
  const { book, notifier, store } = await open(settings(mail), { folder })
  const answer = mail.hold()
  raise(['salt'], book)
  await mail.mailsCome(1)
  const closed = notifier.close()
  answer()
  await closed
  await store.close()
  const second = await open(settings(mail), { folder })
  expect(second.book.get(1)?.notices).toMatchObject([{ state: 'sent' }])
  raise(['pepper'], second.book)
  await mail.mailsCome(2)
  expect(mail.subjects()[1]).toContain('pepper')
})

test('an open incident is told again until somebody acknowledges it', async () => {
  const mail = await startMailServer()
  const { notifier, book } = await open(settings(mail, {}, { repeat_ms: 60_000 }))
  raise(['salt'], book)
  await mail.mailsCome(1)
  const incident = book.find('mirroring_error', 'salt')
  if (incident === undefined) throw new Error('it is open')
  // As if it were two minutes old.
  Object.assign(incident, { opened_at: incident.opened_at - 120_500 })
  await notifier.tick()
  await mail.mailsCome(2)
  expect(mail.subjects()[1]).toContain('Still open: mirror salt')
  await notifier.tick()
  await book.acknowledge(incident.id, { id: 1, name: 'ops', environment: null })
  Object.assign(book.get(incident.id) ?? {}, { opened_at: incident.opened_at - 600_000 })
  await notifier.tick()
  await book.settled()
  expect(mail.mails).toHaveLength(2)
})

test('hostile names and answers stay texts: no header, no tag, no turned writing', async () => {
  const mail = await startMailServer()
  const { book } = await open(settings(mail))
  const hostile = 'a\r\nBcc: evil@example.com\r\n\r\n<script>alert(1)</script>\u202efdp.exe'
  book.raise({
    ...{ kind: 'certificate_expiring', subject: hostile },
    details: {
      error: hostile,
      answer: `<img src=x onerror=alert(1)>${hostile}${'x'.repeat(5000)}`,
      file: '&<>"',
    },
  })
  const [only] = await mail.mailsCome(1)
  expect(only?.to).toEqual(['ops@example.com'])
  expect([...(only?.headers.keys() ?? [])]).not.toContain('bcc')
  expect(only?.html).not.toMatch(/<script|<img|"&<>/)
  expect(only?.html).toContain('&lt;script&gt;')
  expect(only?.html + (only?.text ?? '')).not.toContain('\u202e')
  expect(only?.html.length).toBeLessThan(10_000)
})

test('incidents survive a restart; old closed ones go, open ones stay', async () => {
  const mail = await startMailServer()
  const folder = await tempDir()
  const first = await open(settings(mail), { folder })
  raise(['a', 'b'], first.book)
  first.book.resolve('mirroring_error', 'a')
  await mail.mailsCome(3)
  await until(() => first.notifier.figures().pending.every(([, count]) => count === 0), {
    what: 'all is told',
  })
  await first.notifier.close()
  await first.store.close()
  const second = await open(settings(mail, {}, { retention_ms: -1 }), { folder })
  expect(second.book.page({ state: null, kind: null, below: 99, size: 10 }).data).toMatchObject([
    { id: 2, subject: 'b', state: 'open' },
    { id: 1, subject: 'a', state: 'closed', outcome: { reason: 'recovered' } },
  ])
  await second.notifier.tick()
  expect(second.book.page({ state: null, kind: null, below: 99, size: 10 })).toMatchObject({
    data: [{ id: 2 }],
    total: 1,
  })
  raise(['b', 'c'], second.book)
  expect(second.book.open().map(({ id, occurrences }) => [id, occurrences])).toEqual([
    [2, 2],
    [3, 1],
  ])
})

test('every kind has a message of its own, with something to do', async () => {
  const mail = await startMailServer()
  const { book } = await open(settings(mail))
  for (const kind of incidentKindNames)
    book.raise({ kind, subject: 'salt', details: { status: 503, error: 'no', reasons: { expired: 3 } } })
  const mails = await mail.mailsCome(incidentKindNames.length)
  for (const { text } of mails) expect(text).toMatch(/What to do\n {2}1\. /)
  expect(new Set(mail.subjects()).size).toBe(incidentKindNames.length)
})
