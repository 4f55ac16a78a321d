/** What people are told of a gateway in trouble: a mail when it begins, one when it ends, no secret. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { type Bed, startBed } from '../faults/bed.ts'
import { entriesCome } from '../support/activity.ts'
import { makeCertificate } from '../support/certificates.ts'
import { onEnd } from '../support/cleanup.ts'
import { faults } from '../support/collector.ts'
import { tempDir } from '../support/files.ts'
import { incidentComes, incidentOf, incidentsOf } from '../support/incidents.ts'
import { type MailServer, startMailServer } from '../support/mail-server.ts'
import { until } from '../support/wait.ts'

const canaries = {
  token: 'canary-token-5f2d',
  smtp: 'canary-smtp-77aa',
  hook: 'canary-hook-10fe',
}

interface HookEvent {
  readonly id: string
  readonly type: string
  readonly incident: { readonly kind: string; readonly subject: string }
}

let folder: string
let bed: Bed
let mail: MailServer
const hooks: { event: HookEvent; authorization: string | undefined }[] = []
let incidentsBefore = 0

async function startHook(): Promise<string> {
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const event = JSON.parse(Buffer.concat(chunks).toString()) as HookEvent
      hooks.push({ event, authorization: request.headers.authorization })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onEnd(() => server.closeAllConnections())
  onEnd(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
}

/** Puts a secret where the provider looks, at once as a whole. */
async function mount(name: string, text: string): Promise<void> {
  await writeFile(join(folder, `${name}.new`), text)
  await rename(join(folder, `${name}.new`), join(folder, name))
}

beforeAll(async () => {
  folder = await tempDir()
  await mount('token', 'an-old-token')
  await mount('smtp', canaries.smtp)
  await mount('hook', canaries.hook)
  const certificate = makeCertificate(folder)
  makeCertificate(folder, { days: 3, name: 'client' })
  mail = await startMailServer({ certificate, user: 'gateway', password: canaries.smtp })
  const url = await startHook()
  bed = await startBed({
    connection: {
      headers: { Authorization: 'Bearer ${secret:mounted:token}' },
      tls: { cert_file: join(folder, 'client.pem'), key_file: join(folder, 'client.key') },
    },
    rest: {
      secrets: { providers: [{ name: 'mounted', provider: 'file', root: folder }] },
      notifications: {
        email: {
          smtp: {
            ...{ host: '127.0.0.1', port: mail.port, ca_file: certificate.certFile },
            ...{ username: 'gateway', password: '${secret:mounted:smtp}' },
          },
          from: 'gateway@example.com',
          recipients: ['nobody@example.com'],
          recipients_by_environment: { dev: ['ops@example.com', 'security@example.com'] },
        },
        webhook: { url, headers: { Authorization: 'Bearer ${secret:mounted:hook}' } },
      },
    },
  })
  await mail.mailsCome(1)
})

beforeEach(async () => {
  mail.mails.length = 0
  hooks.length = 0
  incidentsBefore = (await incidentsOf(bed.gateway)).length
})

const isFrom = (token: string) => (authorization: string | undefined) => authorization === `Bearer ${token}`

/** Each is about one incident more than before; no mail and no event holds a secret. */
async function expectIncidents(count: number): Promise<void> {
  expect((await incidentsOf(bed.gateway)).length - incidentsBefore).toBe(count)
  const everything = [
    ...mail.mails.flatMap(({ raw, text, html }) => [raw, text, html]),
    JSON.stringify(hooks),
  ]
  everything.push(...bed.gateway.logs().map((line) => JSON.stringify(line)))
  everything.push(JSON.stringify(await incidentsOf(bed.gateway)))
  const withoutHeaders = everything.map((text) => text.replaceAll(/"authorization":"[^"]*"/g, ''))
  for (const canary of Object.values(canaries))
    expect(withoutHeaders.filter((text) => text.includes(canary))).toEqual([])
}

test('a certificate that ends in three days is told of when the gateway starts', async () => {
  const [incident] = await incidentsOf(bed.gateway, 'kind=certificate_expiring')
  expect(incident).toMatchObject({
    subject: 'connections[collector].tls.cert_file',
    details: { days_left: 2 },
  })
})

test('a token that is refused: one mail with steps; mended: one with what was replayed', async () => {
  const accepts = isFrom(canaries.token)
  bed.collector.fault = {
    onDelivery: (delivery, request, response) => {
      if (accepts(request.headers.authorization)) return 'normal'
      const quoting = faults.status(401)
      return quoting.onDelivery?.(delivery, request, response) ?? 'normal'
    },
  }
  await bed.send(3)
  const [opening] = await mail.mailsCome(1)
  expect(opening).toMatchObject({
    ...{ from: 'gateway@example.com', to: ['ops@example.com', 'security@example.com'] },
    ...{ secure: true, user: 'gateway' },
  })
  expect(mail.subjects()).toEqual(['[mirrorgate dev] Incident: mirror salt: mirroring fails'])
  expect(opening?.text).toMatch(/status: 401/)
  expect(opening?.text).toMatch(/\|\s+"message": "fault: 401"/)
  expect(opening?.text).toContain('traffic collector token')
  expect(opening?.text).toContain('${secret:mounted:token}')
  expect(opening?.text).toMatch(/curl -X POST http:\/\/127\.0\.0\.1:\d+\/api\/mirrors\/salt\/test/)
  expect(opening?.text).toMatch(/kept until \d{4}-\d\d-\d\d/)
  expect(opening?.html).toContain('<pre>curl -X POST')
  // Both legs are refused, and probe again: still the same incident.
  await until(
    async () => (await bed.view()).legs.every(({ state, attempts }) => state === 'parked' && attempts > 2),
    {
      what: 'both legs are parked and have probed',
    },
  )
  const open = await incidentComes(bed.gateway, 'mirroring_error')
  expect(open).toMatchObject({ subject: 'salt', details: { status: 401, reason: 'unauthorized' } })

  await mount('token', canaries.token)
  await bed.gateway.admin.call('POST', '/api/secrets_management/clear_cache')
  await bed.gateway.admin.replay('salt')
  const closed = await incidentComes(bed.gateway, 'mirroring_error', 'closed')
  expect(closed.outcome).toEqual({
    ...{ reason: 'recovered', replayed: 6, lost: 0, purged: 0, dead_lettered: 0, waiting: 0 },
  })
  const [, closing] = await mail.mailsCome(2)
  expect(mail.subjects()[1]).toBe('[mirrorgate dev] Over: mirror salt: mirroring fails')
  expect(closing?.text).toContain('items replayed: 6')
  expect(closing?.headers.get('in-reply-to')).toBe(opening?.headers.get('message-id'))
  await until(() => hooks.length === 2, { what: 'both events are at the webhook' })
  expect(hooks.map(({ event }) => event.type)).toEqual(['incident.opened', 'incident.closed'])
  expect(hooks.every(({ authorization }) => authorization === `Bearer ${canaries.hook}`)).toBe(true)
  await bed.expectAllDelivered()
  await expectIncidents(1)
})

test('a collector that is unplugged is a lost connection, not a mirroring error', async () => {
  const mirroring = (await incidentsOf(bed.gateway, 'kind=mirroring_error')).length
  await bed.collector.stop()
  await bed.send(2)
  const open = await incidentComes(bed.gateway, 'connection_lost')
  expect(open).toMatchObject({ subject: 'collector', details: { status: null } })
  expect((await incidentOf(bed.gateway, open.id)).steps.length).toBeGreaterThan(1)
  await bed.collector.start()
  await bed.gateway.admin.replay('salt')
  const closed = await incidentComes(bed.gateway, 'connection_lost', 'closed')
  expect(closed.outcome).toMatchObject({ replayed: 4, lost: 0 })
  await mail.mailsCome(2)
  expect((await incidentsOf(bed.gateway, 'kind=mirroring_error')).length).toBe(mirroring)
  await expectIncidents(1)
})

test('a connection that a person disconnects is told of, and so is its return', async () => {
  const { admin } = bed.gateway
  await admin.json('POST', '/api/connections/collector/disconnect')
  const open = await incidentComes(bed.gateway, 'connection_disconnected')
  expect(open).toMatchObject({ subject: 'collector', details: { by: 'admin-token' } })
  await bed.send(1)
  await bed.sees('they wait', ({ counts }) => counts.waiting === 2)
  await admin.json('POST', '/api/connections/collector/connect')
  expect((await incidentComes(bed.gateway, 'connection_disconnected', 'closed')).outcome).toMatchObject({
    replayed: 2,
  })
  const [opening, closing] = await mail.mailsCome(2)
  expect(opening?.text).toContain('/api/connections/collector/connect')
  expect(closing?.text).toContain('items replayed: 2')
  await expectIncidents(1)
})

test('a rejected configuration and a missing secret open and close their own incidents', async () => {
  const { gateway } = bed
  await gateway.rewrite({ config: { ...bed.config, environment: 'nowhere' } })
  expect((await gateway.admin.call('POST', '/api/config/reload')).status).toBe(400)
  const rejected = await incidentComes(gateway, 'config_rejected')
  expect(JSON.stringify(rejected.details)).toContain('environment: must be one of')
  await gateway.rewrite({ config: bed.config })
  expect((await gateway.admin.call('POST', '/api/config/reload')).status).toBe(200)
  await incidentComes(gateway, 'config_rejected', 'closed')

  await rm(join(folder, 'token'))
  await gateway.admin.call('POST', '/api/secrets_management/clear_cache')
  await bed.send(1)
  expect(await incidentComes(gateway, 'secret_unavailable')).toMatchObject({
    subject: '${secret:mounted:token}',
    details: { error: expect.stringMatching(/^not_found/) },
  })
  await mount('token', canaries.token)
  await gateway.admin.call('POST', '/api/secrets_management/clear_cache')
  await incidentComes(gateway, 'secret_unavailable', 'closed')
  await bed.expectAllDelivered()
  await mail.mailsCome(4)
  await expectIncidents(2)
})

test('an incident is acknowledged once, and every part of it is in the activity log', async () => {
  const { gateway } = bed
  const [incident] = await incidentsOf(gateway, 'kind=certificate_expiring&state=open')
  const path = `/api/incidents/${incident?.id}/acknowledge`
  const first = await gateway.admin.json<{ acknowledged: object }>('POST', path)
  expect(first.acknowledged).toEqual({ at: expect.any(String), by: 'admin-token' })
  expect(await gateway.admin.json('POST', path)).toMatchObject({ acknowledged: first.acknowledged })
  const [entry] = await entriesCome(gateway, 'incident_acknowledged', 1)
  expect(entry).toMatchObject({
    user: { name: 'admin-token' },
    resource: { type: 'Incident', id: incident?.id },
  })
  const all = await incidentsOf(gateway)
  const opened = await entriesCome(gateway, 'incident_opened', all.length)
  expect(opened.map(({ resource }) => resource.id).sort()).toEqual(all.map(({ id }) => id).sort())
  const closed = all.filter(({ state }) => state === 'closed')
  await entriesCome(gateway, 'incident_closed', closed.length)
  expect((await gateway.admin.call('POST', '/api/incidents/999/acknowledge')).status).toBe(404)
})

test('a test message goes to every channel at once, and says what a server answered', async () => {
  const { gateway } = bed
  type Tested = { channels: { name: string; ok: boolean; error: string | null }[] }
  const tested = await gateway.admin.json<Tested>('POST', '/api/notifications/test')
  expect(tested.channels).toMatchObject([
    { name: 'email', ok: true, error: null },
    { name: 'webhook', ok: true, error: null },
  ])
  mail.password = 'another'
  const refused = await gateway.admin.json<Tested>('POST', '/api/notifications/test')
  expect(refused.channels[0]?.error).toMatch(/^mail server 127\.0\.0\.1:\d+: EAUTH: .*\*\*\*/)
  await mount('smtp', 'another')
  // It was refused with what the cache held: the secret is read again.
  const again = await gateway.admin.json<Tested>('POST', '/api/notifications/test')
  expect(again.channels[0]).toMatchObject({ ok: true })
  await entriesCome(gateway, 'notifications_tested', 3)
  await expectIncidents(0)
})

test('what is open, sent and waiting is in the metrics', async () => {
  const metrics = await bed.gateway.admin.metrics()
  expect(metrics.values('incidents_open', { kind: 'certificate_expiring' })).toEqual([1])
  expect(metrics.values('incidents_open', { kind: 'mirroring_error' })).toEqual([0])
  expect(metrics.sum('notifications_total', { channel: 'email', outcome: 'sent' })).toBeGreaterThan(8)
  expect(metrics.values('notifications_pending', { channel: 'email' })).toEqual([0])
})
