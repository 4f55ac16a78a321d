/** Audit webhooks on a disk that takes no entry any more: their record and what delivers them stay one. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fillUp } from '../activity/fill.ts'
import { canMount, mountSmall } from '../faults/mount.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'

const MIB = 1024 * 1024
const portal = '3e551b39-0a6e-4a0b-9d7c-6f6f3a8d1c55'
const webhooks = ['/v3/audit-log-webhook', `/v3/portals/${portal}/audit-log-webhook`]
const config = { collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }] }

type Answer = Record<string, unknown>

async function call({ admin }: TestGateway, method: string, path: string, body?: object) {
  const { status, text } = await admin.call(method, path, body)
  return { status, json: (text === '' ? {} : JSON.parse(text)) as Answer }
}

/** What each side says of where lines go. */
async function stateOf(gateway: TestGateway, id: string) {
  const record = await call(gateway, 'GET', `/v3/audit-log-destinations/${id}`)
  const { json } = await call(gateway, 'GET', '/api/streams')
  const streams = (json['data'] as { definition: Answer }[]).map(({ definition }) => {
    const { name, endpoint, format, enabled } = definition
    return { name, endpoint, format, enabled }
  })
  return { record, streams, webhooks: await Promise.all(webhooks.map((path) => call(gateway, 'GET', path))) }
}

/** Every webhook of the destination goes where it says. */
async function expectOne(gateway: TestGateway, id: string, endpoint: string, format: string): Promise<void> {
  const { record, streams } = await stateOf(gateway, id)
  expect(record.json).toMatchObject({ endpoint, log_format: format })
  expect(streams).toMatchObject(webhooks.map(() => ({ endpoint, format })))
}

test.skipIf(!canMount)('no change is made by half (needs root to mount)', async () => {
  const folder = await tempDir()
  const data = join(folder, 'data')
  mountSmall(data, 32 * MIB)
  const gateway = await startTestGateway({ config, folder })
  const [old, next] = ['http://127.0.0.1:9/old', 'http://127.0.0.1:9/next']
  const wanted = { name: 'siem', authorization: 'Bearer x', endpoint: old, log_format: 'json' }
  const id = String((await call(gateway, 'POST', '/v3/audit-log-destinations', wanted)).json['id'])
  const configured = { audit_log_destination_id: id, enabled: true }
  for (const path of webhooks) expect((await call(gateway, 'PATCH', path, configured)).status).toBe(200)
  await expectOne(gateway, id, old, 'json')
  const before = await stateOf(gateway, id)

  // Entries are refused before the disk is full: what has none could still be written.
  const filler = await fillUp(data, MIB / 2)
  const moved = { endpoint: next, log_format: 'cps' }
  for (const [method, path, body] of [
    ['PATCH', `/v3/audit-log-destinations/${id}`, moved],
    ['PATCH', webhooks[0], { enabled: false }],
    ['DELETE', webhooks[1], undefined],
    ['POST', '/v3/audit-log-destinations', wanted],
  ] as const) {
    expect((await call(gateway, method, path ?? '', body)).status, `${method} ${path}`).toBe(507)
    expect(await stateOf(gateway, id)).toEqual(before)
  }
  const { json } = await call(gateway, 'GET', '/v3/audit-log-destinations')
  expect(json['data']).toHaveLength(1)

  await rm(filler)
  expect((await call(gateway, 'PATCH', `/v3/audit-log-destinations/${id}`, moved)).status).toBe(200)
  await gateway.kill9()
  const again = await startTestGateway({ config, folder })
  await expectOne(again, id, next, 'cps')
  for (const path of webhooks) expect((await call(again, 'DELETE', path)).status).toBe(204)
  expect((await call(again, 'DELETE', `/v3/audit-log-destinations/${id}`)).status).toBe(204)
  expect((await call(again, 'GET', '/api/connections')).json['data']).toEqual([])
})
