/** The live figures of the demo: read once a second from the gateway's admin port and from the clients. */
import type { DeliveryView } from '../src/admin/commands.ts'
import { dropped } from './accounting.ts'
import type { AdminClient, Metrics } from './admin-client.ts'
import type { Load } from './load.ts'

export interface Figures {
  requests_per_second: number
  state: string
  captured: number
  delivered: number
  waiting: number
  waiting_bytes: number
  dead_lettered: number
  dropped: number
  /** Age of the oldest item that is not delivered yet. */
  lag_seconds: number
  client_p99_ms: number | null
  client_errors: number
}

export class FiguresReader {
  readonly #admin: AdminClient
  readonly #load: Load
  #requests = 0
  #readAt = performance.now()

  constructor(admin: AdminClient, load: Load) {
    this.#admin = admin
    this.#load = load
  }

  async read(mirror: string): Promise<Figures> {
    const [view, metrics] = await Promise.all([this.#admin.mirror(mirror), this.#admin.metrics()])
    return { ...ofMirror(view), ...this.#rate(metrics), lag_seconds: lag(metrics), ...this.#clients() }
  }

  #rate(metrics: Metrics): { requests_per_second: number } {
    const now = performance.now()
    const requests = metrics.sum('http_requests_total')
    const rate = ((requests - this.#requests) * 1000) / (now - this.#readAt)
    this.#requests = requests
    this.#readAt = now
    return { requests_per_second: rate }
  }

  #clients(): { client_p99_ms: number | null; client_errors: number } {
    return { client_p99_ms: this.#load.windowP99(), client_errors: this.#load.figures().errors }
  }
}

function lag(metrics: Metrics): number {
  return Math.max(0, ...metrics.values('mirror_oldest_waiting_seconds').filter(Number.isFinite))
}

function ofMirror({ state, counts, legs }: DeliveryView) {
  return {
    state,
    captured: counts.captured,
    delivered: counts.delivered,
    waiting: counts.waiting,
    waiting_bytes: legs.reduce((total, leg) => total + leg.waiting_bytes, 0),
    dead_lettered: counts.dead_lettered,
    dropped: dropped(counts),
  }
}
