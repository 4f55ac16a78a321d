/** Collections, connections and mirrors by API: in force at once, and kept over restarts. */
import { expect, test } from 'vitest'
import { startCollector } from '../support/collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { ask, saltMirror } from '../support/resources.ts'
import { startUpstream } from '../support/upstream.ts'

const nowhere = 'http://127.0.0.1:9'

async function get(gateway: TestGateway, path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${gateway.port}${path}`)
}

async function created(gateway: TestGateway, kind: string, definition: object): Promise<string> {
  const answer = await ask(gateway, 'POST', `/api/${kind}`, { body: definition })
  expect(answer.status, answer.text).toBe(201)
  return answer.etag as string
}

test('what the API creates is in force at once, and after a reload and a restart', async () => {
  const upstream = await startUpstream()
  const collector = await startCollector()
  const config = mirrorConfig({ upstream: nowhere, collector: nowhere, collection: { hosts: ['file.test'] } })
  const gateway = await startTestGateway({ config })
  await created(gateway, 'connections', {
    name: 'api collector',
    base_url: collector.url,
    headers: { Authorization: 'Bearer made-by-api-canary' },
  })
  await created(gateway, 'mirrors', saltMirror('api-salt', 'api collector'))
  const collection = { name: 'api-orders', prefix: '/api-orders', upstreams: [{ url: upstream.url }] }
  const answer = await ask(gateway, 'POST', '/api/collections', {
    body: { ...collection, mirrors: ['api-salt'] },
  })
  expect([answer.status, answer.location]).toEqual([201, '/api/collections/api-orders'])
  expect(answer.json).toMatchObject({ name: 'api-orders', managed_by: 'api', created_by: 'admin-token' })

  expect((await get(gateway, '/api-orders/1')).status).toBe(200)
  await collector.pairOf('/api-orders/1')
  expect(collector.deliveries[0]?.headers['authorization']).toBe('Bearer made-by-api-canary')
  expect(await ask(gateway, 'POST', '/api/config/reload')).toMatchObject({ status: 200 })
  expect((await get(gateway, '/api-orders/2')).status).toBe(200)
  await collector.pairOf('/api-orders/2')

  const hash = (await gateway.admin.status()).config.hash
  expect(await gateway.stop()).toBe(0)
  const again = await startTestGateway({ config, folder: gateway.folder })
  expect((await again.admin.status()).config.hash).toBe(hash)
  expect((await get(again, '/api-orders/3')).status).toBe(200)
  await collector.pairOf('/api-orders/3')
  const mirror = await ask(again, 'GET', '/api/mirrors/api-salt')
  expect(mirror.json).toMatchObject({ managed_by: 'api', definition: { name: 'api-salt', timeout_ms: 2000 } })
})
