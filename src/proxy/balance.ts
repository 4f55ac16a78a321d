/**
 * Which upstream gets the next request: weighted round robin, passive ejection (never of the last one),
 * retry budget.
 */

/** What balancing knows of an upstream. Failures belong to the upstream and outlive a reload. */
export interface Balanced {
  readonly weight: number
  /** Failures in a row. */
  failuresInRow: number
  /** Left out until this time; 0 = in use. */
  ejectedUntil: number
}

export interface EjectRule {
  readonly after_failures: number
  readonly for_ms: number
}

/**
 * Smooth weighted round robin: each pick raises every weight by its own and lowers the winner's by the sum.
 */
export class Balancer<T extends Balanced> {
  readonly upstreams: readonly T[]
  readonly #current: Float64Array
  readonly #eject: EjectRule

  constructor(upstreams: readonly T[], eject: EjectRule) {
    this.upstreams = upstreams
    this.#current = new Float64Array(upstreams.length)
    this.#eject = eject
  }

  /** The next upstream; another one than `not` where there is another. */
  pick(now: number, not: T | null): T {
    const { upstreams } = this
    if (upstreams.length === 1) return upstreams[0] as T
    const healthy = this.#pick(now, not, true)
    if (healthy !== null) return healthy
    if (not !== null && not.ejectedUntil <= now) return not
    return this.#pick(now, not, false) ?? (upstreams[0] as T)
  }

  #pick(now: number, not: T | null, healthyOnly: boolean): T | null {
    const { upstreams } = this
    let best = -1
    let sum = 0
    for (let i = 0; i < upstreams.length; i++) {
      const upstream = upstreams[i] as T
      if (upstream === not || (healthyOnly && upstream.ejectedUntil > now)) continue
      const weight = (this.#current[i] as number) + upstream.weight
      this.#current[i] = weight
      sum += upstream.weight
      if (best === -1 || weight > (this.#current[best] as number)) best = i
    }
    if (best === -1) return null
    this.#current[best] = (this.#current[best] as number) - sum
    return upstreams[best] as T
  }

  succeeded(upstream: T): void {
    upstream.failuresInRow = 0
  }

  /** Counts a failure; returns whether the upstream is ejected by it. */
  failed(upstream: T, now: number): boolean {
    upstream.failuresInRow++
    if (upstream.failuresInRow < this.#eject.after_failures || upstream.ejectedUntil > now) return false
    const othersUp = this.upstreams.some((other) => other !== upstream && other.ejectedUntil <= now)
    if (!othersUp) return false
    upstream.ejectedUntil = now + this.#eject.for_ms
    upstream.failuresInRow = 0
    return true
  }
}

/** Retries that a quiet collection may make at once, whatever its share. */
const RETRIES_MIN = 10
const RETRIES_MAX = 100

/**
 * Each request adds its share, each retry takes one: so retries cannot multiply the load on upstreams that
 * are down.
 */
export class RetryBudget {
  readonly #share: number
  #tokens = RETRIES_MIN

  constructor(share: number) {
    this.#share = share
  }

  request(): void {
    if (this.#tokens < RETRIES_MAX) this.#tokens += this.#share
  }

  take(): boolean {
    if (this.#share === 0 || this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
