/** The datadog sink: conformance, what the intake sees, and the limits that it would not complain about. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { answer, type Collector, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import datadog from './sink.ts'

interface Log {
  readonly message: string
  readonly ddtags?: string
  readonly [key: string]: unknown
}

const logs = (body: Buffer): Log[] => JSON.parse(body.toString())
const plain = (message: string) => JSON.parse(message.replace(/^late event /, ''))

const defaults = { site: 'datadoghq.com', source: 'mirrorgate', tags: [] }

sinkConformance({
  definition: datadog,
  options: (url) => ({ ...defaults, url: `${url}/api/v2/logs` }),
  http: ({ body }) => logs(body).map(({ message }) => plain(message)),
})

const never = new AbortController().signal
let collector: Collector

describe('towards datadog', () => {
  beforeEach(async () => {
    collector = await startCollector()
    collector.behave((response, { headers, body }) => {
      if (headers['dd-api-key'] !== 'dd-key-1') return answer(403)(response, undefined as never)
      if (body.length > 5_000_000 || logs(body).length > 1000)
        return answer(413)(response, undefined as never)
      answer(202, {}, '{}')(response, undefined as never)
    })
    afterEach(() => collector.close())
  })
  async function write(ndjson: string, options: object = {}): Promise<void> {
    const host = createSinkHttp(target())
    onEnd(() => host.close())
    const own = { ...defaults, url: `${collector.url}/api/v2/logs`, api_key: 'dd-key-1', ...options }
    const sink = await datadog.create(sinkContext(own, host.http))
    const items = ndjson.split('\n').length - 1
    await sink.write({ id: 'b', mirror: 'm', leg: 'logs', items, ndjson: Buffer.from(ndjson) }, never)
  }

  test('each event is a message with what the mirror says of all', async () => {
    const ts = new Date().toISOString()
    await write(`{"ts":"${ts}","a":"\\"1\\""}\nCEF:0|x\n`, {
      service: 'orders',
      hostname: 'gw-1',
      tags: ['env:prod', 'team:x'],
    })
    const common = { ddsource: 'mirrorgate', hostname: 'gw-1', service: 'orders', ddtags: 'env:prod,team:x' }
    expect(logs((collector.deliveries[0] as { body: Buffer }).body)).toEqual([
      { ...common, message: `{"ts":"${ts}","a":"\\"1\\""}` },
      { ...common, message: 'CEF:0|x' },
    ])
  })

  test('what is older than the intake keeps comes as text of now, and says that it is late', async () => {
    await write('{"timestamp":"2024-06-18 19:17:31 UTC"}\n')
    expect(logs((collector.deliveries[0] as { body: Buffer }).body)).toEqual([
      {
        ddsource: 'mirrorgate',
        ddtags: 'late:true',
        message: 'late event {"timestamp":"2024-06-18 19:17:31 UTC"}',
      },
    ])
  })

  test('a log that would be cut in silence is not sent', async () => {
    const line = `{"a":"${'"'.repeat(0)}${'\\"'.repeat(300_000)}"}\n`
    expect(line.length, 'within the limit before its quotes are escaped').toBeLessThan(1_000_000)
    await expect(write(line)).rejects.toMatchObject({ kind: 'too_large' })
    expect(collector.deliveries).toEqual([])
  })

  test('a wrong key parks, and stands nowhere', async () => {
    const refused = write('{"a":1}\n', { api_key: 'dd-key-2' })
    await expect(refused).rejects.toMatchObject({ kind: 'unauthorized', status: 403 })
    await expect(refused).rejects.not.toThrow(/dd-key-2/)
  })

  test('the address follows the site', () => {
    const [leg] = datadog.legs({ ...defaults, site: 'us5.datadoghq.com' })
    expect(leg?.url).toBe('https://http-intake.logs.us5.datadoghq.com/api/v2/logs')
  })
})
