/** Redaction by hash: tokens stay the same over items, mirrors and restarts, and the key stays inside. */
import { createHmac } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startCollector } from '../conformance/collector.ts'
import { onEnd } from '../support/cleanup.ts'
import { Client } from '../support/client.ts'
import { filesUnder } from '../support/files.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'

const MAIL = 'cAnArY@example.com'
const PASSWORD = 'cAnArY-pass'
const ownSecret = 'a key of our own, long enough'

const tokenOf = (key: string, value: string): string =>
  `[hash:${createHmac('sha256', key).update(value).digest('base64url').slice(0, 16)}]`

test('one value has one token, also after a restart', async () => {
  const upstream = await startUpstream()
  const collector = await startCollector()
  onEnd(() => collector.close())
  const redact = { mode: 'hash', detect: ['email'] }
  const common = { sink: 'http', connection: 'collector', batch: { max_wait_ms: 50 } }
  const config = {
    ...mirrorConfig({ upstream: upstream.url, collector: collector.url }),
    collections: [{ name: 'orders', upstreams: [{ url: upstream.url }], mirrors: ['made', 'own'] }],
    mirrors: [
      { name: 'made', url: '/made', redact, ...common },
      { name: 'own', url: '/own', redact: { ...redact, hash_secret: '${env:HASH_SECRET}' }, ...common },
    ],
  }
  const env = { HASH_SECRET: ownSecret }
  const bodiesOf = (path: string) =>
    collector.deliveries
      .filter((delivery) => delivery.path === path)
      .flatMap(({ body }) => JSON.parse(body.toString()))
      .map(({ request }) => [request.query, JSON.parse(request.body)])
  const send = async ({ port }: TestGateway) => {
    await new Client(port).send({
      method: 'POST',
      path: `/login?who=${encodeURIComponent(MAIL)}`,
      headers: ['Content-Type', 'application/json'],
      body: JSON.stringify({ password: PASSWORD, note: `for ${MAIL}` }),
    })
  }

  const first = await startTestGateway({ config, env })
  await send(first)
  for (const name of ['made', 'own']) await first.delivered(1, name)
  const keyFile = join(first.dataDir, 'redaction-key')
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600)
  const key = (await readFile(keyFile, 'utf8')).trim()
  expect(key).toMatch(/^[0-9a-f]{64}$/)
  const logs = JSON.stringify(first.logs())
  const answers = await Promise.all(
    ['/api/mirrors/made', '/api/status', '/api/config'].map((path) => first.admin.call('GET', path)),
  )
  await first.stop()

  const second = await startTestGateway({ config, env, folder: first.folder })
  await send(second)
  for (const name of ['made', 'own']) await second.delivered(2, name)
  await second.stop()

  const expected = (used: string) => [
    `who=${tokenOf(used, MAIL)}`,
    { password: tokenOf(used, PASSWORD), note: `for ${tokenOf(used, MAIL)}` },
  ]
  expect(bodiesOf('/made')).toEqual([expected(key), expected(key)])
  expect(bodiesOf('/own')).toEqual([expected(ownSecret), expected(ownSecret)])
  const said = logs + JSON.stringify(second.logs()) + JSON.stringify(answers)
  for (const secret of [key, ownSecret, MAIL, PASSWORD]) expect(said).not.toContain(secret)
  for (const file of await filesUnder(first.dataDir)) {
    const bytes = await readFile(file)
    for (const secret of [ownSecret, MAIL, PASSWORD]) expect(bytes.includes(secret), file).toBe(false)
    expect(bytes.includes(key), file).toBe(file === keyFile)
  }
})

test('a key that cannot be read stops a start, and the sentence says which', async () => {
  const upstream = await startUpstream()
  const collector = await startCollector()
  onEnd(() => collector.close())
  const plain = mirrorConfig({ upstream: upstream.url, collector: collector.url })
  const gateway = await startTestGateway({ config: plain })
  await gateway.stop()
  await writeFile(join(gateway.dataDir, 'redaction-key'), 'short\n')
  const config = mirrorConfig({
    upstream: upstream.url,
    collector: collector.url,
    mirror: { redact: { mode: 'hash' } },
  })
  await expect(startTestGateway({ config, folder: gateway.folder })).rejects.toThrow(
    /the key of redaction by hash, .*redaction-key, cannot be used: it must hold at least 32 characters/,
  )
})
