/** The http sink: conformance in all formats, and what a receiver sees of each. */
import { expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { version } from '../../src/contract/version.ts'
import { startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import http from './sink.ts'

const parseLines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

sinkConformance({
  definition: http,
  options: (url) => ({ url: `${url}/in` }),
  http: ({ body }, format) => {
    if (format === 'ndjson') return parseLines(body.toString())
    const document = JSON.parse(body.toString())
    return document.log?.entries ?? document.batchData ?? document
  },
})

const harStart = `{"log":{"version":"1.2","creator":{"name":"mirrorgate","version":"${version}"},"entries":[`

test.each([
  ['exchange', 'application/json', '[{"a":1},{"a":2}]'],
  ['ndjson', 'application/x-ndjson', '{"a":1}\n{"a":2}\n'],
  ['har', 'application/json', `${harStart}{"a":1},{"a":2}]}}`],
  ['akto', 'application/json', '{"batchData":[{"a":1},{"a":2}]}'],
  ['template', 'application/json', '[{"a":1},{"a":2}]'],
] as const)('format %s arrives as %s', async (format, type, expected) => {
  const collector = await startCollector()
  const host = createSinkHttp(target())
  const sink = await http.create(sinkContext({ url: `${collector.url}/in?x=1` }, host.http, { format }))
  const batch = {
    id: 'b',
    mirror: 'm',
    leg: 'exchanges',
    items: 2,
    ndjson: Buffer.from('{"a":1}\n{"a":2}\n'),
  }
  await sink.write(batch, AbortSignal.timeout(5000))
  const [delivery] = collector.deliveries
  expect(delivery?.path).toBe('/in?x=1')
  expect(delivery?.headers['content-type']).toBe(type)
  expect(delivery?.body.toString()).toBe(expected)
  await host.close()
  await collector.close()
})
