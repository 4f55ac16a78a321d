/** One upstream of one collection in one thread: its connections, last used first, and who waits for one. */
import { type Counters, Counters as Cells, threadCell, upstreamCell } from '../telemetry/counters.ts'
import type { Balanced } from './balance.ts'
import { clock } from './clock.ts'
import type { Attempt } from './forward.ts'
import { UpstreamAddress } from './upstream-address.ts'
import { type ConnectionOwner, UpstreamConnection } from './upstream-connection.ts'
import type { ParserBounds } from './message-parser.ts'
import type { UpstreamTls } from './upstream-tls.ts'

export interface UpstreamSpec extends ParserBounds {
  readonly url: string
  readonly slot: number
  readonly weight: number
  readonly connections: number
  readonly pending: number
  readonly connectMs: number
  /** Null without https. */
  readonly tls: UpstreamTls | null
}

/** What makes two specs the same pool; weight and queue bound may change on the fly. */
export function poolKey(spec: UpstreamSpec): string {
  const { slot, url, connections, connectMs, headerBytes, headerCount, tls } = spec
  return [slot, url, connections, connectMs, headerBytes, headerCount, tls?.hash].join(' ')
}

/** What an upstream needs of the thread that it is in. */
export interface UpstreamHost {
  readonly counters: Counters
  readonly warn: (kind: string, error: unknown) => void
}

export class Upstream implements Balanced, ConnectionOwner {
  readonly key: string
  readonly bounds: ParserBounds
  readonly address: UpstreamAddress
  weight: number
  failuresInRow = 0
  ejectedUntil = 0
  /** Plans that use it. */
  users = 0
  /** Its last answer was HTTP/1.0. */
  old = false
  readonly #warn: UpstreamHost['warn']
  readonly #cells: Float64Array
  readonly #cell: number
  readonly #connectionsMax: number
  readonly #connectMs: number
  #pending: number
  #inFlight = 0
  /** The last one was used last. */
  readonly #idle: UpstreamConnection[] = []
  readonly #connecting = new Set<UpstreamConnection>()
  /** Connections of any kind. */
  #connections = 0
  /** In order of arrival; a set, so that a client that leaves can be taken out at once. */
  readonly #waiting = new Set<Attempt>()
  #pumping = false
  #closing = false

  constructor(spec: UpstreamSpec, { counters, warn }: UpstreamHost) {
    this.#warn = warn
    this.key = poolKey(spec)
    this.bounds = { headerBytes: spec.headerBytes, headerCount: spec.headerCount }
    this.address = new UpstreamAddress(spec.url, spec.tls)
    this.weight = spec.weight
    this.#connectionsMax = spec.connections
    this.#connectMs = spec.connectMs
    this.#pending = spec.pending
    this.#cells = counters.cells
    this.#cell = Cells.upstream(spec.slot, 0)
  }

  get name(): string {
    return this.address.name
  }
  get authority(): string {
    return this.address.authority
  }

  /** A reload changed what does not need a new pool. */
  adopt(spec: UpstreamSpec): void {
    this.weight = spec.weight
    this.#pending = spec.pending
  }

  /** Hands the request over, or lets it wait. False: no more may wait. */
  take(attempt: Attempt): boolean {
    if (this.#start(attempt)) return true
    if (this.#waiting.size >= this.#pending) return false
    this.#waiting.add(attempt)
    return true
  }

  /** A request that waits for a connection is taken back. */
  forget(attempt: Attempt): void {
    this.#waiting.delete(attempt)
  }

  #start(attempt: Attempt): boolean {
    // One that has to be fresh takes the place of the one that is idle for longest.
    if (attempt.fresh) {
      if (this.#connections >= this.#connectionsMax) this.#idle[0]?.destroy()
    } else {
      const idle = this.#takeIdle()
      if (idle !== undefined) {
        this.#serve(attempt, idle)
        return true
      }
    }
    if (this.#connections >= this.#connectionsMax) return false
    this.#connecting.add(new UpstreamConnection(this, attempt, this.#connectMs))
    this.#connections++
    this.#count(1)
    return true
  }

  #takeIdle(): UpstreamConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined || connection.usable(clock.now)) return connection
      connection.destroy()
    }
  }

  #serve(attempt: Attempt, connection: UpstreamConnection): void {
    this.#count(1)
    connection.take(attempt)
  }

  #count(change: 1 | -1): void {
    this.#inFlight += change
    this.#cells[this.#cell + upstreamCell.inFlight] = this.#inFlight
    ;(this.#cells[threadCell.requestsInFlight] as number) += change
    if (change === 1) (this.#cells[this.#cell + upstreamCell.requests] as number)++
  }

  onLeft(): void {
    this.#count(-1)
  }

  onOpen(connection: UpstreamConnection): void {
    this.#connecting.delete(connection)
  }

  onUntrusted(error: Error): void {
    this.#warn('upstream_tls', new Error(`connecting to ${this.name}: ${error.message}`))
  }

  onFree(connection: UpstreamConnection): void {
    const [next] = this.#waiting
    if (this.#closing || next?.fresh === true) return connection.destroy()
    if (next === undefined) {
      this.#idle.push(connection)
      return
    }
    this.#waiting.delete(next)
    this.#serve(next, connection)
  }

  onGone(connection: UpstreamConnection): void {
    this.#connections--
    this.#connecting.delete(connection)
    const at = this.#idle.lastIndexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    if (this.#waiting.size > 0) this.#pump()
  }

  #pump(): void {
    // What `#start` closes comes back here.
    if (this.#pumping) return
    this.#pumping = true
    for (const attempt of this.#waiting) {
      if (!this.#start(attempt)) break
      this.#waiting.delete(attempt)
    }
    this.#pumping = false
  }

  /** Gives up what has been opening for too long, and closes what was idle for long enough. */
  tick(now: number): void {
    for (const connection of this.#connecting) if (now >= connection.until) connection.failed()
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const connection = this.#idle[i] as UpstreamConnection
      if (now >= connection.until) connection.destroy()
    }
  }

  countFailure(): void {
    ;(this.#cells[this.#cell + upstreamCell.failures] as number)++
  }

  showEjected(ejected: boolean): void {
    this.#cells[this.#cell + upstreamCell.ejected] = ejected ? 1 : 0
  }

  /** Nothing uses it any more: its connections end now. */
  close(): void {
    this.#closing = true
    for (const connection of [...this.#idle, ...this.#connecting]) connection.destroy()
  }
}
