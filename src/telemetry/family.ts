/** A metric family whose samples are made at scrape time, in a form that a prom-client registry takes. */
import type { Metric, Registry } from 'prom-client'

export type Labels = Readonly<Record<string, string | number>>

export interface Sample {
  readonly labels: Labels
  readonly value: number
  /** For the parts of a histogram: its own name with `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string
}

const prefix = 'mirrorgate_'

/** Families under the project's prefix; the registry that writes them is loaded at the first scrape. */
export class Families {
  readonly #metrics: Metric[] = []
  #registry: Promise<Registry> | null = null

  counter(name: string, help: string, samples: () => Iterable<Sample>): void {
    this.#add(name, 'counter', help, samples)
  }

  gauge(name: string, help: string, samples: () => Iterable<Sample>): void {
    this.#add(name, 'gauge', help, samples)
  }

  /** `samples` receives the full name, which the parts of a histogram carry. */
  histogram(name: string, help: string, samples: (name: string) => Iterable<Sample>): void {
    this.#add(name, 'histogram', help, () => samples(prefix + name))
  }

  #add(name: string, type: string, help: string, samples: () => Iterable<Sample>): void {
    const family = { name: prefix + name, help, type, aggregator: 'sum' }
    // The registry calls get() only, but its type asks for one of its own classes, which cannot be set.
    const metric = { ...family, get: async () => ({ ...family, values: [...samples()] }), reset: () => {} }
    this.#metrics.push(metric as unknown as Metric)
  }

  registry(): Promise<Registry> {
    this.#registry ??= this.#load()
    return this.#registry
  }

  /** Its package brings metrics and tracing that are not used here: 0.08 s that a start need not wait for. */
  async #load(): Promise<Registry> {
    const { Registry } = await import('prom-client')
    const registry = new Registry()
    for (const metric of this.#metrics) registry.registerMetric(metric)
    return registry
  }
}

/** Upper bounds of a histogram, with their `le` labels. */
export class Buckets {
  readonly bounds: readonly number[]
  readonly #labels: readonly string[]

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#labels = [...bounds.map(String), '+Inf']
  }

  /** Index of the bucket that a value belongs to. */
  of(value: number): number {
    const index = this.bounds.findIndex((bound) => value <= bound)
    return index === -1 ? this.bounds.length : index
  }

  /**
   * The lines of one histogram: cumulative buckets, sum and count. `counts` holds one number per bucket, not
   * cumulative, the last one for +Inf. The count is their sum, so that the parts agree while others write.
   */
  *samples(name: string, labels: Labels, counts: ArrayLike<number>, sum: number): Generator<Sample> {
    let total = 0
    for (let index = 0; index < this.#labels.length; index += 1) {
      total += counts[index] ?? 0
      yield {
        metricName: `${name}_bucket`,
        labels: { ...labels, le: this.#labels[index] as string },
        value: total,
      }
    }
    yield { metricName: `${name}_sum`, labels, value: sum }
    yield { metricName: `${name}_count`, labels, value: total }
  }
}

/** Observed values of one histogram. */
export class Distribution {
  readonly #buckets: Buckets
  readonly #counts: Float64Array
  #sum = 0

  constructor(buckets: Buckets) {
    this.#buckets = buckets
    this.#counts = new Float64Array(buckets.bounds.length + 1)
  }

  /** Notes `weight` observations of the same value. */
  observe(value: number, weight = 1): void {
    const bucket = this.#buckets.of(value)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + weight
    this.#sum += value * weight
  }

  samples(name: string, labels: Labels): Iterable<Sample> {
    return this.#buckets.samples(name, labels, this.#counts, this.#sum)
  }
}
