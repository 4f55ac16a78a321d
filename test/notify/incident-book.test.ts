/** The book of incidents: one incident for each subject, however long that is. */
import { expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { IncidentBook } from '../../src/notify/incidents.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { newStore } from '../activity/rig.ts'

test('a subject that is cut is found again: one incident, and its end closes it', async () => {
  const { store } = await newStore()
  const book = new IncidentBook({
    store,
    trail: { entries: () => [] },
    log: createLog({ level: 'silent', format: 'json' }),
    environment: () => 'dev',
    channels: () => [],
    facts: () => ({ workspace: 'w', admin_url: '', mirrors: [] }),
    queued: () => {},
  })
  const file = '/'.padEnd(limits.incident_text_chars_max + 1, 'f')
  book.raise({ kind: 'config_rejected', subject: file })
  book.raise({ kind: 'config_rejected', subject: file })
  expect(book.open()).toMatchObject([{ subject: file.slice(0, -1), occurrences: 2 }])
  book.resolve('config_rejected', file)
  expect(book.open()).toEqual([])
  await book.settled()
  expect([...store.incidents.all()]).toMatchObject([{ state: 'closed', occurrences: 2 }])
})
