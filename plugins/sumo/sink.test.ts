/** The sumo sink: conformance, its headers, and an address that nobody sees. */
import { expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { answer, type Collector, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import sumo from './sink.ts'

const lines = (body: Buffer): unknown[] =>
  body
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

sinkConformance({
  definition: sumo,
  options: (url) => ({ url: `${url}/receiver/v1/http/secret-code` }),
  http: ({ body }) => lines(body),
})

const code = 'ZaVnC4dhaV2spqT2JdXz'
const never = new AbortController().signal
let collector: Collector

async function write(path: string, options: object = {}): Promise<void> {
  collector = await startCollector()
  onEnd(() => collector.close())
  collector.behave((response, delivery) =>
    answer(delivery.path === `/receiver/v1/http/${code}` ? 200 : 401)(response, delivery),
  )
  const own = { url: `${collector.url}${path}`, ...options }
  const host = createSinkHttp(target({ options: own, secretOptions: ['url'] }))
  onEnd(() => host.close())
  const sink = await sumo.create(sinkContext(own, host.http, { format: 'ndjson' }))
  const ndjson = Buffer.from('{"a":1}\n{"a":2}\n')
  await sink.write({ id: 'b', mirror: 'm', leg: 'messages', items: 2, ndjson }, never)
}

test('lines, with the headers of the source', async () => {
  await write(`/receiver/v1/http/${code}`, {
    source_name: 'gateway',
    source_host: 'gw-1',
    source_category: 'prod/api',
    fields: { team: 'x', tier: '1' },
  })
  const [delivery] = collector.deliveries
  expect(delivery?.body.toString()).toBe('{"a":1}\n{"a":2}\n')
  expect(delivery?.headers).toMatchObject({
    'content-type': 'text/plain; charset=utf-8',
    'x-sumo-name': 'gateway',
    'x-sumo-host': 'gw-1',
    'x-sumo-category': 'prod/api',
    'x-sumo-fields': 'team=x,tier=1',
  })
})

test('a wrong address parks, and is not shown', async () => {
  const refused = write('/receiver/v1/http/wrong-code-1234')
  await expect(refused).rejects.toMatchObject({ kind: 'unauthorized', status: 401 })
  await expect(refused).rejects.not.toThrow(/wrong-code/)
})

test('people see the host alone, and not even that of a reference', () => {
  const urlOf = (url: string) => sumo.legs({ url })[0]?.url
  expect(urlOf(`https://endpoint4.collection.sumologic.com/receiver/v1/http/${code}`)).toBe(
    'https://endpoint4.collection.sumologic.com',
  )
  expect(urlOf('${secret:vault:kv/sumo#url}')).toBe('https://(secret)')
})
