/** When a batch that failed is tried again: policies are data. All times in milliseconds. */
import type { MirrorConfig } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'

type RetryPolicy = MirrorConfig['retry']

/** First and last retry of a spread policy, as parts of its window: 30 s, 2 min, 8 min of ten minutes. */
const SPREAD_FIRST = 0.05
const SPREAD_LAST = 0.8
const JITTER = 0.2

/** Between 1 - JITTER and 1 + JITTER: retries of many gateways must not come in step (trap B23). */
function jitter(random: () => number): number {
  return 1 - JITTER + 2 * JITTER * random()
}

/**
 * Wait before retry `attempt` (1, 2 …) of a batch that first failed at `firstFailedAt`.
 *
 * With `within_ms` the retries are spread over the window, growing geometrically, the last one early enough
 * that its time-out still ends inside (trap B2); with `min_wait_ms` and `max_wait_ms` the wait doubles.
 */
export function retryWait(
  policy: RetryPolicy,
  attempt: number,
  clock: { now: number; firstFailedAt: number; timeoutMs: number; retryAfterMs: number | null },
  random: () => number = Math.random,
): number {
  const asked = Math.min(clock.retryAfterMs ?? 0, limits.retry_after_ms_max)
  if (policy.within_ms === undefined) {
    const min = policy.min_wait_ms ?? 1000
    const max = policy.max_wait_ms ?? 30_000
    return Math.max(asked, Math.min(max, min * 2 ** (attempt - 1) * jitter(random)))
  }
  const steps = Math.max(1, policy.attempts - 1)
  const share = SPREAD_FIRST * (SPREAD_LAST / SPREAD_FIRST) ** ((attempt - 1) / steps)
  const latest = Math.max(0, policy.within_ms - clock.timeoutMs)
  const due = clock.firstFailedAt + Math.min(latest, policy.within_ms * share * jitter(random))
  return Math.max(asked, due - clock.now, 0)
}

/** Wait before probe `count` (0, 1 …) of a parked leg: doubles up to a minute. */
export function probeWait(policy: RetryPolicy, count: number, random: () => number = Math.random): number {
  const longest = Math.max(limits.probe_ms_max, policy.probe_ms)
  return Math.min(longest, policy.probe_ms * 2 ** Math.min(count, 20)) * jitter(random)
}
