/**
 * A share of the exchanges: the same key always has the same fate, and smaller rates lie within larger
 * ones.
 */
import { beforeAll, expect, test } from 'vitest'
import { Client } from '../support/client.ts'
import { type ExchangeCollector, startExchangeCollector } from '../support/exchanges.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startUpstream } from '../support/upstream.ts'

const keys = ['header:X-Session', 'cookie:sid', 'client_ip'] as const
const rates = [0, 0.25, 0.5, 1] as const
const nameOf = (key: string, rate: number) => `${key.replace(/[^a-z]/gi, '-')}-${rate * 100}`.toLowerCase()

const sessions = 60
const rounds = 2
let gateway: TestGateway
const taken = new Map<string, ExchangeCollector>()

beforeAll(async () => {
  const upstream = await startUpstream()
  const mirrors = []
  for (const key of keys) {
    for (const rate of rates) {
      const name = nameOf(key, rate)
      const collector = await startExchangeCollector()
      taken.set(name, collector)
      mirrors.push({
        name,
        sink: 'http',
        url: collector.url,
        sample: { rate, key },
        batch: { max_wait_ms: 20 },
      })
    }
  }
  gateway = await startTestGateway({
    config: {
      collections: [
        { name: 'api', upstreams: [{ url: upstream.url }], mirrors: mirrors.map(({ name }) => name) },
      ],
      mirrors,
      // So that one machine can be many clients, on both threads.
      listen: { threads: 2, trusted_proxies: ['127.0.0.1'] },
    },
  })
  const clients = [new Client(gateway.port), new Client(gateway.port), new Client(gateway.port)]
  for (let at = 0; at < rounds * sessions; at += 1) {
    const session = at % sessions
    const headers = ['X-Session', `s-${session}`, 'Cookie', `a=b; sid=c-${session}; z=y`]
    headers.push('X-Forwarded-For', `192.0.2.${session}`)
    await clients[at % clients.length]?.send({ path: `/${session}`, headers })
  }
  for (const key of keys) await gateway.delivered(rounds * sessions, nameOf(key, 1))
})

/** Times that each session was taken. */
async function sessionsOf(key: string, rate: number): Promise<Map<string, number>> {
  const name = nameOf(key, rate)
  const { counts } = await gateway.admin.mirror(name)
  await gateway.delivered(counts.captured, name)
  const times = new Map<string, number>()
  for (const { request } of taken.get(name)?.items() ?? [])
    times.set(request.path, (times.get(request.path) ?? 0) + 1)
  return times
}

test.each(keys)('by %s', async (key) => {
  const [none, quarter, half, every] = await Promise.all(rates.map((rate) => sessionsOf(key, rate)))
  expect([none?.size, every?.size]).toEqual([0, sessions])
  // Both rounds, on whatever thread, or none.
  for (const times of [quarter, half]) expect(new Set(times?.values())).toEqual(new Set([rounds]))
  expect([...(quarter?.keys() ?? [])].filter((session) => !half?.has(session))).toEqual([])
  expect(quarter!.size).toBeLessThan(half!.size)
  // Far outside of what chance gives for 60 keys would be a hash that does not spread.
  expect(quarter!.size).toBeGreaterThan(3)
  expect(half!.size).toBeGreaterThan(15)
  expect(half!.size).toBeLessThan(45)
})
