/** Load by autocannon in a process of its own: options as JSON in its first argument, one result out. */
import { createRequire } from 'node:module'

interface Result {
  readonly requests: { readonly total: number }
  readonly duration: number
  readonly latency: { readonly p50: number; readonly p99: number }
  readonly errors: number
  readonly non2xx: number
}
type Autocannon = (options: Record<string, unknown>) => PromiseLike<Result>

const require = createRequire(import.meta.url)
const autocannon = require('autocannon') as Autocannon

const options = JSON.parse(process.argv[2] ?? '{}') as Record<string, unknown>
// A finer sample interval ends the run when its time is over, not at the next whole second.
const result = await autocannon({ ...options, sampleInt: 100 })
const { requests, duration, latency, errors, non2xx } = result
process.stdout.write(
  JSON.stringify({
    requests: requests.total,
    seconds: duration,
    p50Ms: latency.p50,
    p99Ms: latency.p99,
    failures: errors + non2xx,
  }),
)
process.exit(0)
