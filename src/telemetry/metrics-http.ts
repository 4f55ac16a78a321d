/** Metric families of the client and upstream side, summed over the data threads' counters. */
import {
  collectionCell,
  Counters,
  durationBucketsMs,
  rejectReasons,
  statusClasses,
  threadCell,
  upstreamCell,
  upstreamErrorReasons,
} from './counters.ts'
import { Buckets, type Families, type Sample } from './family.ts'

export interface HttpSource {
  /** One per data thread. */
  counters(): readonly Counters[]
  /** The collections of the configuration in use. */
  collections(): readonly {
    readonly name: string
    readonly slot: number
    readonly upstreams: readonly { readonly url: string; readonly slot: number }[]
  }[]
}

const durationBuckets = new Buckets(durationBucketsMs.map((ms) => ms / 1000))

/** Sum of one cell over all data threads. */
function total(counters: readonly Counters[], cell: number): number {
  let sum = 0
  for (const { cells } of counters) sum += cells[cell] ?? 0
  return sum
}

function* durations(name: string, source: HttpSource): Generator<Sample> {
  const counters = source.counters()
  const counts = new Float64Array(durationBucketsMs.length + 1)
  for (const { name: collection, slot } of source.collections()) {
    const at = Counters.collection(slot, collectionCell.durationBucket)
    for (let index = 0; index < counts.length; index += 1) counts[index] = total(counters, at + index)
    const sum = total(counters, Counters.collection(slot, collectionCell.durationSumMs)) / 1000
    yield* durationBuckets.samples(name, { collection }, counts, sum)
  }
}

function* requests(source: HttpSource): Generator<Sample> {
  const counters = source.counters()
  for (const { name: collection, slot } of source.collections()) {
    for (const [index, status_class] of statusClasses.entries()) {
      const cell = Counters.collection(slot, collectionCell.statusClass + index)
      yield { labels: { collection, status_class }, value: total(counters, cell) }
    }
  }
}

function* upstreamErrors(source: HttpSource): Generator<Sample> {
  const counters = source.counters()
  for (const { name: collection, slot } of source.collections()) {
    for (const [index, reason] of upstreamErrorReasons.entries()) {
      const cell = Counters.collection(slot, collectionCell.upstreamErrors + index)
      yield { labels: { collection, reason }, value: total(counters, cell) }
    }
  }
}

function* upstreamHealth(source: HttpSource): Generator<Sample> {
  const counters = source.counters()
  for (const { name: collection, upstreams } of source.collections()) {
    // A series must stand once: two entries with the same URL are one upstream here.
    const slots = new Map(upstreams.map(({ url, slot }) => [url, slot]))
    for (const [upstream, slot] of slots) {
      const ejected = total(counters, Counters.upstream(slot, upstreamCell.ejected))
      yield { labels: { collection, upstream }, value: ejected > 0 ? 0 : 1 }
    }
  }
}

export function addHttpFamilies(families: Families, source: HttpSource): void {
  const thread = (cell: number) => () => [{ labels: {}, value: total(source.counters(), cell) }]
  families.counter('http_requests_total', 'Requests of a collection, by status class of the answer.', () =>
    requests(source),
  )
  families.histogram(
    'http_request_duration_seconds',
    'Time from request head to the end of the answer.',
    (name) => durations(name, source),
  )
  families.counter('http_rejected_total', 'Requests that the gateway answered itself, by error code.', () => {
    const counters = source.counters()
    return rejectReasons.map((reason, index) => ({
      labels: { reason },
      value: total(counters, threadCell.rejected + index),
    }))
  })
  families.counter('upstream_errors_total', 'Failures of upstreams.', () => upstreamErrors(source))
  families.gauge('upstream_healthy', '0 while a data thread leaves the upstream out, otherwise 1.', () =>
    upstreamHealth(source),
  )
  families.gauge('connections_open', 'Open client connections.', thread(threadCell.connectionsOpen))
  families.gauge('tunnels_open', 'Open upgraded connections.', thread(threadCell.tunnelsOpen))
  families.gauge('http_requests_in_flight', 'Requests being forwarded.', thread(threadCell.requestsInFlight))
}
