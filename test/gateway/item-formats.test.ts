/** One gateway, one exchange, every format: each as its receiver expects it, and redacted like the others. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { startCollector } from '../conformance/collector.ts'
import { brokenInHar } from '../render/har-rules.ts'
import { onEnd } from '../support/cleanup.ts'
import { Client } from '../support/client.ts'
import { filesUnder, tempDir } from '../support/files.ts'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const CANARY = 'cAnArY-4d17'
const MASK = '[redacted]'
const image = Buffer.from([0xff, 0xd8, 0x00, 0xfe])

const template = `{
  "source": "mirrorgate {{{name}}}",
  "environment": {{environment}},
  "verb": {{event.request.method}},
  "uri": "{{event.request.path}}?{{event.request.query}}",
  "raw": {{log_message_str}},
  "exchange": {{{log_message}}}
}`

const mirrors = [
  ['exchange', { sink: 'http', format: 'exchange' }],
  ['ndjson', { sink: 'http', format: 'ndjson' }],
  ['har', { sink: 'http', format: 'har' }],
  ['akto', { sink: 'http', format: 'akto' }],
  ['template', { sink: 'http', format: 'template', template }],
  ['har-file', { sink: 'file', format: 'har' }],
  ['akto-file', { sink: 'file', format: 'akto' }],
  ['template-file', { sink: 'file', format: 'template', template: '[{{event.id}},{{{log_message}}}]' }],
] as const

async function start() {
  const upstream = await startUpstream((request, response) => {
    request.resume()
    request.on('end', () => {
      if (request.url === '/image')
        return response.writeHead(200, { 'Content-Type': 'image/jpeg' }).end(image)
      response.writeHead(302, {
        'Content-Type': 'application/json',
        'Content-Encoding': 'gzip',
        'Set-Cookie': [`session=${CANARY}; Path=/`, 'theme=dark'],
        Location: `/next?token=${CANARY}`,
      })
      return response.end(gzipSync(`{"ok":"ä","access_token":"${CANARY}"}`))
    })
  })
  const collector = await startCollector()
  onEnd(() => collector.close())
  const folder = await tempDir()
  const base = mirrorConfig({ upstream: upstream.url, collector: collector.url })
  const gateway = await startTestGateway({
    config: {
      ...base,
      collections: [
        { name: 'orders', upstreams: [{ url: upstream.url }], mirrors: mirrors.map(([name]) => name) },
      ],
      mirrors: mirrors.map(([name, options]) => ({
        name,
        batch: { max_wait_ms: 50 },
        ...options,
        ...(options.sink === 'http'
          ? { connection: 'collector', url: `/${name}` }
          : { path: join(folder, `${name}.ndjson`) }),
      })),
    },
  })
  const sentTo = (name: string) =>
    collector.deliveries.filter(({ path }) => path === `/${name}`).map(({ body }) => body.toString())
  const linesOf = async (name: string) =>
    (await readFile(join(folder, `${name}.ndjson`), 'utf8')).trimEnd().split('\n')
  return { gateway, collector, folder, sentTo, linesOf }
}

const login = {
  method: 'POST',
  path: `/login?page=a%20b&api_key=${CANARY}`,
  headers: ['X-Api-Key', CANARY, 'Content-Type', 'application/json', 'Cookie', `a=${CANARY}; b=2`],
  body: `{"user":"ada \\"x\\"","password":"${CANARY}"}`,
}

test('every format through one gateway', async () => {
  const { gateway, collector, folder, sentTo, linesOf } = await start()
  const client = new Client(gateway.port)
  await client.send(login)
  await client.send({ path: '/image' })
  for (const [name] of mirrors) await gateway.delivered(2, name)

  const [first, second] = sentTo('exchange').flatMap((body) => JSON.parse(body))
  expect(first).toMatchObject({
    request: { body: `{"user":"ada \\"x\\"","password":"${MASK}"}` },
    response: { status: 302, body: `{"ok":"ä","access_token":"${MASK}"}`, decoded_from: 'gzip' },
  })
  expect(sentTo('ndjson').join('')).toBe(`${JSON.stringify(first)}\n${JSON.stringify(second)}\n`)

  const logs = sentTo('har').map((body) => JSON.parse(body))
  expect(logs.flatMap(brokenInHar)).toEqual([])
  expectHar(
    logs.flatMap(({ log }) => log.entries),
    first,
  )
  const fileLogs = (await linesOf('har-file')).map((line) => JSON.parse(line))
  expect(fileLogs.flatMap(brokenInHar)).toEqual([])
  expect(fileLogs.map(({ log }) => log.entries.length)).toEqual([1, 1])

  const records = sentTo('akto').flatMap((body) => JSON.parse(body).batchData)
  expectAkto(records, first)
  expect((await linesOf('akto-file')).map((line) => JSON.parse(line))).toEqual(records)

  const [message] = sentTo('template').flatMap((body) => JSON.parse(body))
  expect(message).toEqual({
    source: 'mirrorgate template',
    environment: 'dev',
    verb: 'POST',
    uri: `/login?page=a%20b&api_key=${MASK}`,
    raw: JSON.stringify(first),
    exchange: first,
  })
  expect(JSON.parse((await linesOf('template-file'))[0] as string)).toEqual([first.id, first])

  for (const { body } of collector.deliveries) expect(body.includes(CANARY)).toBe(false)
  for (const file of [...(await filesUnder(gateway.dataDir)), ...(await filesUnder(folder))])
    expect((await readFile(file)).includes(CANARY), file).toBe(false)
  await testsAreInTheirFormat(gateway, sentTo)
})

interface Timed {
  readonly time: number
  readonly timings: { readonly send: number; readonly wait: number; readonly receive: number }
}

function expectHar([posted, read]: Timed[], first: { id: string; ts: string }): void {
  expect(posted).toMatchObject({
    startedDateTime: first.ts,
    request: {
      method: 'POST',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/login\?page=a%20b&api_key=\[redacted\]$/),
      httpVersion: 'HTTP/1.1',
      cookies: [],
      queryString: [
        { name: 'page', value: 'a b' },
        { name: 'api_key', value: MASK },
      ],
      postData: { mimeType: 'application/json', text: `{"user":"ada \\"x\\"","password":"${MASK}"}` },
      bodySize: Buffer.byteLength(login.body),
      headersSize: -1,
    },
    response: {
      status: 302,
      statusText: 'Found',
      content: { mimeType: 'application/json', text: `{"ok":"ä","access_token":"${MASK}"}` },
      redirectURL: `/next?token=${MASK}`,
    },
    _id: first.id,
    _environment: 'dev',
    _outcome: 'complete',
  })
  const { time, timings } = posted as Timed
  expect(timings.send + timings.wait + timings.receive).toBeCloseTo(time, 6)
  const text = image.toString('base64')
  expect(read).toMatchObject({
    request: { queryString: [], bodySize: 0 },
    response: {
      content: { size: image.length, mimeType: 'image/jpeg', text, encoding: 'base64' },
      bodySize: image.length,
    },
  })
  expect(read).not.toHaveProperty('request.postData')
}

function expectAkto(records: Record<string, string>[], first: { ts: string }): void {
  const [record] = records
  expect(record).toMatchObject({
    path: `/login?page=a%20b&api_key=${MASK}`,
    method: 'POST',
    requestPayload: `{"user":"ada \\"x\\"","password":"${MASK}"}`,
    responsePayload: `{"ok":"ä","access_token":"${MASK}"}`,
    ip: '127.0.0.1',
    time: String(Math.floor(Date.parse(first.ts) / 1000)),
    statusCode: '302',
    status: 'Found',
    type: 'HTTP/1.1',
    is_pending: 'false',
    source: 'MIRRORING',
    tag: null,
  })
  expect(JSON.parse(record?.requestHeaders as string)).toMatchObject({ 'x-api-key': MASK, cookie: MASK })
  expect(JSON.parse(record?.responseHeaders as string)).toMatchObject({
    'set-cookie': `${MASK}, ${MASK}`,
    'content-type': 'application/json',
  })
}

/** A receiver that is tested gets what it will get later. */
async function testsAreInTheirFormat(
  { admin }: Awaited<ReturnType<typeof startTestGateway>>,
  sentTo: (name: string) => string[],
): Promise<void> {
  for (const name of ['har', 'akto', 'template']) {
    const before = sentTo(name).length
    const tested = await admin.json('POST', `/api/mirrors/${name}/test`)
    expect(tested).toMatchObject({ legs: [{ ok: true }] })
    await until(() => sentTo(name).length > before, { what: `the test of ${name} arrives` })
  }
  expect(brokenInHar(JSON.parse(sentTo('har').at(-1) as string))).toEqual([])
  expect(JSON.parse(sentTo('akto').at(-1) as string).batchData[0].path).toBe('/mirrorgate-test')
  expect(JSON.parse(sentTo('template').at(-1) as string)[0]).toMatchObject({
    verb: 'GET',
    exchange: { test: true },
  })
}
