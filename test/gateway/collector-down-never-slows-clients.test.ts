/** A collector that is down or hangs costs clients nothing: all are answered, everything waits on disk. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sharedGateway } from '../faults/bed.ts'
import { Client, RawClient } from '../support/client.ts'
import { faults } from '../support/collector.ts'
import { bytesUnder } from '../support/files.ts'
import { expectIdentity, until } from '../support/wait.ts'

const startBed = sharedGateway()

async function setUp(mirror: Record<string, unknown> = {}) {
  const bed = await startBed({ mirror })
  return { ...bed, client: new Client(bed.gateway.port, 8) }
}

/** Sends so many requests, eight at a time; resolves with the number of answers that were 200. */
async function sendMany(client: Client, count: number): Promise<number> {
  let next = 0
  let fine = 0
  const lane = async () => {
    while (next < count) {
      next += 1
      const { status } = await client.send({
        method: 'POST',
        path: `/orders/${next}`,
        body: '{"item":"book"}',
      })
      if (status === 200) fine += 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, lane))
  return fine
}

test('refused: every client is answered, the backlog is on disk, and all of it arrives later', async () => {
  const { collector, gateway, mirror, client } = await setUp()
  await collector.stop()
  expect(await sendMany(client, 500)).toBe(500)

  const parked = await until(
    async () => {
      const view = await gateway.admin.mirror(mirror)
      return view.state === 'parked' && view.legs.every(({ durable_items }) => durable_items === 500) && view
    },
    { what: 'both legs are parked with all items on disk' },
  )
  expectIdentity(parked)
  expect(parked.legs.map(({ counts }) => [counts.captured, counts.delivered, counts.waiting])).toEqual([
    [500, 0, 500],
    [500, 0, 500],
  ])
  expect(parked.legs.every(({ last_error }) => last_error !== null)).toBe(true)
  expect(await bytesUnder(join(gateway.dataDir, 'spool', mirror))).toBeGreaterThan(500 * 2 * 100)
  const ready = await gateway.admin.call('GET', '/readyz')
  expect(ready.status).toBe(200)

  await collector.start()
  await gateway.admin.replay(mirror)
  const view = await gateway.delivered(500, mirror)
  expect(view.legs.map(({ counts }) => counts.delivered)).toEqual([500, 500])
  expect([
    collector.pairs,
    collector.totals('requests').distinct,
    collector.totals('responses').distinct,
  ]).toEqual([500, 500, 500])
})

test('back without a word: the probe finds it, nobody has to ask', async () => {
  const { collector, gateway, mirror, client } = await setUp()
  await collector.stop()
  expect(await sendMany(client, 50)).toBe(50)
  await until(async () => (await gateway.admin.mirror(mirror)).state === 'parked', {
    what: 'the mirror is parked',
  })
  await collector.start()
  await gateway.delivered(50, mirror)
  expect(collector.pairs).toBe(50)
})

test('hung: a second request on the same connection is answered like the first (trap A2)', async () => {
  const { collector, gateway, mirror } = await setUp({ timeout_ms: 60_000 })
  collector.fault = faults.hangBeforeHead
  const client = await RawClient.connect(gateway.port)
  await client.request('GET /orders/1 HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => collector.posts > 0, { what: 'the collector holds a delivery' })
  for (let at = 2; at <= 50; at += 1) {
    const { status } = await client.request(`GET /orders/${at} HTTP/1.1\r\nHost: a\r\n\r\n`)
    expect(status).toBe(200)
  }
  const held = await gateway.admin.mirror(mirror)
  expectIdentity(held)
  expect(held.legs.map(({ counts }) => counts.delivered)).toEqual([0, 0])
})

test('hung, then mended: what timed out is sent again under the same batch id', async () => {
  const { collector, gateway, mirror, client } = await setUp({ timeout_ms: 300 })
  collector.fault = faults.hangBeforeHead
  expect(await sendMany(client, 100)).toBe(100)
  await until(() => collector.deliveries.length > 0, { what: 'a delivery was begun' })
  const first = collector.deliveries[0]?.batchId
  collector.fault = null
  await gateway.delivered(100, mirror)
  expect(collector.pairs).toBe(100)
  const accepted = [...collector.accepted('requests'), ...collector.accepted('responses')]
  expect(accepted.map(({ batchId }) => batchId)).toContain(first)
})
