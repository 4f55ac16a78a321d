/** The webhook sink: conformance, and a receiver that is as strict as the rules that are public. */
import { expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { answer, type Behaviour, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import webhook from './sink.ts'

sinkConformance({
  definition: webhook,
  options: (url) => ({ endpoint: `${url}/audit-logs` }),
  http: ({ body }) =>
    body
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line)),
})

const authorization = 'Splunk example-token12234352535235'

/** Exactly this Authorization, at most 1 MiB, lines of text; 202. */
const receiver: Behaviour = (response, delivery) => {
  const { headers, body } = delivery
  if (headers.authorization !== authorization) return answer(401)(response, delivery)
  if (body.length > 1024 * 1024) return answer(413)(response, delivery)
  answer(headers['content-type'] === 'text/plain' ? 202 : 415)(response, delivery)
}

async function write(own: object, compression: 'none' | 'gzip' = 'gzip') {
  const collector = await startCollector()
  collector.behave(receiver)
  const options = { endpoint: `${collector.url}/audit-logs?key=1`, ...own }
  const host = createSinkHttp(target({ compression, options, secretOptions: ['authorization'] }))
  onEnd(async () => {
    await host.close()
    await collector.close()
  })
  const sink = await webhook.create(sinkContext(options, host.http, { format: 'ndjson' }))
  const ndjson = Buffer.from('CEF:0|a|b\n{"a":1}\n')
  await sink.write({ id: 'b', mirror: 'm', leg: 'events', items: 2, ndjson }, AbortSignal.timeout(5000))
  return collector
}

test('lines as they are, packed, with the Authorization as it stands', async () => {
  const { deliveries } = await write({ authorization })
  expect(deliveries[0]?.path).toBe('/audit-logs?key=1')
  expect(deliveries[0]?.headers['content-encoding']).toBe('gzip')
  expect(deliveries[0]?.body.toString(), 'unpacked').toBe('CEF:0|a|b\n{"a":1}\n')
})

test('another Authorization parks, and stands nowhere', async () => {
  const refused = write({ authorization: 'Splunk another-token-1' })
  await expect(refused).rejects.toMatchObject({ kind: 'unauthorized', status: 401 })
  await expect(refused).rejects.not.toThrow(/another-token/)
})
