/** Metric families of the process itself; only what costs nothing to read. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Families } from './family.ts'

/**
 * How often the delay of main's event loop is sampled; the samples include this wait. Each time main wakes up
 * for it, and takes the core from a data thread where there is no other.
 */
const RESOLUTION_MS = 100

/** Returns what stops the sampling. */
export function addProcessFamilies(families: Families): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000)
  families.gauge('main_event_loop_delay_seconds', 'Delay of the main thread since the last scrape.', () => {
    const samples = [
      { labels: { quantile: '0.5' }, value: seconds(delay.percentile(50)) },
      { labels: { quantile: '0.99' }, value: seconds(delay.percentile(99)) },
      { labels: { quantile: '1' }, value: seconds(delay.max) },
    ]
    delay.reset()
    return samples
  })
  families.counter('process_cpu_seconds_total', 'CPU time of all threads, user and system.', () => {
    const { user, system } = process.cpuUsage()
    return [{ labels: {}, value: (user + system) / 1e6 }]
  })
  families.gauge('process_resident_memory_bytes', 'Resident memory of the process.', () => [
    { labels: {}, value: process.memoryUsage.rss() },
  ])
  const startedAt = Date.now() / 1000 - process.uptime()
  families.gauge('process_start_time_seconds', 'Start of the process, Unix seconds.', () => [
    { labels: {}, value: startedAt },
  ])
  return () => delay.disable()
}
