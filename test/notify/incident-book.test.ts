/** The book of incidents: one incident for each subject, however long that is. */
import { expect, test } from 'vitest'
import type { NotificationChannel, PendingNotice } from '../../src/contract/incidents.ts'
import { limits } from '../../src/contract/limits.ts'
import { IncidentBook } from '../../src/notify/incidents.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { newStore } from '../activity/rig.ts'

async function newBook(channels: readonly NotificationChannel[] = []) {
  const { store } = await newStore()
  const told = new Map<string, PendingNotice>()
  const book = new IncidentBook({
    store,
    trail: { entries: () => [] },
    log: createLog({ level: 'silent', format: 'json' }),
    environment: () => 'dev',
    channels: () => channels,
    facts: () => ({ workspace: 'w', admin_url: '', mirrors: [] }),
    queued: (notices) => {
      for (const [key, notice] of notices) told.set(key, notice)
    },
  })
  return { store, book, told }
}

test('a subject that is cut is found again: one incident, and its end closes it', async () => {
  const { store, book } = await newBook()
  const file = '/'.padEnd(limits.incident_text_chars_max + 1, 'f')
  book.raise({ kind: 'config_rejected', subject: file })
  book.raise({ kind: 'config_rejected', subject: file })
  expect(book.open()).toMatchObject([{ subject: file.slice(0, -1), occurrences: 2 }])
  book.resolve('config_rejected', file)
  expect(book.open()).toEqual([])
  await book.settled()
  expect([...store.incidents.all()]).toMatchObject([{ state: 'closed', occurrences: 2 }])
})

test('one that opens again stays open when the end of the one before is told', async () => {
  const { store, book, told } = await newBook(['email'])
  const about = { kind: 'config_rejected', subject: 'gateway.yaml' } as const
  book.raise(about)
  book.resolve(about.kind, about.subject)
  book.raise(about)
  await book.settled()
  const first = [...told].filter(([, { incident }]) => incident.id === 1)
  await book.settle(new Map(first), 'sent')
  expect(book.open()).toMatchObject([{ id: 2, occurrences: 1 }])
  book.raise(about)
  book.resolve(about.kind, about.subject)
  await book.settled()
  expect([...store.incidents.all()].map(({ state }) => state)).toEqual(['closed', 'closed'])
})
