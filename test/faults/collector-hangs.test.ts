/**
 * A collector that takes connections and says nothing costs clients nothing; what it has not acknowledged
 * comes again.
 */
import { expect, test } from 'vitest'
import { RawClient } from '../support/client.ts'
import { type Fault, faults } from '../support/collector.ts'
import { until } from '../support/wait.ts'
import { sharedGateway } from './bed.ts'

const startBed = sharedGateway()

test.each<[string, Fault]>([
  ['before it reads the body', faults.hangBeforeBody],
  ['before its head', faults.hangBeforeHead],
])('%s: the batch times out and comes again', async (_name, fault) => {
  const bed = await startBed({ mirror: { timeout_ms: 200 } })
  bed.collector.fault = fault
  await bed.send(100)
  await bed.sees('a delivery has timed out', ({ legs }) =>
    legs.every(({ last_error }) => last_error !== null),
  )
  bed.collector.fault = null
  const view = await bed.expectAllDelivered()
  expect(view.counts.delivered).toBe(200)
})

test('after its head: the status is the acknowledgement, and nothing waits for the rest', async () => {
  const bed = await startBed({ mirror: { timeout_ms: 200 } })
  bed.collector.fault = faults.hangAfterHead
  await bed.send(100)
  await bed.expectAllDelivered()
  expect(bed.collector.totals('requests').duplicate_batches).toBe(0)
})

test('all deliveries are held: requests on one connection go on being answered (trap A2)', async () => {
  const bed = await startBed({ mirror: { timeout_ms: 60_000, concurrency: 1 } })
  bed.collector.fault = faults.hangBeforeHead
  const client = await RawClient.connect(bed.gateway.port)
  for (let at = 1; at <= 30; at += 1) {
    const { status } = await client.request('GET /orders HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(status).toBe(200)
    if (at === 1) await until(() => bed.collector.posts === 2, { what: 'the collector holds both legs' })
  }
  const view = await bed.sees('everything is on disk', ({ legs }) =>
    legs.every(({ durable_items }) => durable_items === 30),
  )
  expect(view.counts).toMatchObject({ captured: 60, delivered: 0, waiting: 60 })
  expect(await bed.gateway.admin.call('GET', '/readyz')).toMatchObject({ status: 200 })
})
