/** The azure-monitor sink: conformance over both APIs, rows and their limits, tokens, refusals. */
import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import type { Target } from '../../src/contract/tasks.ts'
import { answer, hang, startCollector } from '../../test/conformance/collector.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { sinkContext, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import { type FakeMonitor, type Row, startFakeMonitor } from '../../test/support/stores/azure-monitor.ts'
import { type FakeEntra, startFakeEntra } from '../../test/support/entra.ts'
import azure from './sink.ts'

type Options = Parameters<typeof azure.create>[0]['options']

const never = new AbortController().signal
const tls = { ca_file: caFile, verify: true }

let entra: FakeEntra
let monitor: FakeMonitor

beforeAll(async () => {
  entra = await startFakeEntra('https://monitor.azure.com')
  monitor = await startFakeMonitor(entra)
})
afterAll(async () => {
  await monitor.close()
  await entra.close()
})
beforeEach(() => {
  entra.behave(null)
  monitor.behave(null)
  Object.assign(monitor, { permitted: true, columns: null })
  Object.assign(entra, { lifetime_s: 3600 })
  monitor.rows.length = 0
  monitor.asked.length = 0
  entra.asked.length = 0
})

const reach = (more: Partial<Options> = {}): Options => ({
  api: 'logs_ingestion',
  columns: 'raw',
  audience: 'https://monitor.azure.com',
  endpoint: monitor.url,
  rule_id: monitor.rule,
  stream: monitor.stream,
  tenant_id: entra.tenant,
  client_id: entra.clientId,
  client_secret: entra.clientSecret,
  authority_host: entra.url,
  ...more,
})

async function open(options: Options, compression: Target['compression'] = 'none') {
  const host = createSinkHttp(target({ options, secretOptions: ['client_secret'], compression }, { tls }))
  onEnd(() => host.close())
  return azure.create(sinkContext(options, host.http, { compression }))
}

const batch = (lines: readonly (object | string)[], id = 'batch-1') => ({
  id,
  mirror: 'audit-azure',
  leg: 'rows',
  items: lines.length,
  ndjson: Buffer.from(
    lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''),
  ),
})

const sample = { id: 7, event_type: 'user_login', timestamp: '2026-11-21T08:00:00.123Z' }

/** Events as a query puts them together again. */
function whole(rows: readonly Row[]): string[] {
  const texts = new Map<unknown, string>()
  for (const { EventId, RawData } of rows) texts.set(EventId, `${texts.get(EventId) ?? ''}${RawData}`)
  return [...texts.values()]
}

sinkConformance({
  definition: azure,
  options: () => reach(),
  http: { because: 'it signs in to Azure first' },
  tls,
  // Each test of the suite begins with an empty table.
  stored: async () => monitor.rows.map(({ RawData }) => JSON.parse(String(RawData))),
})

const collectorOptions = (endpoint: string): Options => ({
  api: 'data_collector',
  columns: 'raw',
  audience: 'https://monitor.azure.com',
  endpoint,
  workspace_id: '11111111-2222-4333-8444-555555555555',
  shared_key: Buffer.from('a key of a workspace').toString('base64'),
  log_type: 'Audit',
})

// The retired API speaks plain HTTP: the whole suite, whose connection stands in for the signature.
sinkConformance({
  definition: azure,
  options: collectorOptions,
  http: ({ body }) => JSON.parse(body.toString()).map(({ EventText }: Row) => JSON.parse(String(EventText))),
})

describe('rows', () => {
  test('the whole event as text, with its time and its name', async () => {
    const sink = await open(reach(), 'gzip')
    await sink.write(batch([sample, 'CEF:0|a|b'], 'b.4-6'), never)
    expect(monitor.rows).toEqual([
      {
        TimeGenerated: sample.timestamp,
        EventId: 'b-4',
        Part: 1,
        Parts: 1,
        RawData: JSON.stringify(sample),
      },
      { TimeGenerated: expect.any(String), EventId: 'b-5', Part: 1, Parts: 1, RawData: 'CEF:0|a|b' },
    ])
    const [asked] = monitor.asked
    expect(asked?.headers).toMatchObject({ 'content-encoding': 'gzip', 'x-mirrorgate-batch-id': 'b.4-6' })
  })

  test.each(['x', 'é', '€', '💥'])(
    'an event longer than a value may be loses nothing: %s',
    async (letter) => {
      const event = { ...sample, text: letter.repeat(150_000 / Buffer.byteLength(letter)) }
      await (await open(reach())).write(batch([event, sample]), never)
      expect(monitor.rows.map(({ Part, Parts }) => [Part, Parts])).toEqual([
        [1, 3],
        [2, 3],
        [3, 3],
        [1, 1],
      ])
      expect(whole(monitor.rows)).toEqual([event, sample].map((one) => JSON.stringify(one)))
    },
  )

  test('fields as columns, but for names that Azure keeps for itself or does not take', async () => {
    const event = {
      ...sample,
      Type: 'a',
      TimeGenerated: 'b',
      'user-name': 'c',
      '7th': 1,
      ['x'.repeat(60)]: 2,
      inner: { a: [null] },
    }
    await (await open(reach({ columns: 'event' }))).write(batch([event, 'CEF:0|a|b']), never)
    expect(monitor.rows).toEqual([
      {
        TimeGenerated: sample.timestamp,
        field_id: 7,
        event_type: 'user_login',
        timestamp: sample.timestamp,
        field_Type: 'a',
        field_TimeGenerated: 'b',
        user_name: 'c',
        field_7th: 1,
        ['x'.repeat(45)]: 2,
        inner: { a: [null] },
      },
      expect.objectContaining({ RawData: 'CEF:0|a|b' }),
    ])
  })

  test.each([
    [
      'a value that Azure would cut',
      { a: 'x'.repeat(64_001) },
      'too_large',
      /^column a must be at most 64000/,
    ],
    [
      'an object that Azure would cut',
      { a: { b: 'x'.repeat(64_000) } },
      'too_large',
      /^column a must be at most/,
    ],
    ['two fields with one name', { 'a-b': 1, a_b: 2 }, 'rejected', /^two fields of an event are column a_b$/],
  ])('%s is refused before it is sent, and the dead letter says why', async (_what, event, kind, said) => {
    const sink = await open(reach({ columns: 'event' }))
    await expect(sink.write(batch([event]), never)).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(said),
      answer: expect.stringMatching(said),
    })
    expect(monitor.asked).toHaveLength(0)
  })

  test('an event that nests too deep for columns is text', async () => {
    // Names that are numbers: they are written again in another way than others.
    const deep = `{"deep":${'{"1":'.repeat(9000)}1${'}'.repeat(9000)}}`
    const sink = await open(reach({ columns: 'event' }))
    await sink.write({ ...batch([]), items: 1, ndjson: Buffer.from(`${deep}\n`) }, never)
    expect(monitor.rows).toMatchObject([{ RawData: deep }])
  })

  test('a batch that grows beyond a call is halved by the host, not refused by Azure', async () => {
    const sink = await open(reach())
    const quotes = { ...sample, text: '"'.repeat(90_000) }
    await expect(sink.write(batch(Array.from({ length: 5 }, () => quotes)), never)).rejects.toMatchObject({
      kind: 'too_large',
      message: expect.stringMatching(/^a call must be at most 1048576 bytes, got \d+$/),
    })
    expect(monitor.asked).toHaveLength(0)
    await sink.write(batch([quotes, quotes]), never)
    expect(whole(monitor.rows)).toHaveLength(2)
  })
})

describe('signing in', () => {
  const signIns = () => entra.asked.filter(({ url }) => url.pathname.endsWith('/token')).length

  test('one token serves batches until it expires', async () => {
    const sink = await open(reach())
    await sink.write(batch([sample], 'one'), never)
    await sink.write(batch([sample], 'two'), never)
    expect(signIns()).toBe(1)
    // Too short to be kept, and long enough for the slowest machine to use it once.
    entra.lifetime_s = 60
    const short = await open(reach())
    await short.write(batch([sample], 'three'), never)
    await short.write(batch([sample], 'four'), never)
    expect(signIns()).toBe(3)
    expect(monitor.rows).toHaveLength(4)
  })

  test('a wrong secret, a missing one, an authority that is down or silent', async () => {
    const wrong = await open(reach({ client_secret: 'not-the-secret' }))
    await expect(wrong.write(batch([sample]), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      message: 'signing in to Azure was refused: check tenant_id, client_id and client_secret',
    })
    entra.behave(answer(503))
    const down = await open(reach())
    await expect(down.write(batch([sample]), never)).rejects.toMatchObject({
      kind: 'retry',
      message: 'signing in to Azure: it answered 503 Service Unavailable',
    })
    entra.behave(hang)
    const silent = await open(reach())
    await expect(silent.write(batch([sample]), AbortSignal.timeout(100))).rejects.toMatchObject({
      kind: 'retry',
      message: expect.stringMatching(/timed out$/),
    })
    expect(monitor.asked).toHaveLength(0)
  })

  test('a token for another audience is not accepted, and says what to check', async () => {
    const other = await startFakeEntra('https://monitor.azure.us')
    onEnd(other.close)
    const { url: authority_host, tenant: tenant_id, clientId: client_id, clientSecret: client_secret } = other
    const audience = 'https://monitor.azure.us/'
    const sink = await open(reach({ authority_host, tenant_id, client_id, client_secret, audience }))
    await expect(sink.write(batch([sample]), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      status: 401,
      message: expect.stringContaining('check audience, tenant_id, and the clock of this machine'),
    })
  })
})

describe('refusals', () => {
  test('a role that is taken parks, shows no token, and once it is back everything arrives', async () => {
    const sink = await open(reach())
    await sink.write(batch([sample], 'before'), never)
    monitor.permitted = false
    const refused = sink.write(batch([sample], 'meanwhile'), never)
    await expect(refused).rejects.toMatchObject({
      kind: 'unauthorized',
      status: 403,
      message: expect.stringMatching(/\(OperationFailed\): give the application the role Monitoring Metrics/),
      answer: expect.stringContaining('token Bearer *** does not have access'),
    })
    monitor.permitted = true
    await sink.write(batch([sample], 'meanwhile'), never)
    expect(monitor.rows.map(({ EventId }) => EventId)).toEqual(['before-0', 'meanwhile-0'])
  })

  test.each([
    [
      'another rule',
      { rule_id: `dcr-${'f'.repeat(32)}` },
      'not_found',
      /there is no rule dcr-f+ with the stream/,
    ],
    ['another stream', { stream: 'Custom-Other_CL' }, 'refused', /\(InvalidStream\): .* check stream/],
  ])('%s: a person must act, and no event is thrown away', async (_what, own, kind, said) => {
    const sink = await open(reach(own))
    await expect(sink.write(batch([sample]), never)).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(said),
    })
  })

  test.each([
    [429, 'retry', /2 GB and 12000 calls a minute/],
    [413, 'too_large', /413/],
    [500, 'retry', /500/],
    [302, 'refused', /302/],
    [200, 'refused', /^the endpoint answered 200, which Azure does not$/],
  ])('%i means %s, and is asked once', async (status, kind, said) => {
    monitor.behave(answer(status, { 'retry-after': '7', location: '/x' }, '<html>'))
    const sink = await open(reach())
    await expect(sink.write(batch([sample]), never)).rejects.toMatchObject({
      kind,
      status,
      message: expect.stringMatching(said),
      retryAfterMs: status === 200 ? null : 7000,
    })
    expect(monitor.asked).toHaveLength(1)
  })

  test('a compression that Azure does not take is refused', async () => {
    await expect(open(reach(), 'zstd')).rejects.toMatchObject({ kind: 'refused' })
    await expect(open(collectorOptions('http://127.0.0.1:9'), 'gzip')).rejects.toMatchObject({
      kind: 'refused',
    })
  })
})

describe('the retired API', () => {
  test('a request is signed by the key of the workspace, over what is sent', async () => {
    const collector = await startCollector()
    onEnd(() => collector.close())
    const own = collectorOptions(collector.url)
    const sink = await open({ ...own, columns: 'event' })
    await sink.write(batch([{ ...sample, tenant: 't', text: 'ü' }]), never)
    const [delivery] = collector.deliveries
    if (delivery === undefined) throw new Error('nothing was delivered')
    const { path, headers, body } = delivery
    expect(path).toBe('/api/logs?api-version=2016-04-01')
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'log-type': 'Audit',
      'time-generated-field': 'EventTime',
    })
    const signed = `POST\n${body.length}\napplication/json\nx-ms-date:${headers['x-ms-date']}\n/api/logs`
    const signature = createHmac('sha256', 'a key of a workspace').update(signed).digest('base64')
    expect(headers.authorization).toBe(`SharedKey ${own.workspace_id}:${signature}`)
    expect(JSON.parse(body.toString())).toEqual([
      {
        EventTime: sample.timestamp,
        field_id: 7,
        event_type: 'user_login',
        timestamp: sample.timestamp,
        field_tenant: 't',
        text: 'ü',
      },
    ])
    for (const [status, code, kind, said] of [
      [403, 'InvalidAuthorization', 'unauthorized', /check workspace_id, shared_key, and the clock/],
      [404, '', 'not_found', /retired it in September 2026/],
      [400, 'InactiveCustomer', 'refused', /the workspace is closed/],
      [400, 'InvalidDataFormat', 'rejected', /InvalidDataFormat/],
    ] as const) {
      collector.behave(answer(status, {}, JSON.stringify({ Error: code, Message: 'no' })))
      await expect(sink.write(batch([sample]), never)).rejects.toMatchObject({
        kind,
        message: expect.stringMatching(said),
      })
    }
  })
})

test.each([
  [{ rule_id: undefined }, 'rule_id', 'must be set with api logs_ingestion'],
  [{ shared_key: 'x' }, 'shared_key', 'must not stand beside api logs_ingestion'],
  [{ client_secret: undefined }, 'tenant_id', 'must stand together with client_id and client_secret'],
  [{ api: 'data_collector' as const }, 'workspace_id', 'must be set with api data_collector'],
  [
    { ...collectorOptions('http://x'), rule_id: undefined },
    'stream',
    'must not stand beside api data_collector',
  ],
  [{}, null, null],
])('what check says to %o', (own, key, rule) => {
  expect(azure.rule?.({ ...reach(), ...own } as Options) ?? { key: null, rule: null }).toEqual({ key, rule })
})
