/** A backlog that fills, overflows and drains: nearly full is told first, lost items until it is quiet. */
import { expect, test } from 'vitest'
import { startBed } from '../faults/bed.ts'
import { incidentComes, incidentsOf } from '../support/incidents.ts'
import { startMailServer } from '../support/mail-server.ts'

const body = JSON.stringify({ text: 'x'.repeat(4000) })

test('a nearly full backlog and lost items are told of, and end by themselves', async () => {
  const mail = await startMailServer()
  const bed = await startBed({
    mirror: { spool: { max_bytes: 1_048_576 }, batch: { max_wait_ms: 50, max_bytes: 60_000 } },
    rest: {
      notifications: {
        email: {
          smtp: { host: '127.0.0.1', port: mail.port, tls: 'none' },
          ...{ from: 'gateway@example.com', recipients: ['ops@example.com'] },
        },
        quiet_ms: 1500,
      },
    },
  })
  await bed.collector.stop()
  await bed.send(110, body)
  const nearly = await incidentComes(bed.gateway, 'spool_nearly_full')
  expect(nearly).toMatchObject({ subject: 'salt', details: { max_bytes: 524_288 } })
  expect(await incidentsOf(bed.gateway, 'kind=data_dropped')).toEqual([])

  await bed.send(150, body)
  const open = await incidentComes(bed.gateway, 'data_dropped')
  expect(open.subject).toBe('salt/requests')
  expect(open.details['reasons']).toEqual({ spool_full: expect.any(Number) })
  const view = await bed.sees('what was too much is dropped', ({ legs }) =>
    legs.every(({ counts, durable_items }) => counts.waiting === durable_items),
  )
  const lost = await incidentComes(bed.gateway, 'data_dropped', 'closed')
  expect(lost.outcome).toMatchObject({ reason: 'recovered', lost: view.legs[0]?.counts.dropped.spool_full })
  expect(lost.duration_ms).toBeGreaterThanOrEqual(1500)

  await bed.collector.start()
  await bed.gateway.admin.replay('salt')
  await incidentComes(bed.gateway, 'spool_nearly_full', 'closed')
  await incidentComes(bed.gateway, 'connection_lost', 'closed')
  const told = new Map<string, number>()
  await mail.mailsCome(2 * (await incidentsOf(bed.gateway)).length)
  for (const subject of mail.subjects()) told.set(subject, (told.get(subject) ?? 0) + 1)
  expect([...told.values()].every((count) => count === 1)).toBe(true)
  expect([...told.keys()]).toEqual(
    expect.arrayContaining([
      '[mirrorgate dev] Incident: mirror salt: the backlog is nearly full',
      '[mirrorgate dev] Incident: leg salt/requests: items were lost',
      '[mirrorgate dev] Over: leg salt/requests: items were lost',
    ]),
  )
})
