/** The listener of a data thread: its connections, their limit, and the drain. */
import { createServer, type Socket } from 'node:net'
import { limits } from '../contract/limits.ts'
import { type Counters, threadCell } from '../telemetry/counters.ts'
import { OpenTable, clock, tickClock } from './clock.ts'
import { ClientConnection } from './connection.ts'
import type { DataPlan } from './thread-messages.ts'
import { Snapshot, UpstreamRegistry } from './snapshot.ts'
import type { Shared } from './shared.ts'
import type { SlabPool } from './slabs.ts'

export interface ProxyOptions {
  readonly plan: DataPlan
  readonly counters: Counters
  /** One Int32: open client connections of all threads together. */
  readonly connections: SharedArrayBuffer
  readonly slabs: SlabPool
  readonly warn: (kind: string, error: unknown) => void
  /** Called once, when a drain has come to its end. */
  readonly onDrained: () => void
}

export class ProxyServer {
  readonly shared: Shared
  // RFC 9112 §9.6: a client may end its side first; what becomes of its requests is the connection's matter.
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  readonly #registry: UpstreamRegistry
  readonly #connections = new Set<ClientConnection>()
  /** Of all threads. */
  readonly #connectionsOpen: Int32Array
  readonly #options: ProxyOptions
  #drained = false

  constructor(options: ProxyOptions) {
    this.#options = options
    this.#registry = new UpstreamRegistry(options)
    this.#connectionsOpen = new Int32Array(options.connections)
    const { cells } = options.counters
    this.shared = {
      snapshot: new Snapshot(options.plan, this.#registry),
      cells,
      open: new OpenTable(),
      slabs: options.slabs,
      draining: 'no',
      pipelinedWaiting: 0,
      warn: options.warn,
      connectionClosed: (connection) => this.#closed(connection),
    }
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  #accept(socket: Socket): void {
    const { cells, snapshot } = this.shared
    const connection = new ClientConnection(socket, this.shared)
    this.#connections.add(connection)
    cells[threadCell.connectionsOpen]!++
    const over = Atomics.add(this.#connectionsOpen, 0, 1) - snapshot.listen.limits.connections
    if (over >= limits.refused_connections_max) connection.drop()
    else if (over >= 0) connection.refuse('overloaded')
  }

  #closed(connection: ClientConnection): void {
    this.#connections.delete(connection)
    this.shared.cells[threadCell.connectionsOpen]!--
    Atomics.sub(this.#connectionsOpen, 0, 1)
    this.#checkDrained()
  }

  listen(host: string, port: number, reusePort: boolean): Promise<number> {
    const server = this.#server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, reusePort, backlog: 4096 }, () => {
        server.removeListener('error', reject)
        server.on('error', (error) => this.#options.warn('listener', error))
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  /** New requests see the new plan; those that have begun keep theirs. */
  apply(data: DataPlan): void {
    const before = this.shared.snapshot
    this.shared.snapshot = new Snapshot(data, this.#registry)
    before.supersede()
  }

  /** Checks deadlines; called every TICK_MS. */
  tick(): void {
    tickClock()
    this.#registry.tick(clock.now)
    this.shared.open.checkDeadlines(clock.now)
  }

  /**
   * For `graceMs` answers say `Connection: close`, so that balancers and clients go; then nothing new is
   * accepted.
   */
  drain(graceMs: number): void {
    if (this.shared.draining !== 'no') return
    this.shared.draining = 'closing'
    setTimeout(() => this.#refuse(), graceMs)
  }

  #refuse(): void {
    this.shared.draining = 'refusing'
    if (this.#server.listening) this.#server.close()
    // Never one on which a request is arriving (trap C5).
    for (const connection of this.#connections) if (connection.quiet) connection.socket.destroy()
    this.#checkDrained()
  }

  abort(): void {
    for (const connection of this.#connections) connection.socket.destroy()
  }

  #checkDrained(): void {
    if (this.#drained || this.shared.draining !== 'refusing' || this.#connections.size > 0) return
    this.#drained = true
    this.#options.onDrained()
  }
}
