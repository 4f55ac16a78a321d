/** Latencies in a histogram of fixed size: as exact as 0.1 ms, however many there are. */

const stepsPerMs = 10
const buckets = 20_000

export class Latencies {
  #counts = new Uint32Array(buckets)
  #total = 0

  record(ms: number): void {
    const bucket = Math.min(buckets - 1, Math.max(0, Math.round(ms * stepsPerMs)))
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#total += 1
  }

  get total(): number {
    return this.#total
  }

  /** The latency in milliseconds that a share (0 to 1) of all records stay within; null without records. */
  percentile(share: number): number | null {
    if (this.#total === 0) return null
    let left = Math.ceil(this.#total * share)
    for (let bucket = 0; bucket < buckets; bucket += 1) {
      left -= this.#counts[bucket] as number
      if (left <= 0) return bucket / stepsPerMs
    }
    return buckets / stepsPerMs
  }

  clear(): void {
    this.#counts.fill(0)
    this.#total = 0
  }
}
