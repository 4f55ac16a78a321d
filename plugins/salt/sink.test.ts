/** The salt sink: conformance, and which leg goes where. */
import { expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import salt from './sink.ts'

sinkConformance({
  definition: salt,
  options: (url) => ({ request_url: `${url}/requests`, response_url: `${url}/responses` }),
  http: ({ body }) => JSON.parse(body.toString()),
})

test('requests and responses go to their own URLs under the base URL, as application/json', async () => {
  const collector = await startCollector()
  const { http, close } = createSinkHttp(target({}, { baseUrl: `${collector.url}/v1` }))
  const options = { request_url: '/requests', response_url: '/responses' }
  const sink = await salt.create(sinkContext(options, http))
  for (const leg of ['requests', 'responses']) {
    const batch = { id: leg, mirror: 'm', leg, items: 2, ndjson: Buffer.from('{"a":1}\n{"a":2}\n') }
    await sink.write(batch, AbortSignal.timeout(5000))
  }
  expect(
    collector.deliveries.map(({ path, headers, body }) => [path, headers['content-type'], body.toString()]),
  ).toEqual([
    ['/v1/requests', 'application/json', '[{"a":1},{"a":2}]'],
    ['/v1/responses', 'application/json', '[{"a":1},{"a":2}]'],
  ])
  await close()
  await collector.close()
})

test('its legs carry one half each', () => {
  const legs = salt.legs({ request_url: 'https://c.example/in?key=1', response_url: '/out' })
  expect(legs).toEqual([
    { name: 'requests', half: 'request', url: 'https://c.example/in' },
    { name: 'responses', half: 'response', url: '/out' },
  ])
})
