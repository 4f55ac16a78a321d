/** Values of secrets show up nowhere but where they are sent: every other place is searched for them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { filesUnder } from '../support/files.ts'
import { answerJson } from '../../demo/collector.ts'
import type { Bed } from '../faults/bed.ts'
import { startSecretsBed } from './bed.ts'

const canary = (what: string) => `canary-${what}-5d41402abc4b`
const values = {
  header: canary('header'),
  basic: Buffer.from(`user:${canary('basic')}`).toString('base64'),
  basicDecoded: canary('basic'),
  quoted: canary('quoted'),
  mounted: canary('mounted'),
  workato: canary('workato'),
  environment: canary('environment'),
  neverRead: canary('never-read'),
  host: canary('host'),
  tokenOfVault: '',
}

async function everythingSaid(bed: Bed): Promise<Map<string, string>> {
  const { admin } = bed.gateway
  const places = new Map<string, string>()
  places.set('mirrored', JSON.stringify(bed.collector.deliveries.map(({ items }) => items)))
  const paths = [
    ...['/api/status', '/api/collections', '/api/connections', '/api/connections/collector', '/api/mirrors'],
    ...['/api/mirrors/salt', '/api/mirrors/salt/dead-letters', '/api/openapi.json', '/metrics', '/readyz'],
    ...['/api/activity_logs', '/api/activity_logs/export?format=ndjson', '/api/config/export'],
  ]
  for (const path of paths) {
    const { status, text } = await admin.call('GET', path)
    expect(status, path).toBe(200)
    places.set(path, text)
  }
  for (const path of [
    ...['/api/mirrors/salt/test', '/api/config/check', '/api/config/reload', '/api/mirrors/salt/replay'],
    '/api/secrets_management/clear_cache',
  ]) {
    places.set(`POST ${path}`, (await admin.call('POST', path)).text)
  }
  return places
}

function leaksIn(places: ReadonlyMap<string, string>): string[] {
  return [...places].flatMap(([place, text]) =>
    Object.entries(values)
      .filter(([, value]) => text.includes(value))
      .map(([name]) => `${name} in ${place}`),
  )
}

test('no value of a secret leaves by collector items, log, admin port, metrics or disk', async () => {
  const { vault, mount, start } = await startSecretsBed({
    connection: {
      headers: {
        Authorization: 'Bearer ${secret:vault:kv/salt#header}',
        'X-Basic': 'Basic ${secret:vault:kv/salt#basic}',
        'X-Quoted': 'sign(${secret:vault:kv/salt#quoted}); v=1',
        'X-Mounted': '${secret:mounted:salt/token}',
        'X-Workato': '{{workato:sm:workato:kv:salt}}',
        'X-Environment': '${secret:env:CANARY}',
      },
    },
    env: { CANARY: values.environment },
    rest: { logging: { level: 'trace', format: 'json' } },
  })
  values.tokenOfVault = vault.credentials.token
  const { header, basic, quoted, workato, neverRead } = values
  vault.secrets.set('kv/salt', { header, basic, quoted, workato, neverRead })
  await mount.put('salt', { token: `${values.mounted}\n` })
  const bed = await start()
  // It repeats every credential that it was sent, in each kind of refusal.
  let status = 400
  bed.collector.fault = {
    onDelivery: (delivery, _request, response) => {
      if (delivery.items.length === 0) return 'normal'
      answerJson(response, status, { got: delivery.headers })
      return 'refused'
    },
  }
  await bed.send(2)
  await bed.sees('dead letters', ({ counts }) => counts.dead_lettered === 4)
  status = 503
  await bed.send(2)
  await bed.sees('retrying', ({ legs }) => legs.every((leg) => leg.last_response_code === 503))
  const while503 = await everythingSaid(bed)
  status = 401
  await bed.gateway.admin.call('POST', '/api/mirrors/salt/replay')
  await bed.sees('parked', ({ state }) => state === 'parked')
  const while401 = await everythingSaid(bed)

  // A host and a value that can be no header: both are in errors of the connection itself.
  vault.secrets.set('kv/salt', { header: `${header}\n`, basic, quoted, workato })
  const broken = JSON.stringify(bed.config).replace(bed.collector.url, 'http://${secret:vault:kv/place#host}')
  await bed.gateway.rewrite({ config: JSON.parse(broken) })
  vault.secrets.set('kv/place', { host: `${values.host}.invalid:9` })
  expect((await bed.gateway.admin.call('POST', '/api/config/reload')).status).toBe(200)
  await bed.gateway.admin.call('POST', '/api/secrets_management/clear_cache')
  await bed.sees('refused as it is', ({ legs }) =>
    legs.every(({ last_error }) => last_error?.includes('holds a character that HTTP forbids') === true),
  )
  vault.secrets.set('kv/salt', { header, basic, quoted, workato })
  await bed.gateway.admin.call('POST', '/api/secrets_management/clear_cache')
  await bed.sees('no such host', ({ legs }) =>
    legs.every(({ last_error }) => last_error?.includes('***') === true),
  )
  const whileBroken = await everythingSaid(bed)

  expect(bed.collector.deliveries[0]?.headers).toMatchObject({
    authorization: `Bearer ${header}`,
    'x-basic': `Basic ${basic}`,
    'x-workato': workato,
  })
  expect(while503.get('/api/mirrors/salt/dead-letters')).toContain('***')
  await bed.gateway.stop()
  const places = new Map([['log', bed.gateway.process.output()]])
  for (const file of await filesUnder(bed.gateway.folder))
    places.set(join('folder', file), await readFile(file, 'latin1'))
  for (const said of [while503, while401, whileBroken, places]) expect(leaksIn(said)).toEqual([])
})
