/** Retries are spread over their window, jittered, and honour what the collector asks for. */
import { describe, expect, it } from 'vitest'
import { limits } from '../../src/contract/limits.ts'
import { probeWait, retryWait } from '../../src/shipper/retry.ts'

const spread = { attempts: 3, within_ms: 600_000, probe_ms: 5000 }
const middle = () => 0.5

function due(policy: typeof spread, attempt: number, random = middle) {
  const clock = { now: 0, firstFailedAt: 0, timeoutMs: 10_000, retryAfterMs: null }
  return retryWait(policy, attempt, clock, random)
}

describe('a policy with a window', () => {
  it('tries three times within ten minutes at about 30 s, 2 min and 8 min', () => {
    expect([1, 2, 3].map((attempt) => Math.round(due(spread, attempt)))).toEqual([30_000, 120_000, 480_000])
  })

  it('ends the time-out of the last try inside the window, whatever the jitter', () => {
    for (const random of [() => 0, () => 0.5, () => 0.999]) {
      for (const within_ms of [20_000, 60_000, 600_000]) {
        expect(due({ ...spread, within_ms }, 3, random)).toBeLessThanOrEqual(within_ms - 10_000)
      }
    }
  })

  it('grows with every try, for any number of them', () => {
    for (const attempts of [1, 2, 5, 10]) {
      const waits = Array.from({ length: attempts }, (_, at) => due({ ...spread, attempts }, at + 1))
      expect(waits).toEqual(waits.toSorted((a, b) => a - b))
      expect(new Set(waits).size).toBe(attempts)
    }
  })

  it('does not come in step', () => {
    expect(due(spread, 1, () => 0)).not.toBe(due(spread, 1, () => 0.9))
  })

  it('waits as long as Retry-After asks, up to an hour', () => {
    const clock = { now: 0, firstFailedAt: 0, timeoutMs: 10_000 }
    expect(retryWait(spread, 1, { ...clock, retryAfterMs: 90_000 }, middle)).toBe(90_000)
    expect(retryWait(spread, 1, { ...clock, retryAfterMs: 9e9 }, middle)).toBe(limits.retry_after_ms_max)
  })
})

describe('a policy with waits', () => {
  it('doubles from the shortest to the longest', () => {
    const policy = { attempts: 6, min_wait_ms: 1000, max_wait_ms: 10_000, probe_ms: 5000 }
    const clock = { now: 0, firstFailedAt: 0, timeoutMs: 10_000, retryAfterMs: null }
    const waits = [1, 2, 3, 4, 5].map((attempt) => retryWait(policy, attempt, clock, middle))
    expect(waits).toEqual([1000, 2000, 4000, 8000, 10_000])
  })
})

describe('probes of a parked leg', () => {
  it('double from probe_ms to a minute', () => {
    const waits = [0, 1, 2, 3, 4, 30].map((count) => probeWait(spread, count, middle))
    expect(waits).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000])
  })
})
