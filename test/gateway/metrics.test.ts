/** Every metric of the contract, by its exact name, with the numbers of its source. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import {
  collectionCell,
  Counters,
  rejectReasons,
  statusClasses,
  threadCell,
  upstreamCell,
  upstreamErrorReasons,
} from '../../src/telemetry/counters.ts'
import { Buckets, Distribution } from '../../src/telemetry/family.ts'
import { Metrics, type MetricsSource } from '../../src/telemetry/metrics.ts'
import { mirrorView } from '../support/admin.ts'
import { onEnd } from '../support/cleanup.ts'

interface Scrape {
  /** `name{label="value",…}` → value; throws for a series that stands twice. */
  readonly values: ReadonlyMap<string, number>
  readonly types: ReadonlyMap<string, string>
}

/** Reads the text format line by line; anything that is no line of it is an error. */
function parse(text: string): Scrape {
  const values = new Map<string, number>()
  const types = new Map<string, string>()
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line)
    if (type !== null) types.set(type[1] as string, type[2] as string)
    if (line === '' || /^# (TYPE|HELP) /.test(line)) continue
    const sample = /^([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})?) (-?[\d.e+-]+|\+Inf)$/.exec(
      line,
    )
    if (sample === null) throw new Error(`no sample: ${line}`)
    const [, series, value] = sample as unknown as [string, string, string]
    if (values.has(series)) throw new Error(`twice: ${series}`)
    values.set(series, Number(value))
  }
  return { values, types }
}

const appendSeconds = new Distribution(new Buckets([1]))
const threads = [new Counters(), new Counters()] as const
const source = {
  counters: () => threads,
  collections: () => [
    { name: 'orders', slot: 3, upstreams: [{ url: 'http://127.0.0.1:3000', slot: 7 }] },
    { name: 'users', slot: 4, upstreams: [] },
  ],
  mirrors: () => [mirrorView('salt')],
  streams: () => [],
  streamKey: (name) => `stream:${name}`,
  captureBuffer: () => ({ used: 1024, limit: 4096 }),
  activity: () => ({ entries: [['dev', 2]], appendSeconds, storeBytes: 1 }),
  secrets: () => ({ entries: 2, reads: [{ provider: 'vault', result: 'denied', count: 3 }] }),
  incidents: () => ({
    open: [['mirroring_error', 2]],
    notifications: [{ channel: 'email', outcome: 'failed', count: 4 }],
    pending: [['email', 1]],
  }),
  uncleanShutdown: () => true,
} satisfies MetricsSource

function start(over: Partial<MetricsSource> = {}) {
  const metrics = new Metrics({ ...source, ...over }, { version: '0.1.0' })
  onEnd(() => metrics.close())
  const scrape = async () => parse((await metrics.text()).text)
  return { metrics, scrape }
}

/** Adds to a cell of one thread, as that thread would. */
function add(thread: 0 | 1, cell: number, value = 1): void {
  const { cells } = threads[thread]
  cells[cell] = (cells[cell] ?? 0) + value
}

test('all names of the contract are there, with their types', async () => {
  const { scrape } = start()
  const { types } = await scrape()
  expect(Object.fromEntries(types)).toMatchObject({
    mirrorgate_http_requests_total: 'counter',
    mirrorgate_http_request_duration_seconds: 'histogram',
    mirrorgate_http_rejected_total: 'counter',
    mirrorgate_upstream_errors_total: 'counter',
    mirrorgate_upstream_healthy: 'gauge',
    mirrorgate_connections_open: 'gauge',
    mirrorgate_tunnels_open: 'gauge',
    mirrorgate_mirror_captured_total: 'counter',
    mirrorgate_mirror_delivered_total: 'counter',
    mirrorgate_mirror_dropped_total: 'counter',
    mirrorgate_mirror_dead_lettered_total: 'gauge',
    mirrorgate_mirror_waiting_items: 'gauge',
    mirrorgate_mirror_waiting_bytes: 'gauge',
    mirrorgate_mirror_oldest_waiting_seconds: 'gauge',
    mirrorgate_mirror_attempts_total: 'counter',
    mirrorgate_mirror_delivery_lag_seconds: 'histogram',
    mirrorgate_mirror_state: 'gauge',
    mirrorgate_mirror_durable_items: 'gauge',
    mirrorgate_capture_buffer_used_bytes: 'gauge',
    mirrorgate_capture_lag_seconds: 'histogram',
    mirrorgate_capture_buffer_limit_bytes: 'gauge',
    mirrorgate_config_reloads_total: 'counter',
    mirrorgate_build_info: 'gauge',
    mirrorgate_unclean_shutdown: 'gauge',
    mirrorgate_recorder_not_redactable_total: 'counter',
    mirrorgate_process_cpu_seconds_total: 'counter',
    mirrorgate_process_resident_memory_bytes: 'gauge',
  })
  expect([...types.keys()].filter((name) => !name.startsWith('mirrorgate_'))).toEqual([])
})

test('client-side numbers are the sum of all data threads', async () => {
  const { scrape } = start()
  const status = (name: (typeof statusClasses)[number]) =>
    Counters.collection(3, collectionCell.statusClass + statusClasses.indexOf(name))
  add(0, status('2xx'), 5)
  add(1, status('2xx'), 6)
  add(1, status('5xx'))
  add(0, threadCell.connectionsOpen, 2)
  add(1, threadCell.connectionsOpen, 3)
  add(1, threadCell.tunnelsOpen)
  add(0, threadCell.rejected + rejectReasons.indexOf('no_route'), 4)
  add(1, Counters.collection(3, collectionCell.upstreamErrors + upstreamErrorReasons.indexOf('reset')))
  add(1, Counters.upstream(7, upstreamCell.ejected))
  const { values } = await scrape()
  const requests = 'mirrorgate_http_requests_total'
  expect(values.get(`${requests}{collection="orders",status_class="2xx"}`)).toBe(11)
  expect(values.get(`${requests}{collection="orders",status_class="5xx"}`)).toBe(1)
  expect(values.get(`${requests}{collection="users",status_class="2xx"}`)).toBe(0)
  expect(values.get('mirrorgate_connections_open')).toBe(5)
  expect(values.get('mirrorgate_tunnels_open')).toBe(1)
  expect(values.get('mirrorgate_http_rejected_total{reason="no_route"}')).toBe(4)
  expect(values.get('mirrorgate_upstream_errors_total{collection="orders",reason="reset"}')).toBe(1)
  expect(
    values.get('mirrorgate_upstream_healthy{collection="orders",upstream="http://127.0.0.1:3000"}'),
  ).toBe(0)
})

test('the request duration is a histogram: cumulative, with sum and count', async () => {
  const { scrape } = start()
  const bucket = (index: number) => Counters.collection(4, collectionCell.durationBucket + index)
  add(0, bucket(0), 2)
  add(1, bucket(1), 3)
  add(0, bucket(14))
  add(0, Counters.collection(4, collectionCell.durationSumMs), 1500)
  const { values } = await scrape()
  const name = 'mirrorgate_http_request_duration_seconds'
  const le = (bound: string) => values.get(`${name}_bucket{collection="users",le="${bound}"}`)
  expect([le('0.001'), le('0.0025'), le('0.005'), le('30'), le('+Inf')]).toEqual([2, 5, 5, 5, 6])
  expect(values.get(`${name}_sum{collection="users"}`)).toBe(1.5)
  expect(values.get(`${name}_count{collection="users"}`)).toBe(6)
})

describe('a mirror', () => {
  const leg = 'mirror="salt",leg="requests"'

  test('shows the numbers of its view, and the identity among them', async () => {
    const { scrape } = start()
    const { values } = await scrape()
    const of = (name: string) => values.get(`mirrorgate_mirror_${name}{${leg}}`) as number
    expect([of('captured_total'), of('delivered_total'), of('waiting_items')]).toEqual([6, 3, 1])
    const dropped = [...values]
      .filter(([series]) => series.startsWith(`mirrorgate_mirror_dropped_total{${leg}`))
      .map(([, value]) => value)
    expect(dropped).toHaveLength(9)
    const sum = dropped.reduce((total, value) => total + value, 0)
    expect(of('captured_total')).toBe(
      of('delivered_total') + of('waiting_items') + of('dead_lettered_total') + sum,
    )
    expect([of('waiting_bytes'), of('durable_items')]).toEqual([512, 1])
    expect(values.get(`mirrorgate_mirror_dropped_total{${leg},reason="expired"}`)).toBe(1)
  })

  test('has every state, and is in exactly one', async () => {
    const { scrape } = start()
    const { values } = await scrape()
    const states = ['idle', 'delivering', 'retrying', 'parked', 'paused', 'disabled']
    expect(states.map((state) => values.get(`mirrorgate_mirror_state{${leg},state="${state}"}`))).toEqual([
      0, 0, 1, 0, 0, 0,
    ])
  })

  test('tells the age of its oldest item, and 0 when none waits or the clock is behind', async () => {
    const age = async (at: string | null) => {
      const view = mirrorView('salt')
      const { scrape } = start({
        mirrors: () => [{ ...view, legs: view.legs.map((one) => ({ ...one, oldest_waiting_at: at })) }],
      })
      return (await scrape()).values.get(`mirrorgate_mirror_oldest_waiting_seconds{${leg}}`) as number
    }
    expect(await age(null)).toBe(0)
    expect(await age(new Date(Date.now() + 60_000).toISOString())).toBe(0)
    expect(await age(new Date(Date.now() - 60_000).toISOString())).toBeGreaterThanOrEqual(60)
  })

  test('counts attempts by outcome, and the lag of items rather than batches', async () => {
    const { metrics, scrape } = start()
    metrics.countAttempt('salt', 'requests', 'accepted')
    metrics.countAttempt('salt', 'requests', 'accepted')
    metrics.countAttempt('salt', 'requests', 'retry')
    metrics.observeDelivery('salt', 'requests', 0.3, 500)
    metrics.observeDelivery('salt', 'requests', 100_000, 2)
    const { values } = await scrape()
    const attempts = (outcome: string) =>
      values.get(`mirrorgate_mirror_attempts_total{${leg},outcome="${outcome}"}`)
    expect([attempts('accepted'), attempts('retry'), attempts('refused')]).toEqual([2, 1, 0])
    const name = 'mirrorgate_mirror_delivery_lag_seconds'
    const le = (bound: string) => values.get(`${name}_bucket{${leg},le="${bound}"}`)
    expect([le('0.25'), le('0.5'), le('86400'), le('+Inf')]).toEqual([0, 500, 500, 502])
    expect(values.get(`${name}_count{${leg}}`)).toBe(502)
    expect(values.get(`${name}_sum{${leg}}`)).toBeCloseTo(200_150)
  })

  test('that is gone is forgotten, so that labels stay those of the configuration', async () => {
    let names = ['salt', 'other']
    const { metrics, scrape } = start({ mirrors: () => names.map(mirrorView) })
    const outcome = (mirror: string) =>
      `mirrorgate_mirror_attempts_total{mirror="${mirror}",leg="requests",outcome="retry"}`
    metrics.countAttempt('other', 'requests', 'retry')
    metrics.countAttempt('never-configured', 'requests', 'retry')
    expect((await scrape()).values.get(outcome('other'))).toBe(1)
    names = ['salt']
    const { values } = await scrape()
    expect([...values.keys()].filter((series) => /other|never/.test(series))).toEqual([])
    names = ['salt', 'other']
    expect((await scrape()).values.get(outcome('other'))).toBe(0)
  })
})

test('what the gateway tells is counted', async () => {
  const { metrics, scrape } = start()
  metrics.countReload('applied')
  metrics.countReload('rejected')
  metrics.countReload('rejected')
  metrics.countNotRedactable(3)
  metrics.observeCaptureLag(0.02)
  const { values } = await scrape()
  expect(values.get('mirrorgate_config_reloads_total{result="applied"}')).toBe(1)
  expect(values.get('mirrorgate_config_reloads_total{result="rejected"}')).toBe(2)
  expect(values.get('mirrorgate_recorder_not_redactable_total')).toBe(3)
  expect(values.get('mirrorgate_capture_lag_seconds_bucket{le="0.01"}')).toBe(0)
  expect(values.get('mirrorgate_capture_lag_seconds_bucket{le="0.025"}')).toBe(1)
  expect(values.get('mirrorgate_capture_buffer_used_bytes')).toBe(1024)
  expect(values.get('mirrorgate_capture_buffer_limit_bytes')).toBe(4096)
  expect(values.get('mirrorgate_unclean_shutdown')).toBe(1)
  expect(values.get(`mirrorgate_build_info{version="0.1.0",node="${process.version}"}`)).toBe(1)
})

test('a large configuration is read once per scrape, and no series stands twice', async () => {
  let reads = 0
  const upstream = { url: 'http://127.0.0.1:3000', slot: 7 }
  const { metrics, scrape } = start({
    // The same URL twice in one collection is one series.
    collections: () =>
      Array.from({ length: 1000 }, (_, slot) => ({
        name: `c${slot}`,
        slot,
        upstreams: [upstream, upstream],
      })),
    mirrors: () => {
      reads += 1
      return Array.from({ length: 100 }, (_, index) => mirrorView(`m${index}`))
    },
  })
  for (let index = 0; index < limits.mirrors_max * 4; index += 1)
    metrics.countAttempt(`x${index}`, 'requests', 'retry')
  const { values } = await scrape()
  expect(reads).toBe(1)
  // 6 classes, 15 + 2 of the histogram, 5 errors, 1 upstream; 5 + 4 + 9 + 6 + 9 + 17 per leg.
  expect(values.size).toBeGreaterThan(1000 * 29 + 100 * 40)
  expect(values.size).toBeLessThan(1000 * 30 + 100 * 60)
})
