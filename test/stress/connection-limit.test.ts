/** The limit of client connections counts all data threads together; one more is told so, and closed. */
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { startTestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'

const LIMIT = 60
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

test('61 connections to two threads: one is answered 503 overloaded', async () => {
  const upstream = await startUpstream()
  const { port, admin } = await startTestGateway({
    config: {
      listen: { threads: 2, limits: { connections: LIMIT } },
      collections: [{ name: 'api', upstreams: [{ url: upstream.url }] }],
    },
  })
  const inside = await Promise.all(Array.from({ length: LIMIT }, () => RawClient.connect(port)))
  for (const client of inside) expect(await client.request(get)).toMatchObject({ status: 200 })

  const rejected = async () => (await admin.metrics()).sum('http_rejected_total', { reason: 'overloaded' })
  expect(await rejected()).toBe(0)
  for (let count = 1; count <= 20; count++) {
    const outside = await RawClient.connect(port)
    // Before it has asked for anything.
    const answer = await outside.response()
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ error: 'overloaded' })
    expect([answer.header('retry-after'), answer.header('connection')]).toEqual(['1', 'close'])
    await outside.closed
    expect(await rejected()).toBe(count)
  }
  for (const client of inside) expect(await client.request(get)).toMatchObject({ status: 200 })

  // Those who were refused hold no place: as many as leave may come.
  for (const client of inside.splice(0, 20)) client.destroy()
  const open = async () => (await admin.status()).totals.connections_open
  await until(async () => (await open()) === LIMIT - 20, { what: '20 places are free' })
  for (let count = 0; count < 20; count++) {
    const client = await RawClient.connect(port)
    expect(await client.request(get)).toMatchObject({ status: 200 })
    inside.push(client)
  }
  expect(await (await RawClient.connect(port)).response()).toMatchObject({ status: 503 })
  expect(await rejected()).toBe(21)
})
