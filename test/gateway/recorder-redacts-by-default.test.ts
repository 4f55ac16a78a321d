/**
 * With nothing configured, no credential leaves the process or reaches its disk, while client and upstream
 * see all.
 */
import { readFile } from 'node:fs/promises'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { startCollector, type TestCollector } from '../support/collector.ts'
import { filesUnder } from '../support/files.ts'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'

const CANARY = 'cAnArY-9f3b'
const MASK = '[redacted]'

const answers: Readonly<Record<string, { headers: Record<string, string>; body: Buffer | string }>> = {
  '/login': {
    headers: { 'Content-Type': 'application/json', 'Set-Cookie': `session=${CANARY}`, 'X-Plain': 'shown' },
    body: `{"user":"ada","access_token":"${CANARY}","nested":[{"card_number":"${CANARY}"}]}`,
  },
  '/gzip': {
    headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
    body: gzipSync(`{"a":1,"client_secret":"${CANARY}"}`),
  },
  '/mislabelled': {
    headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'br' },
    body: `{"token":"${CANARY}"}`,
  },
  '/moved': {
    headers: { Location: `/next?token=${CANARY}&page=2`, 'Content-Type': 'text/event-stream' },
    body: `data: {"refresh_token": "${CANARY}", "n": 1}\n\n`,
  },
}

async function expectRedacted(collector: TestCollector): Promise<void> {
  const signIn = await collector.pairOf('/login')
  expect(signIn.request.request).toMatchObject({
    query: `api_key=${MASK}&page=2`,
    body: `user=ada&password=${MASK}`,
    redacted: true,
  })
  expect(signIn.response.response).toMatchObject({
    body: `{"user":"ada","access_token":"${MASK}","nested":[{"card_number":"${MASK}"}]}`,
    redacted: true,
  })
  expect(signIn.response.response.headers).toContainEqual(['X-Plain', 'shown'])
  const zipped = await collector.pairOf('/gzip')
  expect(zipped.request.request).toMatchObject({
    body: `{"\\u0070assword":"${MASK}","b":2}`,
    decoded_from: 'br',
  })
  expect(zipped.response.response).toMatchObject({
    body: `{"a":1,"client_secret":"${MASK}"}`,
    decoded_from: 'gzip',
  })
  const wrong = await collector.pairOf('/mislabelled')
  expect(wrong.response.response).toMatchObject({
    ...{
      body: null,
      body_encoding: 'none',
      omitted: 'not_redactable',
      decode_error: 'the body is not valid br',
    },
  })
  const moved = await collector.pairOf('/moved')
  expect(moved.response.response.headers).toContainEqual(['Location', `/next?token=${MASK}&page=2`])
  expect(moved.response.response.body).toBe(`data: {"refresh_token": "${MASK}", "n": 1}\n\n`)
}

test('no credential leaves', async () => {
  const upstream = await startUpstream((request, response) => {
    const answer = answers[request.url?.split('?')[0] ?? '']
    request.resume()
    request.on('end', () => response.writeHead(200, answer?.headers).end(answer?.body))
  })
  const collector = await startCollector()
  const gateway = await startTestGateway({
    config: mirrorConfig({ upstream: upstream.url, collector: collector.url }),
  })
  const client = new Client(gateway.port)
  const headers = [
    ...['Authorization', `Bearer ${CANARY}`, 'Cookie', `a=${CANARY}`],
    ...['X-API-Key', CANARY, 'Referer', `http://app/?sig=${CANARY}`],
  ]
  const form = [...headers, 'Content-Type', 'application/x-www-form-urlencoded']
  const json = [...headers, 'Content-Type', 'application/json', 'Content-Encoding', 'br']
  const login = await client.send({
    method: 'POST',
    path: `/login?api_key=${CANARY}&page=2`,
    headers: form,
    body: `user=ada&password=${CANARY}`,
  })
  const packed = brotliCompressSync(`{"\\u0070assword":"${CANARY}","b":2}`)
  await client.send({ method: 'POST', path: '/gzip', headers: json, body: packed })
  await client.send({ path: '/mislabelled', headers })
  await client.send({ path: '/moved', headers })

  expect(login.text).toBe(answers['/login']?.body)
  expect(upstream.received[0]).toMatchObject({
    url: `/login?api_key=${CANARY}&page=2`,
    headers: { 'x-api-key': CANARY },
  })
  expect(upstream.received[0]?.body?.toString()).toBe(`user=ada&password=${CANARY}`)
  expect(upstream.received[1]?.body?.equals(packed)).toBe(true)
  await gateway.delivered(4)

  await expectRedacted(collector)
  expect(JSON.stringify(collector.deliveries)).not.toContain(CANARY)
  expect(JSON.stringify(gateway.logs())).not.toContain(CANARY)
  for (const file of await filesUnder(gateway.dataDir)) {
    expect((await readFile(file)).includes(CANARY), file).toBe(false)
  }
})

test('what waits on disk during an outage is as clean', async () => {
  const upstream = await startUpstream()
  const collector = await startCollector()
  await collector.stop()
  const gateway = await startTestGateway({
    config: mirrorConfig({ upstream: upstream.url, collector: collector.url }),
  })
  const client = new Client(gateway.port)
  const headers = ['Authorization', `Basic ${CANARY}`, 'Content-Type', 'application/json']
  const body = `{"shown":"in clear","ssn":"${CANARY}"}`
  await client.send({ method: 'POST', path: '/waiting', headers, body })
  const spooled = async () => {
    const files = await filesUnder(gateway.dataDir)
    return Buffer.concat(await Promise.all(files.map((file) => readFile(file))))
  }
  await expect.poll(async () => (await spooled()).includes('in clear'), { timeout: 10_000 }).toBe(true)
  expect((await spooled()).includes(CANARY)).toBe(false)
})
