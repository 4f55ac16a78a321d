/** One endpoint of SALT refuses the token; it is mended in the secrets manager, after a kill. */
import { expect, test } from 'vitest'
import type { Fault } from '../support/collector.ts'
import { incidentComes, incidentsOf } from '../support/incidents.ts'
import { startMailServer } from '../support/mail-server.ts'
import { startSecretsBed } from '../secrets/bed.ts'
import { mailIsNoted, told } from './people.ts'

const tokens = { old: 'canary-old-2b7e', mended: 'canary-mended-91cc' }

/** 401 from one endpoint to who does not bring the token. */
const refusesAt = (path: string, token: string): Fault => ({
  onHead(request, response) {
    if (request.url !== path || request.headers.authorization === `Bearer ${token}`) return false
    request.resume()
    response.writeHead(401, { 'content-type': 'application/json' }).end('{"message":"Unauthorized"}')
    return true
  },
})

test('a 401 parks its leg alone and is told once; mended, nothing is lost and that is told', async () => {
  const mail = await startMailServer()
  const { vault, start } = await startSecretsBed({
    connection: { headers: { Authorization: 'Bearer ${secret:vault:kv/salt#token}' } },
    // No probe comes by itself while this test runs.
    mirror: { retry: { attempts: 2, min_wait_ms: 50, max_wait_ms: 200, probe_ms: 60_000 } },
    rest: { notifications: told(mail) },
  })
  vault.secrets.set('kv/salt', { token: tokens.old })
  const bed = await start()
  await bed.send(20)
  await bed.expectAllDelivered()

  bed.collector.fault = refusesAt('/responses', tokens.mended)
  const responsesWait = (waiting: number) =>
    bed.sees(`requests arrive, ${waiting} responses wait`, ({ legs: [requests, responses] }) => {
      if (requests?.state !== 'idle' || requests.counts.delivered !== bed.answered) return false
      return responses?.state === 'parked' && responses.counts.waiting === waiting
    })
  await bed.send(40)
  const parked = await responsesWait(40)
  expect(parked.legs[1]).toMatchObject({ last_response_code: 401, counts: { delivered: 20, dropped: {} } })
  const [opening] = await mail.mailsCome(1)
  expect(opening?.text).toMatch(/status: 401/)
  expect(opening?.text).toContain('traffic collector token')
  expect(opening?.text).toContain('${secret:vault:kv/salt#token}')

  await mailIsNoted(bed.gateway)
  await bed.gateway.kill9()
  await bed.restart()
  await bed.send(40)
  await responsesWait(80)
  expect(mail.subjects()).toHaveLength(1)

  vault.secrets.set('kv/salt', { token: tokens.mended })
  await bed.gateway.admin.call('POST', '/api/secrets_management/clear_cache')
  await bed.gateway.admin.replay('salt')
  await bed.expectAllDelivered()
  const closed = await incidentComes(bed.gateway, 'mirroring_error', 'closed')
  expect(closed.outcome).toMatchObject({ reason: 'recovered', replayed: 80, lost: 0, waiting: 0 })
  const [, closing] = await mail.mailsCome(2)
  expect(closing?.text).toContain('items replayed: 80')
  expect(closing?.headers.get('in-reply-to')).toBe(opening?.headers.get('message-id'))
  expect(await incidentsOf(bed.gateway)).toHaveLength(1)
  const said = [
    ...mail.mails.map(({ raw }) => raw),
    ...bed.gateway.logs().map((line) => JSON.stringify(line)),
  ]
  for (const token of Object.values(tokens)) expect(said.filter((text) => text.includes(token))).toEqual([])
}, 60_000)
