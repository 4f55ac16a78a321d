/** The http sink: conformance in both formats, and what a receiver sees of each. */
import { expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { target } from '../../test/conformance/target.ts'
import http from './sink.ts'

const parseLines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

sinkConformance({
  definition: http,
  options: (url) => ({ url: `${url}/in` }),
  http: ({ body }, format) =>
    format === 'ndjson' ? parseLines(body.toString()) : JSON.parse(body.toString()),
})

test.each([
  ['exchange', 'application/json', '[{"a":1},{"a":2}]'],
  ['ndjson', 'application/x-ndjson', '{"a":1}\n{"a":2}\n'],
] as const)('format %s arrives as %s', async (format, type, expected) => {
  const collector = await startCollector()
  const host = createSinkHttp(target())
  const sink = await http.create({
    mirror: 'm',
    options: { url: `${collector.url}/in?x=1` },
    format,
    http: host.http,
  })
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
