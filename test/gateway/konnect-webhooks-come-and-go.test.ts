/** Audit webhooks that come and go: what is taken off is gone, and portals are not the organization. */
import { beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'

let gateway: TestGateway
let destination: string

beforeAll(async () => {
  gateway = await startTestGateway({
    config: { collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }] },
    shared: true,
  })
  const wanted = { name: 'd', endpoint: 'https://127.0.0.1:9/', authorization: 'Splunk x', log_format: 'cef' }
  destination = String((await call('POST', '/v3/audit-log-destinations', wanted)).json['id'])
})

async function call(method: string, path: string, body?: object) {
  const { status, text } = await gateway.admin.call(method, path, body)
  return { status, json: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

const unset = { audit_log_destination_id: '', enabled: false, updated_at: '0001-01-01T00:00:00Z' }

test('a webhook whose destination is taken off reads as one that never was, and takes no place', async () => {
  const enabled = { audit_log_destination_id: destination, enabled: true }
  for (let at = 0; at <= limits.audit_webhooks_max; at += 1) {
    const path = `/v3/portals/portal-${at}/audit-log-webhook`
    expect(await call('PATCH', path, enabled), path).toMatchObject({ status: 200, json: enabled })
    expect((await call('DELETE', path)).status).toBe(204)
  }
  const portal = '/v3/portals/portal-0'
  const moment = new Date().toISOString()
  await call('PATCH', `${portal}/audit-log-webhook`, enabled)
  const window = { start_at: moment, end_at: moment }
  expect(await call('PUT', `${portal}/audit-log-replay-job`, window)).toMatchObject({ status: 202 })
  await call('DELETE', `${portal}/audit-log-webhook`)
  expect((await call('GET', `${portal}/audit-log-webhook`)).json).toEqual(unset)
  expect((await call('PATCH', `${portal}/audit-log-webhook`, {})).json).toEqual(unset)
  const job = await call('GET', `${portal}/audit-log-replay-job`)
  expect(job.json).toMatchObject({ status: 'unconfigured', start_at: unset.updated_at })
  const { json } = await call('GET', `${portal}/audit-log-webhook/status`)
  expect(json).toMatchObject({ webhook_status: 'unconfigured', webhook_enabled: false })
})

test('no portal is the organization, whatever it is called', async () => {
  const enabled = { audit_log_destination_id: destination, enabled: true }
  expect((await call('PATCH', '/v3/audit-log-webhook', enabled)).status).toBe(200)
  for (const name of ['organization', 'Organization']) {
    const path = `/v2/portals/${name}`
    for (const [method, rest] of [
      ['GET', 'audit-log-webhook'],
      ['DELETE', 'audit-log-webhook'],
      ['GET', 'audit-log-webhook/status'],
      ['GET', 'audit-log-replay-job'],
    ] as const)
      expect(await call(method, `${path}/${rest}`), `${method} ${path}/${rest}`).toMatchObject({
        status: 400,
        json: {
          invalid_parameters: [{ field: 'portalId', reason: `must not be organization, got ${name}` }],
        },
      })
  }
  expect((await call('GET', '/v3/audit-log-webhook')).json).toMatchObject(enabled)
})
