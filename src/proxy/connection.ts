/**
 * One client connection: its requests run one at a time, in order; a few may wait, then reading stops. Also
 * what ends a connection without losing the last answer.
 */
import { randomUUIDv7 } from 'node:crypto'
import type { Socket } from 'node:net'
import type { GatewayErrorCode } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { gatewayAnswer, rawAnswer, rejectedCell } from './answer.ts'
import { type Open, clock } from './clock.ts'
import { Exchange } from './exchange.ts'
import { plainAddress } from './forwarded.ts'
import type { Snapshot } from './snapshot.ts'
import type { ClientRequest } from './upload.ts'
import type { ClientResponse } from './response.ts'
import type { Shared } from './shared.ts'

export interface ClientSocket extends Socket {
  client?: ClientConnection
}

/** What a request says in Expect: nothing, `100-continue`, or something else. */
export type Expectation = 'none' | 'continue' | 'unknown'

interface Arrival {
  readonly req: ClientRequest
  readonly res: ClientResponse
  readonly expects: Expectation
}

export class ClientConnection implements Open {
  readonly socket: ClientSocket
  readonly shared: Shared
  readonly address: string
  readonly port: number
  place = -1
  #active: Exchange | null = null
  readonly #waiting: Arrival[] = []
  #trustedBy: Snapshot | null = null
  #trusted = false
  /** No further request is taken. */
  #ending = false
  #paused = false
  #requests = 0
  /** What is said when the requests before a broken one are answered. */
  #broken: GatewayErrorCode | null = null
  /** When a connection that lingers is destroyed; 0 = it does not linger. */
  #lingerUntil = 0

  constructor(socket: ClientSocket, shared: Shared) {
    this.socket = socket
    this.shared = shared
    this.address = plainAddress(socket.remoteAddress ?? '')
    this.port = socket.remotePort ?? 0
    socket.client = this
    socket.on('close', onSocketClose)
  }

  get idle(): boolean {
    return this.#active === null && this.#waiting.length === 0
  }

  trusted(snapshot: Snapshot): boolean {
    if (this.#trustedBy !== snapshot) {
      this.#trustedBy = snapshot
      this.#trusted = snapshot.trusts(this.address)
    }
    return this.#trusted
  }

  /** Takes a request as Node has parsed it: now, or when those before it are answered. */
  arrive(req: ClientRequest, res: ClientResponse, expects: Expectation): void {
    if (this.#ending) return
    if (this.#active === null && this.#waiting.length === 0) {
      this.#start(req, res, expects)
      return
    }
    this.#waiting.push({ req, res, expects })
    if (++this.shared.pipelinedWaiting > limits.pipelined_waiting_max) {
      this.shared.cells[rejectedCell('overloaded')]!++
      this.socket.destroy()
    } else if (this.#waiting.length >= this.shared.snapshot.listen.limits.pipelined && !this.#paused) {
      this.#paused = true
      // Not at once: Node resumes the socket after each message of the read that brought this one.
      process.nextTick(pauseReading, this)
    }
  }

  pauseReading(): void {
    if (this.#paused) this.socket.pause()
  }

  #start(req: ClientRequest, res: ClientResponse, expects: Expectation): void {
    const { requests_per_connection: max } = this.shared.snapshot.listen.limits
    // Not Node's maxRequestsPerSocket: that one says close and then waits for the client to do it.
    if (++this.#requests === max || this.shared.draining !== 'no') res.shouldKeepAlive = false
    const exchange = new Exchange(this, req, res)
    this.#active = exchange
    exchange.begin(expects)
  }

  /** The exchange is over and its request is read: the next one may run. */
  finished(exchange: Exchange): void {
    if (this.#active !== exchange) return
    this.#active = null
    // RFC 9112 §9.6: nothing after an answer that said close.
    if (!exchange.res.shouldKeepAlive) this.#ending = true
    if (this.#ending) return
    const next = this.#waiting.shift()
    if (next !== undefined) {
      this.shared.pipelinedWaiting--
      if (this.#paused && this.#waiting.length <= this.shared.snapshot.listen.limits.pipelined >> 1) {
        this.#paused = false
        this.socket.resume()
      }
      this.#start(next.req, next.res, next.expects)
    } else if (this.#broken !== null) this.refuse(this.#broken)
  }

  /** What arrived is not HTTP, or did not arrive in time. */
  fail(code: GatewayErrorCode): void {
    if (this.#ending) return
    if (this.#active === null) this.refuse(code)
    else if (this.#waiting.length > 0 || this.#active.uploaded) this.#broken = code
    else this.#active.breakUpload(code)
  }

  /** Answers without a request, and closes. */
  refuse(code: GatewayErrorCode): void {
    const { snapshot, cells } = this.shared
    cells[rejectedCell(code)]!++
    this.socket.write(
      rawAnswer(gatewayAnswer(code, randomUUIDv7(), snapshot.listen.server_header, snapshot.allow)),
    )
    this.linger()
  }

  /**
   * Ends the sending side after what was written, goes on reading for a while (RFC 9112 §9.6), then
   * destroys.
   */
  linger(): void {
    if (this.#lingerUntil !== 0 || this.socket.destroyed) return
    this.#ending = true
    this.#lingerUntil = clock.now + limits.linger_ms
    this.shared.open.add(this)
    this.socket.end()
    this.socket.resume()
  }

  /**
   * Node destroys a socket right after its last answer; with unread input that would be a reset. Linger
   * instead.
   */
  lingerAtEnd(): void {
    this.socket.destroySoon = lingerInstead
  }

  checkDeadline(now: number): void {
    if (now >= this.#lingerUntil) this.socket.destroy()
  }

  closed(): void {
    this.#ending = true
    if (this.place !== -1) this.shared.open.remove(this)
    this.shared.pipelinedWaiting -= this.#waiting.length
    this.#waiting.length = 0
    this.#active?.onConnectionClosed()
    this.shared.connectionClosed(this)
  }
}

function pauseReading(connection: ClientConnection): void {
  connection.pauseReading()
}

function onSocketClose(this: ClientSocket): void {
  this.client?.closed()
}

function lingerInstead(this: ClientSocket): void {
  this.client?.linger()
}
