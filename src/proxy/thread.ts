/** Entry of a data thread: turns main's messages into calls, and what happens here into messages. */
import { parentPort, workerData } from 'node:worker_threads'
import { Counters } from '../telemetry/counters.ts'
import { TICK_MS } from './clock.ts'
import type { FromThread, ThreadData, ToThread } from './thread-messages.ts'
import { ProxyServer } from './server.ts'
import { SlabPool } from './slabs.ts'
import { transferOf } from '../queue/slab.ts'

const data = workerData as ThreadData
const port = parentPort
if (port === null) throw new Error('proxy/thread.ts must run as a worker')

function post(message: FromThread): void {
  port?.postMessage(message)
}

/**
 * Summaries for the log: the first message of a kind and how many there were, at most once a second (trap
 * A23).
 */
class Warnings {
  readonly #kinds = new Map<string, { message: string; count: number }>()
  #ticks = 0

  add(kind: string, error: unknown): void {
    const known = this.#kinds.get(kind)
    if (known !== undefined) known.count++
    else
      this.#kinds.set(kind, {
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
        count: 1,
      })
  }

  tick(): void {
    if (++this.#ticks * TICK_MS < 1000) return
    this.#ticks = 0
    for (const [kind, { message, count }] of this.#kinds) post({ type: 'warning', kind, message, count })
    this.#kinds.clear()
  }
}

const counters = new Counters(data.counters)
const warnings = new Warnings()
const slabs = new SlabPool(data.bufferBytes, counters, (message) =>
  port.postMessage(message, transferOf(message.slab)),
)
slabs.flushAfterMs = data.plan.capture.flush_after_ms
const proxy = new ProxyServer({
  plan: data.plan,
  counters,
  connections: data.connections,
  slabs,
  warn: (kind, error) => warnings.add(kind, error),
  onDrained: () => {
    slabs.flush()
    post({ type: 'drained' })
  },
})

setInterval(() => {
  proxy.tick()
  warnings.tick()
}, TICK_MS)

// The last resort: every path from a socket has its own catch, so this is a bug. It must not take other
// clients along.
process.on('uncaughtException', (error) => warnings.add('uncaught', error))
process.on('unhandledRejection', (error) => warnings.add('uncaught', error))

function listen(host: string, onPort: number): void {
  proxy.listen(host, onPort, data.reusePort).then(
    (bound) => post({ type: 'listening', port: bound }),
    (error: NodeJS.ErrnoException) =>
      post({ type: 'listen_failed', code: error.code ?? '', message: error.message }),
  )
}

port.on('message', (message: ToThread) => {
  switch (message.type) {
    case 'listen':
      return listen(message.host, message.port)
    case 'plan':
      // One slab, one generation: what was captured so far belongs to the plan before.
      slabs.flush()
      slabs.flushAfterMs = message.plan.capture.flush_after_ms
      proxy.apply(message.plan)
      return post({ type: 'plan_applied', generation: message.plan.generation })
    case 'slab_return':
      return slabs.returned(message.slab)
    case 'slab_lost':
      return slabs.release(message.bytes)
    case 'flush':
      slabs.flush()
      return post({ type: 'flushed' })
    case 'drain':
      return proxy.drain(message.graceMs)
    case 'abort':
      return proxy.abort()
    default:
      // The two sides disagree: nothing that follows could be trusted.
      process.exit(1)
  }
})
