/** A mail server that is down, and a gateway that is killed meanwhile: each mail arrives, once. */
import { expect, test } from 'vitest'
import { startBed } from '../faults/bed.ts'
import { faults } from '../support/collector.ts'
import { incidentComes, incidentsOf } from '../support/incidents.ts'
import { startMailServer } from '../support/mail-server.ts'
import { until } from '../support/wait.ts'

test('what could not be sent before kill -9 is sent once by the next process', async () => {
  const mail = await startMailServer()
  await mail.stop()
  const bed = await startBed({
    rest: {
      notifications: {
        email: {
          smtp: { host: '127.0.0.1', port: mail.port, tls: 'none' },
          ...{ from: 'gateway@example.com', recipients: ['ops@example.com'] },
        },
        retry: { min_wait_ms: 50, max_wait_ms: 200 },
      },
    },
  })
  bed.collector.fault = faults.status(403)
  await bed.send(2)
  const tried = await until(
    async () => {
      const [incident] = await incidentsOf(bed.gateway, 'kind=mirroring_error')
      return (incident?.notices[0]?.attempts ?? 0) > 2 && incident
    },
    { what: 'the mail was tried three times' },
  )
  const error = expect.stringMatching(/^mail server 127\.0\.0\.1:\d+: ESOCKET: .*ECONNREFUSED/)
  expect(tried.notices).toMatchObject([
    { channel: 'email', event: 'opened', state: 'pending', last_error: error },
  ])
  const metrics = await bed.gateway.admin.metrics()
  expect(metrics.sum('notifications_total', { channel: 'email', outcome: 'failed' })).toBeGreaterThan(2)
  expect(metrics.values('notifications_pending', { channel: 'email' })).toEqual([1])

  await bed.gateway.kill9()
  await mail.start()
  await bed.restart()
  const [opening] = await mail.mailsCome(1)
  expect(opening?.text).toContain('status: 403')
  expect(opening?.text).toContain(`/api/incidents/${tried.id}/acknowledge`)
  const sent = await until(
    async () => {
      const all = await incidentsOf(bed.gateway)
      return all[0]?.notices[0]?.state === 'sent' && all
    },
    { what: 'it is known to be sent' },
  )
  expect(sent.map(({ id, kind, opened_at }) => [id, kind, opened_at])).toEqual([
    [tried.id, 'mirroring_error', tried.opened_at],
  ])

  await bed.gateway.stop()
  await bed.restart()
  await bed.sees('its legs probe again', ({ state }) => state === 'parked')
  bed.collector.fault = null
  await bed.gateway.admin.replay('salt')
  const closed = await incidentComes(bed.gateway, 'mirroring_error', 'closed')
  expect(closed).toMatchObject({ id: tried.id, outcome: { replayed: 4, lost: 0 } })
  await mail.mailsCome(2)
  expect(await incidentsOf(bed.gateway)).toHaveLength(1)
  expect(new Set(mail.mails.map(({ headers }) => headers.get('message-id'))).size).toBe(2)
})
