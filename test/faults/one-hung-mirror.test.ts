/**
 * Ten mirrors of one collection, one of them hung: the other nine deliver as if it were not there (trap
 * B8).
 */
import { expect, test } from 'vitest'
import { faults, startCollector } from '../support/collector.ts'
import { startTestGateway } from '../support/gateway.ts'
import { Client } from '../support/client.ts'
import { startUpstream } from '../support/upstream.ts'
import { expectIdentity, until } from '../support/wait.ts'

const MIRRORS = 10
const names = Array.from({ length: MIRRORS }, (_, at) => `mirror-${at}`)

test('each batch of the others is delivered before the hung one has had a single answer', async () => {
  const upstream = await startUpstream()
  const [hung, fine] = [await startCollector(), await startCollector()]
  hung.fault = faults.hangBeforeHead
  const gateway = await startTestGateway({
    config: {
      collections: [{ name: 'orders', upstreams: [{ url: upstream.url }], mirrors: names }],
      mirrors: names.map((name, at) => ({
        name,
        sink: 'salt',
        request_url: `${(at === 0 ? hung : fine).url}/requests`,
        response_url: `${(at === 0 ? hung : fine).url}/responses`,
        batch: { max_wait_ms: 20 },
        timeout_ms: 60_000,
      })),
      capture: { flush_after_ms: 20 },
    },
  })
  const client = new Client(gateway.port, 4)
  const rounds = 5
  for (let round = 1; round <= rounds; round += 1) {
    const sent = Array.from({ length: 20 }, () =>
      client.send({ method: 'POST', path: '/orders', body: '{}' }),
    )
    for (const { status } of await Promise.all(sent)) expect(status).toBe(200)
    // All nine are level with the clients before the next round begins, while the hung one holds its first
    // batches.
    await until(
      async () => {
        const views = await Promise.all(names.slice(1).map((name) => gateway.admin.mirror(name)))
        return views.every(({ counts }) => counts.delivered === round * 40)
      },
      { what: `round ${round} is delivered by the nine` },
    )
    const held = await gateway.admin.mirror('mirror-0')
    expect(held.counts).toMatchObject({ captured: round * 40, delivered: 0, waiting: round * 40 })
  }
  for (const name of names) expectIdentity(await gateway.admin.mirror(name))
  expect(hung.posts).toBeGreaterThan(0)
  expect(fine.totals('requests').items).toBe((MIRRORS - 1) * rounds * 20)
})
