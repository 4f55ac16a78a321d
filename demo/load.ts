/** Clients for the demo: mixed requests at a fixed rate over keep-alive connections, full of credentials. */
import { Pool } from 'undici'
import { Latencies } from './latencies.ts'

export interface LoadOptions {
  /** Like `http://127.0.0.1:8080`. */
  origin: string
  rate_per_second: number
  connections?: number
}

export interface LoadFigures {
  /** Requests begun. */
  sent: number
  /** Requests answered in full. */
  answered: number
  /** Requests without a whole answer, or with a status that this request never has. */
  errors: number
  /** First error, for people. */
  first_error: string | null
}

interface Operation {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD'
  path: () => string
  body?: () => object
  expect: readonly number[]
  /** False: slow on purpose, so it says nothing about the gateway. */
  timed: boolean
  /** Times in one round of the mix. */
  share: number
}

/** Secrets that the clients send: none of them may reach the collector. */
export const clientSecrets = Object.freeze({
  bearer: 'demo-bearer-0815',
  api_key: 'demo-api-key-0815',
  password: 'demo-password-0815',
  query_token: 'demo-query-token-0815',
})

const orderId = () => 1 + Math.floor(Math.random() * 20)
const operations: readonly Operation[] = [
  { method: 'GET', path: () => `/orders?page=${1 + (orderId() % 4)}`, expect: [200], timed: true, share: 90 },
  { method: 'GET', path: () => `/orders/${orderId()}`, expect: [200, 404], timed: true, share: 60 },
  {
    method: 'GET',
    path: () => `/orders?token=${clientSecrets.query_token}`,
    expect: [200],
    timed: true,
    share: 10,
  },
  { method: 'HEAD', path: () => '/orders', expect: [200], timed: true, share: 6 },
  {
    method: 'POST',
    path: () => '/orders',
    body: () => ({ customer: 'ada', item: 'book', quantity: 2, note: 'x'.repeat(200) }),
    expect: [201],
    timed: true,
    share: 14,
  },
  {
    method: 'PUT',
    path: () => `/orders/${orderId()}`,
    body: () => ({ quantity: 3 }),
    expect: [200, 404],
    timed: true,
    share: 8,
  },
  { method: 'DELETE', path: () => `/orders/${1000 + orderId()}`, expect: [204], timed: true, share: 4 },
  {
    method: 'POST',
    path: () => '/login',
    body: () => ({ user: 'ada', password: clientSecrets.password }),
    expect: [200],
    timed: true,
    share: 5,
  },
  { method: 'GET', path: () => '/error', expect: [500], timed: true, share: 1 },
  { method: 'GET', path: () => '/events', expect: [200], timed: false, share: 1 },
  { method: 'GET', path: () => '/slow', expect: [200], timed: false, share: 1 },
]

const tickMs = 10
/** Requests in flight beyond which turns are skipped: a stalled gateway costs rate, not memory. */
const inFlightMax = 512

export class Load {
  /** Of the phase that `beginPhase` began. */
  readonly latencies = new Latencies()
  /** Since `window` was read last. */
  readonly #window = new Latencies()
  readonly #pool: Pool
  readonly #rate: number
  readonly #mix: readonly Operation[]
  readonly #figures: LoadFigures = { sent: 0, answered: 0, errors: 0, first_error: null }
  readonly #open = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | null = null

  constructor({ origin, rate_per_second, connections = 32 }: LoadOptions) {
    this.#rate = rate_per_second
    this.#mix = shuffle(operations.flatMap((operation) => Array<Operation>(operation.share).fill(operation)))
    this.#pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: 10_000, bodyTimeout: 10_000 })
  }

  start(): void {
    const startedAt = performance.now()
    const before = this.#figures.sent
    let skipped = 0
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - startedAt) * this.#rate) / 1000)
      for (let left = due - skipped - (this.#figures.sent - before); left > 0; left -= 1) {
        if (this.#open.size >= inFlightMax) skipped += 1
        else this.#send()
      }
    }, tickMs)
  }

  /** Stops sending and waits for the answers that are still open. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await Promise.all(this.#open)
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#pool.destroy()
  }

  figures(): LoadFigures {
    return { ...this.#figures }
  }

  /** Latencies from here on are a new phase's. */
  beginPhase(): void {
    this.latencies.clear()
  }

  /** p99 of the time since the last call. */
  windowP99(): number | null {
    const p99 = this.#window.percentile(0.99)
    this.#window.clear()
    return p99
  }

  #send(): void {
    const operation = this.#mix[this.#figures.sent % this.#mix.length] as Operation
    this.#figures.sent += 1
    const open = this.#run(operation)
      .catch((error: unknown) => this.#fail(error instanceof Error ? error.message : String(error)))
      .finally(() => this.#open.delete(open))
    this.#open.add(open)
  }

  async #run({ method, path, body, expect, timed }: Operation): Promise<void> {
    const begun = performance.now()
    const target = path()
    const answer = await this.#pool.request({
      method,
      path: target,
      headers: {
        authorization: `Bearer ${clientSecrets.bearer}`,
        'x-api-key': clientSecrets.api_key,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body()),
    })
    // Not dump(): that hides a body which breaks off.
    await answer.body.arrayBuffer()
    const ms = performance.now() - begun
    if (!expect.includes(answer.statusCode)) {
      this.#fail(
        `${method} ${target.split('?')[0]}: status must be ${expect.join(' or ')}, got ${answer.statusCode}`,
      )
      return
    }
    this.#figures.answered += 1
    if (!timed) return
    this.latencies.record(ms)
    this.#window.record(ms)
  }

  #fail(message: string): void {
    this.#figures.errors += 1
    this.#figures.first_error ??= message
  }
}

/** Spreads the operations evenly, the same on every run: the step and their number have no common factor. */
function shuffle(list: readonly Operation[]): Operation[] {
  const step = 89
  return list.map((_, at) => list[(at * step) % list.length] as Operation)
}
