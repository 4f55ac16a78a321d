/**
 * Credentials that pass through, or that the gateway itself holds, show up nowhere but where they were
 * sent.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { answerJson } from '../../demo/collector.ts'
import { filesUnder } from '../support/files.ts'
import { type Bed, startBed } from './bed.ts'

let made = 0
/** A text that occurs nowhere else. */
const secret = (what: string) => `canary-${what}-${(made += 1)}-5d41402abc4b`

const own = { connection: secret('connection'), admin: secret('admin'), env: secret('env') }
const basic = Buffer.from(`user:${secret('basic')}`).toString('base64')

const carried = {
  bearer: secret('bearer'),
  cookie: secret('cookie'),
  apiKey: secret('api-key'),
  apiToken: secret('api-token'),
  query: secret('query'),
  signature: secret('signature'),
  referer: secret('referer'),
  password: secret('password'),
  nested: secret('nested'),
  form: secret('form'),
  custom: secret('custom'),
  field: secret('field'),
  setCookie: secret('set-cookie'),
  location: secret('location'),
  answer: secret('answer'),
}

async function sendAll(port: number): Promise<void> {
  const client = new Client(port)
  const headers = [
    ...['Authorization', `Bearer ${carried.bearer}`, 'Cookie', `session=${carried.cookie}; theme=dark`],
    ...['X-Api-Key', carried.apiKey, 'Api-Token', carried.apiToken, 'X-Custom-Secret', carried.custom],
    ...['Referer', `https://app.example.com/?access_token=${carried.referer}&page=1`],
  ]
  const path = `/orders?access_token=${carried.query}&page=2&sig=${carried.signature}`
  const json = JSON.stringify({
    user: 'alice',
    password: carried.password,
    deep: [{ client_secret: carried.nested, pin: carried.field }],
  })
  const sends = [
    { method: 'GET', path, headers },
    { method: 'POST', path, headers: [...headers, 'Content-Type', 'application/json'], body: json },
    {
      method: 'POST',
      path,
      headers: [...headers, 'Content-Type', 'application/json'],
      body: json.slice(0, -9),
    },
    {
      method: 'POST',
      path,
      headers: [...headers, 'Content-Type', 'application/x-www-form-urlencoded'],
      body: `user=alice&password=${carried.form}`,
    },
    { method: 'GET', path: '/refused', headers: ['Authorization', `Basic ${basic}`] },
  ]
  for (const send of sends) expect((await client.send(send)).status).toBe(200)
}

/** A gateway with secrets of its own, an upstream that answers with some, a collector that repeats them. */
async function bedOfSecrets(): Promise<Bed> {
  const bed = await startBed(
    {
      connection: { headers: { Authorization: `Bearer ${own.connection}`, 'X-Extra': '${env:EXTRA}' } },
      mirror: { redact: { headers: ['X-Custom-Secret'], json_fields: ['pin'] } },
      rest: {
        admin: { clients: [{ name: 'ops', token: own.admin, role: 'admin' }] },
        logging: { level: 'trace', format: 'json' },
      },
    },
    { env: { EXTRA: own.env } },
  )
  bed.upstream.handler = (request, response) => {
    request.resume()
    response.setHeader('Set-Cookie', `session=${carried.setCookie}; HttpOnly`)
    response.setHeader('Location', `https://app.example.com/?token=${carried.location}`)
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify({ refresh_token: carried.answer, ok: true }))
  }
  // A collector that repeats the credentials that it was sent.
  bed.collector.fault = {
    onDelivery: (delivery, _request, response) => {
      const refused = delivery.items.some((item) => 'request' in item && item.request.path === '/refused')
      if (!refused) return 'normal'
      answerJson(response, 400, { got: delivery.headers })
      return 'refused'
    },
  }
  return bed
}

/** Everything that came out of the gateway, by place; stops it. */
async function everythingSaid(bed: Bed): Promise<Map<string, string>> {
  const places = new Map<string, string>()
  places.set('collector', JSON.stringify(bed.collector.deliveries.map(({ items }) => items)))
  for (const path of [
    ...['/api/status', '/api/collections', '/api/collections/orders', '/api/mirrors', '/api/mirrors/salt'],
    ...['/api/mirrors/salt/dead-letters', '/api/openapi.json', '/metrics', '/readyz'],
  ]) {
    const { status, text } = await bed.gateway.admin.call('GET', path)
    expect(status, path).toBe(200)
    places.set(path, text)
  }
  for (const path of [
    '/api/config/check',
    '/api/config/reload',
    '/api/mirrors/salt/test',
    '/api/mirrors/salt/replay',
  ]) {
    places.set(path, (await bed.gateway.admin.call('POST', path)).text)
  }
  await bed.gateway.stop()
  places.set('log', bed.gateway.process.output())
  const files = await filesUnder(bed.gateway.dataDir)
  expect(files.some((file) => file.endsWith('.seg'))).toBe(true)
  for (const file of files) places.set(join('data_dir', file), await readFile(file, 'latin1'))

  return places
}

test('canaries in every place: none leaves by collector, log, admin port, metrics or disk', async () => {
  const bed = await bedOfSecrets()
  await sendAll(bed.gateway.port)
  await bed.sees('all is settled', ({ counts }) => counts.captured === 10 && counts.waiting === 0)
  // What stays on disk: a backlog and a dead letter.
  await bed.collector.stop()
  await sendAll(bed.gateway.port)
  await bed.sees('a backlog', ({ legs }) => legs.every(({ durable_items }) => durable_items === 5))

  const upstreamSaw = bed.upstream.received.map(({ rawHeaders, url, body }) => [
    rawHeaders,
    url,
    body?.toString(),
  ])
  for (const value of [carried.bearer, carried.cookie, carried.query, carried.password, basic]) {
    expect(JSON.stringify(upstreamSaw), 'forwarded as it was sent').toContain(value)
  }
  expect(bed.collector.deliveries[0]?.headers['authorization']).toBe(`Bearer ${own.connection}`)
  expect(bed.collector.deliveries[0]?.headers['x-extra']).toBe(own.env)

  const places = await everythingSaid(bed)
  expect(places.get('collector')).toContain('alice')
  expect(places.get('/api/mirrors/salt/dead-letters')).toContain('/refused')
  const secrets = { ...own, ...carried, basic, decoded: Buffer.from(basic, 'base64').toString() }
  const leaks = [...places].flatMap(([place, text]) =>
    Object.entries(secrets)
      .filter(([, value]) => text.includes(value))
      .map(([name]) => `${name} in ${place}`),
  )
  expect(leaks).toEqual([])
})
