/** A stream to Azure Monitor through a real gateway: halves, a role that goes and comes, dead letters. */
import { expect, test } from 'vitest'
import { onEnd } from '../../test/support/cleanup.ts'
import { startTestGateway } from '../../test/support/gateway.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import { startFakeMonitor } from '../../test/support/stores/azure-monitor.ts'
import { startFakeEntra } from '../../test/support/entra.ts'
import { streamView } from '../../test/support/streams.ts'
import { until } from '../../test/support/wait.ts'

test('events arrive once and in order; a person reads why one did not, and never the secret', async () => {
  const entra = await startFakeEntra('https://monitor.azure.com')
  onEnd(entra.close)
  const monitor = await startFakeMonitor(entra)
  onEnd(monitor.close)
  const { url: authority_host, tenant: tenant_id, clientId: client_id, clientSecret } = entra
  const { url: endpoint, rule: rule_id, stream } = monitor
  const to = {
    ...{ sink: 'azure-monitor', connection: 'Azure', endpoint, rule_id, stream, authority_host },
    ...{ tenant_id, client_id, client_secret: '${env:AZURE_SECRET}' },
    batch: { max_wait_ms: 20, compression: 'gzip' },
    retry: { attempts: 2, min_wait_ms: 50, max_wait_ms: 200, probe_ms: 100 },
  }
  const gateway = await startTestGateway({
    config: {
      collections: [{ name: 'orders', upstreams: [{ url: 'http://127.0.0.1:9' }] }],
      connections: [{ name: 'Azure', tls: { ca_file: caFile } }],
      streams: [
        { name: 'raw', events: ['deploy'], ...to },
        { name: 'fields', events: ['release'], columns: 'event', ...to },
      ],
    },
    env: { AZURE_SECRET: clientSecret },
  })
  const post = async (events: readonly object[]) =>
    expect((await gateway.admin.call('POST', '/api/events', events)).status).toBe(202)
  const settled = (name: string, delivered: number) =>
    until(async () => (await streamView(gateway, name)).counts.delivered === delivered, { what: name })

  // Every quote is two bytes more in a row than in the event: more than a call takes.
  const events = Array.from({ length: 300 }, (_, n) => ({ type: 'deploy', n, text: '"'.repeat(1500) }))
  await post(events)
  await settled('raw', 300)
  const numbers = () => monitor.rows.map(({ RawData }) => JSON.parse(String(RawData)).n)
  expect(numbers()).toEqual(events.map(({ n }) => n))
  const ids = monitor.asked.map(({ headers }) => String(headers['x-mirrorgate-batch-id']))
  expect(
    ids.some((id) => /\.\d+-\d+$/.test(id)),
    `a half among ${ids.join(', ')}`,
  ).toBe(true)

  monitor.permitted = false
  await post([{ type: 'deploy', n: 300 }])
  const parked = await until(
    async () => {
      const view = await streamView(gateway, 'raw')
      return view.state === 'parked' && view
    },
    { what: 'the stream is parked' },
  )
  expect(parked.legs[0]?.last_error).toMatch(/give the application the role Monitoring Metrics Publisher/)
  monitor.permitted = true
  await settled('raw', 301)
  expect(numbers()).toHaveLength(301)

  monitor.rows.length = 0
  await post([0, 70_000, 1].map((length, n) => ({ type: 'release', n, text: 'x'.repeat(length) })))
  await settled('fields', 2)
  expect(monitor.rows.map(({ n }) => n)).toEqual([0, 2])
  const dead = await gateway.admin.call('GET', '/api/streams/fields/dead-letters')
  expect(dead.text).toContain('column text must be at most 64000 bytes, got 70000: set columns to raw')

  const shown = await gateway.admin.call('GET', '/api/streams')
  const logged = JSON.stringify(gateway.logs())
  expect(`${shown.text}${dead.text}${logged}`).not.toContain(clientSecret)
})
