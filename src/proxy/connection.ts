/**
 * One client connection: what is read on it, its requests one at a time and in order, and how it ends without
 * losing the last answer. A few requests may wait; then, and while nobody wants a body, what was read is kept
 * and reading stops.
 */
import { randomUUIDv7 } from 'node:crypto'
import type { Socket } from 'node:net'
import type { GatewayErrorCode } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { answerText, gatewayAnswer, rejectedCell } from './answer.ts'
import { openClientSocket } from './client-socket.ts'
import { type Open, clock, UNSEEN } from './clock.ts'
import { Exchange } from './exchange.ts'
import { plainAddress } from './forwarded.ts'
import type { Fault } from './message-parser.ts'
import type { RequestHead } from './request-head.ts'
import { RequestParser, type RequestSource } from './request-parser.ts'
import type { Shared } from './shared.ts'
import type { Snapshot } from './snapshot.ts'
import type { Upload, UploadSource } from './upload.ts'

interface ClientSocket extends Socket {
  client?: ClientConnection
}

const codeOf: Readonly<Record<Fault, GatewayErrorCode>> = {
  malformed: 'bad_request',
  head_too_large: 'headers_too_large',
  extensions_too_large: 'body_too_large',
}

const NOTHING: Buffer = Buffer.alloc(0)

export class ClientConnection implements Open, RequestSource, UploadSource {
  readonly socket: Socket
  readonly shared: Shared
  readonly address: string
  readonly port: number
  place = -1
  readonly #parser: RequestParser
  #active: Exchange | null = null
  /** The body that is being read. */
  #upload: Upload | null = null
  readonly #waiting: RequestHead[] = []
  /** What was read: `#at` to `#to` of it is not parsed yet. */
  #bytes = NOTHING
  #at = 0
  #to = 0
  #advancing = false
  /** Reading has stopped until what was read is parsed. */
  #stopped = false
  #trustedBy: Snapshot | null = null
  #trusted = false
  /** No further request is taken. */
  #ending = false
  #requests = 0
  /** When the connection became idle, or the head of a request began on an idle one. */
  #since = UNSEEN
  /** What is said when the requests before a broken one are answered. */
  #broken: GatewayErrorCode | null = null
  /** When a connection that lingers is destroyed; 0 = it does not linger. */
  #lingerUntil = 0

  constructor(accepted: Socket, shared: Shared) {
    this.shared = shared
    this.address = plainAddress(accepted.remoteAddress ?? '')
    this.port = accepted.remotePort ?? 0
    const { header_bytes, header_count } = shared.snapshot.listen.limits
    this.#parser = new RequestParser({ headerBytes: header_bytes, headerCount: header_count }, this)
    const socket: ClientSocket = openClientSocket(accepted, (bytes, length) => this.#read(bytes, length))
    this.socket = socket
    socket.client = this
    socket.on('end', onEnd)
    socket.on('error', onError)
    socket.on('close', onClose)
    socket.on('drain', onDrain)
    shared.open.add(this)
    // Who was gone before it was accepted has no address to tell anybody, and waits for no answer.
    if (this.address === '') socket.destroy()
    else socket.resume()
  }

  /** Nothing is under way on it, and nothing has begun to arrive. */
  get quiet(): boolean {
    return this.#active === null && this.#waiting.length === 0 && !this.#parser.inHead
  }

  trusted(): boolean {
    const { snapshot } = this.shared
    if (this.#trustedBy !== snapshot) {
      this.#trustedBy = snapshot
      this.#trusted = snapshot.trusts(this.address)
    }
    return this.#trusted
  }

  // ── reading ─────────────────────────────────────────────────────────────────────────────────────────────

  /** The bytes are lent for the call. */
  #read(bytes: Buffer, length: number): boolean {
    // While it lingers, whatever comes is thrown away.
    if (this.#ending) return true
    const quiet = this.quiet
    this.#bytes = bytes
    this.#at = 0
    this.#to = length
    this.advance()
    if (quiet && this.#parser.inHead) this.#since = UNSEEN
    if (this.#at === this.#to || this.#ending) return true
    this.#bytes = Buffer.from(bytes.subarray(this.#at, this.#to))
    this.#to -= this.#at
    this.#at = 0
    this.#stopped = true
    return false
  }

  /** Does what can be done now with what was read. */
  advance(): void {
    if (this.#advancing) return
    this.#advancing = true
    try {
      while (!this.#ending && !this.socket.destroyed && this.#step());
    } catch (error) {
      // A bug ends this connection only.
      this.shared.warn('connection_error', error)
      this.socket.destroy()
      this.#ending = true
    }
    this.#advancing = false
    if (!this.#stopped || (this.#at < this.#to && !this.#ending)) return
    this.#stopped = false
    this.#bytes = NOTHING
    this.#at = this.#to = 0
    this.socket.resume()
  }

  #step(): boolean {
    if (this.#active === null && this.#waiting.length > 0) {
      this.shared.pipelinedWaiting--
      this.#start(this.#waiting.shift() as RequestHead)
      return true
    }
    if (this.#at === this.#to || !this.#wantsMore()) return false
    this.#parse()
    return true
  }

  /** Whether somebody takes what the parser would find next. */
  #wantsMore(): boolean {
    if (this.#parser.broken) return false
    if (this.#upload !== null) return this.#upload.flowing
    if (this.#parser.bodyWaits) return false
    return this.#waiting.length < this.shared.snapshot.listen.limits.pipelined
  }

  #parse(): void {
    const parser = this.#parser
    this.#at = parser.feed(this.#bytes, this.#at, this.#to)
    if (parser.broken) this.#fail(codeOf[parser.fault])
    else if (parser.head !== null) {
      if (parser.done) parser.begin()
      this.#arrive(parser.head)
    } else if (this.#upload !== null) this.#feed(this.#upload)
  }

  #feed(upload: Upload): void {
    const parser = this.#parser
    const { dataStart, dataEnd } = parser
    if (dataEnd > dataStart) upload.data(this.#bytes.subarray(dataStart, dataEnd))
    if (!parser.done) return
    const { trailers } = parser
    this.#upload = null
    parser.begin()
    upload.end(trailers)
  }

  // ── requests ────────────────────────────────────────────────────────────────────────────────────────────

  #arrive(head: RequestHead): void {
    if (this.#active === null && this.#waiting.length === 0) return this.#start(head)
    this.#waiting.push(head)
    if (++this.shared.pipelinedWaiting <= limits.pipelined_waiting_max) return
    this.drop()
  }

  #start(head: RequestHead): void {
    const { requests_per_connection: max } = this.shared.snapshot.listen.limits
    this.#requests++
    const last = (max > 0 && this.#requests >= max) || this.shared.draining !== 'no'
    const exchange = new Exchange(this, head, last)
    this.#active = exchange
    exchange.begin()
    if (!head.hasBody) return
    this.#upload = exchange.upload
    this.#parser.proceed()
  }

  /** The exchange is over and its request is read: the next one may run. */
  finished(exchange: Exchange): void {
    if (this.#active !== exchange) return
    this.#active = null
    this.#since = UNSEEN
    if (this.#ending) return
    // RFC 9112 §9.6: nothing after an answer that said close.
    if (!exchange.res.keepAlive) this.linger()
    // Its head left before the drain began, and promised that more might follow.
    else if (this.shared.draining === 'refusing' && this.quiet) this.linger()
    else if (this.#broken !== null && this.#waiting.length === 0) this.refuse(this.#broken)
    else this.advance()
  }

  /** What arrived is not HTTP, or did not arrive in time. */
  #fail(code: GatewayErrorCode): void {
    if (this.#active === null && this.#waiting.length === 0) this.refuse(code)
    else if (this.#waiting.length > 0 || this.#active?.uploaded === true) this.#broken = code
    else this.#active?.breakUpload(code)
  }

  /** Answers without a request, and closes. */
  refuse(code: GatewayErrorCode): void {
    const { snapshot, cells } = this.shared
    cells[rejectedCell(code)]!++
    const answer = gatewayAnswer(code, randomUUIDv7(), snapshot.listen.server_header, snapshot.allow)
    this.socket.write(answerText(answer, 'connection: close\r\n', false))
    this.linger()
  }

  /** Refuses without a word. */
  drop(): void {
    this.shared.cells[rejectedCell('overloaded')]!++
    this.#ending = true
    this.socket.destroy()
  }

  // ── the end ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Ends the sending side after what was written, and goes on reading for a while (RFC 9112 §9.6): closed
   * with unread input, the last answer could be lost to a reset.
   */
  linger(): void {
    if (this.#lingerUntil !== 0 || this.socket.destroyed) return
    this.#ending = true
    this.#lingerUntil = clock.now + limits.linger_ms
    this.socket.end()
    this.socket.resume()
  }

  checkDeadline(now: number): void {
    if (this.#lingerUntil !== 0) {
      if (now >= this.#lingerUntil) this.socket.destroy()
    } else if (this.#active !== null) this.#active.checkDeadline(now)
    else if (this.#since === UNSEEN) this.#since = now
    else this.#checkSilence(now - this.#since)
  }

  #checkSilence(silentMs: number): void {
    const { header_ms, idle_ms } = this.shared.snapshot.listen.timeouts
    if (this.#parser.inHead) {
      if (silentMs > header_ms) this.refuse('request_timeout')
    } else if (silentMs > (this.#requests === 0 ? header_ms : idle_ms)) {
      // Nothing was asked for: it is closed without a word.
      this.socket.destroy()
    }
  }

  /** The client ends its side. Whoever does that before its answer has left. */
  ended(): void {
    if (!this.#ending) this.socket.destroy()
  }

  drained(): void {
    this.#active?.res.drained()
  }

  closed(): void {
    this.#ending = true
    this.shared.open.remove(this)
    this.shared.pipelinedWaiting -= this.#waiting.length
    this.#waiting.length = 0
    this.#bytes = NOTHING
    this.#at = this.#to = 0
    this.#active?.onConnectionClosed()
    this.shared.connectionClosed(this)
  }
}

// Shared listeners: one function each for all sockets.

function onEnd(this: ClientSocket): void {
  this.client?.ended()
}
function onError(this: ClientSocket): void {
  // What there is to do is done when it closes.
}
function onClose(this: ClientSocket): void {
  this.client?.closed()
}
function onDrain(this: ClientSocket): void {
  this.client?.drained()
}
