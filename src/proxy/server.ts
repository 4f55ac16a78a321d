/**
 * The listener of a data thread: node:http with its defaults made safe, the connection limit, and the
 * drain.
 */
import { type Server, createServer } from 'node:http'
import type { GatewayErrorCode } from '../contract/errors.ts'
import { type Counters, threadCell } from '../telemetry/counters.ts'
import { OpenTable, clock, tickClock } from './clock.ts'
import { ClientConnection, type ClientSocket } from './connection.ts'
import type { DataPlan } from './messages.ts'
import { Snapshot, UpstreamRegistry } from './snapshot.ts'
import { ClientRequest } from './upload.ts'
import { ClientResponse } from './response.ts'
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

interface ParseError extends NodeJS.ErrnoException {
  /** What was being read, and where in it the parser stopped. */
  readonly rawPacket?: Buffer
  readonly bytesParsed?: number
}

const codeOf: Readonly<Record<string, GatewayErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'body_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

/** RFC 9110 §5.6.2: a token, and the space after it. No method is longer than this looks at. */
const methodForm = /^[!#$%&'*+.^_`|~\w-]+ /
const METHOD_CHARS_MAX = 64

/** Whether the parser stopped in a method that it does not know, rather than in what is no HTTP at all. */
function unknownMethod({ rawPacket, bytesParsed }: ParseError): boolean {
  if (rawPacket === undefined || bytesParsed === undefined) return false
  const line = bytesParsed === 0 ? 0 : rawPacket.lastIndexOf(0x0a, bytesParsed - 1) + 1
  return methodForm.test(rawPacket.toString('latin1', line, line + METHOD_CHARS_MAX + 1))
}

function createListener(): Server<typeof ClientRequest, typeof ClientResponse> {
  const server = createServer({
    IncomingMessage: ClientRequest,
    ServerResponse: ClientResponse,
    insecureHTTPParser: false,
    // Node answers a missing Host with a bare 400; admission says it in the contract's words.
    requireHostHeader: false,
    // Kills uploads that take long; idle time is measured instead (trap C15).
    requestTimeout: 0,
    connectionsCheckingInterval: 1000,
    optimizeEmptyRequests: true,
  })
  // Above its default Node drops further fields silently; admission counts them.
  server.maxHeadersCount = 0
  return server
}

export class ProxyServer {
  readonly shared: Shared
  readonly #server = createListener()
  readonly #registry: UpstreamRegistry
  readonly #connections = new Set<ClientConnection>()
  /** Of all threads. */
  readonly #connectionsOpen: Int32Array
  readonly #options: ProxyOptions
  #refusingSince = 0
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
    this.#applyLimits()
    this.#listenToEvents()
  }

  #listenToEvents(): void {
    const server = this.#server
    server.on('connection', (socket: ClientSocket) => this.#accept(socket))
    server.on('request', (req, res) => (req.socket as ClientSocket).client?.arrive(req, res, 'none'))
    server.on('checkContinue', (req, res) =>
      (req.socket as ClientSocket).client?.arrive(req, res, 'continue'),
    )
    server.on('checkExpectation', (req, res) =>
      (req.socket as ClientSocket).client?.arrive(req, res, 'unknown'),
    )
    server.on('connect', (_req, socket) => {
      const { client } = socket as ClientSocket
      if (client?.idle === true) client.refuse('method_not_allowed')
      else socket.destroy()
    })
    server.on('clientError', (error: ParseError, socket) => this.#clientError(error, socket as ClientSocket))
  }

  #clientError(error: ParseError, socket: ClientSocket): void {
    const { client } = socket
    const code = error.code ?? ''
    const arrived = code.startsWith('HPE_')
      ? code !== 'HPE_INVALID_EOF_STATE'
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
    // A connection that never said anything is closed without a word, like one that is gone.
    if (client === undefined || !arrived || !socket.writable || socket.bytesRead === 0) socket.destroy()
    else if (code === 'HPE_INVALID_METHOD' && unknownMethod(error)) client.fail('method_not_allowed')
    else client.fail(codeOf[code] ?? 'bad_request')
  }

  #accept(socket: ClientSocket): void {
    const { cells, snapshot } = this.shared
    const connection = new ClientConnection(socket, this.shared)
    this.#connections.add(connection)
    cells[threadCell.connectionsOpen]!++
    const before = Atomics.add(this.#connectionsOpen, 0, 1)
    if (before >= snapshot.listen.limits.connections) connection.refuse('overloaded')
  }

  #closed(connection: ClientConnection): void {
    this.#connections.delete(connection)
    this.shared.cells[threadCell.connectionsOpen]!--
    Atomics.sub(this.#connectionsOpen, 0, 1)
    this.#checkDrained()
  }

  /** What of the configuration Node's server itself obeys; its properties may change while it listens. */
  #applyLimits(): void {
    const { limits, timeouts } = this.shared.snapshot.listen
    const server = this.#server as Server & { maxHeaderSize: number }
    server.maxHeaderSize = limits.header_bytes
    server.headersTimeout = timeouts.header_ms
    server.keepAliveTimeout = timeouts.idle_ms
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
    this.#applyLimits()
  }

  /** Checks deadlines; called every TICK_MS. */
  tick(): void {
    tickClock()
    this.#registry.tick(clock.now)
    this.shared.open.checkDeadlines(clock.now)
    if (this.#refusingSince === 0) return
    // Once it is closed, Node's server no longer times out half a request head.
    const { header_ms } = this.shared.snapshot.listen.timeouts
    if (clock.now - this.#refusingSince > header_ms) this.#destroyIdle()
  }

  #destroyIdle(): void {
    for (const connection of this.#connections) if (connection.idle) connection.socket.destroy()
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
    this.#refusingSince = clock.now
    for (const connection of this.#connections) {
      if (connection.idle && connection.socket.bytesRead === 0) connection.socket.destroy()
    }
    // Closes idle connections too; never one on which a request is arriving (trap C5).
    if (this.#server.listening) this.#server.close()
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
