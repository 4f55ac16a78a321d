/**
 * Preloaded into the gateway by the loop-delay case: each thread writes its event-loop delay once per second
 * to a file named by its thread id. Nothing in the gateway knows of it.
 */
import { appendFileSync, readlinkSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread, threadName } from 'node:worker_threads'

const folder = process.env['BENCH_LOOP_FOLDER']
if (folder !== undefined) {
  const tid = readlinkSync('/proc/thread-self').split('/').at(-1)
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  const name = isMainThread ? 'main' : (threadName ?? '')
  const clock = setInterval(() => {
    const [mean, p50, p99] = [histogram.mean, histogram.percentile(50), histogram.percentile(99)]
    const line = { name, at: Date.now(), meanMs: mean / 1e6, p50Ms: p50 / 1e6, p99Ms: p99 / 1e6 }
    histogram.reset()
    appendFileSync(`${folder}/${tid}.ndjson`, `${JSON.stringify(line)}\n`)
  }, 1000)
  clock.unref()
}
