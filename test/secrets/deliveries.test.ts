/** Secrets in deliveries: real gateways and a real collector, a fake Vault, a folder of mounted files. */
import { beforeAll, describe, expect, test } from 'vitest'
import type { Bed } from '../faults/bed.ts'
import type { FakeVault } from '../support/secrets/vault.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'
import { startSecretsBed, wants } from './bed.ts'

const authorizations = (bed: Bed, header = 'authorization') =>
  new Set(bed.collector.deliveries.map(({ headers }) => headers[header]))

async function statusOf(bed: Bed) {
  const { text } = await bed.gateway.admin.call('GET', '/api/status')
  return JSON.parse(text) as {
    secrets: { entries: number; providers: { name: string; state: string; last_error: string | null }[] }
  }
}

/** What the activity log says of secrets that were read again. */
async function refreshed(bed: Bed) {
  const page = '/api/activity_logs?include_event_types[]=secret_refreshed'
  const { data } = JSON.parse((await bed.gateway.admin.call('GET', page)).text) as {
    data: { resource: { name: string }; details: { changed: boolean; refused_for?: string } }[]
  }
  return data.map(({ resource, details }) => [resource.name, details.changed, details.refused_for])
}

test('every form of a reference reaches the collector as its value', async () => {
  const { vault, mount, start } = await startSecretsBed({
    connection: {
      headers: {
        Authorization: 'Basic ${secret:vault:kv/salt#token}',
        'X-Workato': '{{workato:sm:second:kv:salt}}',
        'X-Whole': '${secret:mounted:salt/token}',
        'X-Field': 'a=${secret:mounted:salt/json#field}; b=${secret:env:FROM_ENV}; c=${env:PLAIN} $5',
      },
    },
    env: { FROM_ENV: 'of-the-environment', PLAIN: 'plain' },
  })
  vault.secrets.set('kv/salt', { token: 'of-vault', second: 'of-workato' })
  await mount.put('salt', { token: 'of-the-mount\n', json: '{"field": "of-json"}' })
  const bed = await start()
  await bed.send(20)
  await bed.expectAllDelivered()
  const [delivery] = bed.collector.deliveries
  expect(delivery?.headers).toMatchObject({
    authorization: 'Basic of-vault',
    'x-workato': 'of-workato',
    'x-whole': 'of-the-mount',
    'x-field': 'a=of-json; b=of-the-environment; c=plain $5',
  })
  const reads = vault.asked.filter(({ url }) => url.pathname === '/v1/kv/data/salt')
  expect(reads.length, 'one read for each of the two, for both legs and all batches').toBe(2)
  const { secrets } = await statusOf(bed)
  expect(secrets.entries).toBe(5)
  expect(secrets.providers.map(({ name, state }) => [name, state])).toEqual([
    ['vault', 'ok'],
    ['mounted', 'ok'],
    ['env', 'ok'],
  ])
  const { text } = await bed.gateway.admin.call('GET', '/metrics')
  expect(text).toContain('mirrorgate_secrets_cache_entries 5')
  expect(text).toContain('mirrorgate_secret_reads_total{provider="vault",result="ok"} 2')
})

test('a base URL may be a secret: deliveries go below it, and nobody sees it', async () => {
  const { vault, start } = await startSecretsBed({
    connection: { base_url: '${secret:vault:kv/salt#url}/in', headers: {} },
    mirror: { sink: 'http', request_url: undefined, response_url: undefined, url: '/events' },
  })
  const bed = await start()
  const place = await startUpstream()
  place.handler = (request, response) => {
    request.resume()
    response.end('{}')
  }
  vault.secrets.set('kv/salt', { url: `${place.url}/base` })
  await bed.send(5)
  await until(() => place.received.length > 0, { what: 'a delivery below the secret base' })
  expect(place.received.map(({ url }) => url)).toContain('/base/in/events')
  const view = await bed.view()
  expect(view.legs[0]?.url, 'what people see holds no secret').toBe('/events')
})

test('a collector that refuses what it is given: asked twice, then parked; a rotation is found', async () => {
  const { vault, start } = await startSecretsBed({
    connection: { headers: { Authorization: 'Bearer ${secret:vault:kv/salt#token}' } },
    mirror: {
      ...{ sink: 'http', request_url: undefined, response_url: undefined, url: '/requests' },
      // No probe comes by itself while this test runs.
      retry: { attempts: 2, min_wait_ms: 100, max_wait_ms: 500, probe_ms: 60_000 },
    },
  })
  vault.secrets.set('kv/salt', { token: 'refused' })
  const bed = await start()
  const { admin } = bed.gateway
  bed.collector.fault = wants('authorization', () => 'Bearer accepted')
  await bed.send(1)
  const parked = await bed.sees('parked', ({ state }) => state === 'parked')
  expect(parked.legs[0]).toMatchObject({ last_response_code: 401, durable_items: 1, attempts: 1 })
  expect(bed.collector.posts, 'once, and once more with what was read again').toBe(2)
  await admin.call('POST', '/api/mirrors/salt/replay')
  await bed.sees('refused again', ({ legs }) => legs[0]?.attempts === 2 && legs[0].next_attempt_at !== null)
  expect(bed.collector.posts, 'the same values are not sent twice again').toBe(3)
  expect(await refreshed(bed)).toEqual([['${secret:vault:kv/salt#token}', false, 'salt']])

  vault.secrets.set('kv/salt', { token: 'accepted' })
  await admin.call('POST', '/api/secrets_management/clear_cache')
  await bed.sees('delivered', ({ counts }) => counts.delivered === 1 && counts.waiting === 0)
})

test('a secret that cannot be read holds deliveries back, says which and why, loses nothing', async () => {
  const { vault, start } = await startSecretsBed({
    connection: { headers: { Authorization: 'Bearer ${secret:vault:kv/salt#token}' } },
  })
  vault.secrets.set('kv/salt', { token: 'here', other: 'x' })
  vault.denied.add('kv/salt')
  const bed = await start()
  await bed.send(4)
  const held = await bed.sees('held back', ({ legs }) => legs.every(({ last_error }) => last_error !== null))
  for (const leg of held.legs) {
    expect(leg.last_error).toMatch(/^reading \$\{secret:vault:kv\/salt#token\}: denied: /)
    expect(leg).toMatchObject({ last_response_code: null, counts: { waiting: 4, dropped: {} } })
  }
  expect(bed.collector.posts, 'nothing was sent without it').toBe(0)
  const { secrets } = await statusOf(bed)
  expect(secrets.providers[0]).toMatchObject({ name: 'vault', state: 'failing' })
  const tried = await bed.gateway.admin.call('POST', '/api/mirrors/salt/test')
  expect(JSON.parse(tried.text).legs[0]).toMatchObject({ ok: false, status: null })

  vault.denied.delete('kv/salt')
  await bed.expectAllDelivered()
})

test('a mounted secret that is swapped is used by the next delivery, without clearing anything', async () => {
  const { mount, start } = await startSecretsBed({
    connection: { headers: { Authorization: 'Bearer ${secret:mounted:salt/token}' } },
  })
  await mount.put('salt', { token: 'first' })
  const bed = await start()
  await bed.send(1)
  await bed.expectAllDelivered()
  for (const token of ['second', 'third']) {
    await mount.put('salt', { token })
    await until(
      async () => {
        await bed.send(1)
        return authorizations(bed).has(`Bearer ${token}`)
      },
      { what: `a delivery with the ${token} token` },
    )
  }
  await bed.expectAllDelivered()
})

describe('one gateway, one secret', () => {
  let vault: FakeVault
  let bed: Bed
  beforeAll(async () => {
    const open = await startSecretsBed({
      connection: { headers: { Authorization: 'Bearer ${secret:vault:kv/salt#token}' } },
    })
    vault = open.vault
    vault.secrets.set('kv/salt', { token: 'first', other: 'of-the-other-key' })
    bed = await open.start()
  })

  /** Authorizations of the deliveries of one more exchange. */
  async function nextDelivery(): Promise<Set<unknown>> {
    const before = bed.collector.deliveries.length
    await bed.send(2)
    await bed.expectAllDelivered()
    const after = bed.collector.deliveries.slice(before)
    return new Set(after.map(({ headers }) => headers['authorization']))
  }

  test('clear_cache, as it is printed: the next delivery uses what is there now', async () => {
    expect(await nextDelivery()).toEqual(new Set(['Bearer first']))
    vault.secrets.set('kv/salt', { token: 'second', other: 'of-the-other-key' })
    expect(await nextDelivery(), 'from the cache').toEqual(new Set(['Bearer first']))

    const { status, text } = await bed.gateway.admin.call('POST', '/api/secrets_management/clear_cache')
    expect([status, text]).toEqual([200, '{"success":true}'])
    expect(await nextDelivery()).toEqual(new Set(['Bearer second']))

    const page = '/api/activity_logs?include_event_types[]=secrets_cache_cleared'
    const log = JSON.parse((await bed.gateway.admin.call('GET', page)).text)
    expect(log.data[0]).toMatchObject({ resource: { type: 'Secret' } })
  })

  test('a collector that wants the rotated token gets it at once: nothing parks', async () => {
    vault.secrets.set('kv/salt', { token: 'third', other: 'of-the-other-key' })
    bed.collector.fault = wants('authorization', () => 'Bearer third')
    expect(await nextDelivery()).toEqual(new Set(['Bearer third']))
    bed.collector.fault = null
    for (const leg of (await bed.view()).legs) {
      expect(leg).toMatchObject({ last_response_code: 200, last_error: null })
    }
    expect(bed.gateway.logs().filter(({ msg }) => msg?.startsWith('mirror parked'))).toEqual([])
    const change = ['${secret:vault:kv/salt#token}', true, undefined]
    expect(await refreshed(bed), 'when it was cleared, and when it was refused').toEqual([change, change])
  })

  test('a reload that names another secret is used by the next delivery', async () => {
    const text = JSON.stringify(bed.config).replace('kv/salt#token', 'kv/salt#other')
    await bed.gateway.rewrite({ config: JSON.parse(text) })
    expect((await bed.gateway.admin.call('POST', '/api/config/reload')).status).toBe(200)
    expect(await nextDelivery()).toEqual(new Set(['Bearer of-the-other-key']))
  })
})
