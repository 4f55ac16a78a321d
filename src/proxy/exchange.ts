/**
 * One exchange: a client's request, what becomes of it, and its answer. The methods stand in the order in
 * which things
 * happen: begin, request body, answer, end. An exchange keeps the snapshot it began with (trap A21).
 */
import { randomUUIDv7 } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { GatewayErrorCode } from '../contract/errors.ts'
import type { Outcome } from '../contract/exchange.ts'
import { limits } from '../contract/limits.ts'
import { threadCell } from '../telemetry/counters.ts'
import { admit } from './admit.ts'
import { gatewayAnswer, rejectedCell } from './answer.ts'
import { type Open, clock } from './clock.ts'
import type {
  ClientConnection,
  ClientRequest,
  ClientResponse,
  ClientSocket,
  Expectation,
} from './connection.ts'
import { type Answered, Attempt, type FailureKind, type ForwardRequest, type Upstream } from './forward.ts'
import {
  type RequestHead,
  addGatewayFields,
  clientAddress,
  dropField,
  forwardedScheme,
  idForUpstream,
  readRequestHead,
  readResponseHead,
  trailerPairs,
} from './headers.ts'
import type { Collection, Snapshot } from './snapshot.ts'
import { upstreamTarget } from './route.ts'
import { type Ended, countUpstreamError, seal } from './seal.ts'
import { type Tap, openTap } from './tap.ts'

/** Where an exchange stands; decides whose silence its deadline measures. */
const phase = {
  /** The request waits for an upstream, for a connection to it, or is being sent. */
  sending: 0,
  /** The request is sent, no answer yet. */
  awaiting: 1,
  /** The head of the answer is here. */
  answering: 2,
  /** The answer is complete and on its way to the client. */
  flushing: 3,
  /** Answered and sealed; the rest of the request body is read and thrown away. */
  discarding: 4,
  over: 5,
} as const

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'PUT',
  'DELETE',
  'PROPFIND',
  'REPORT',
  'SEARCH',
  'QUERY',
])
/** RFC 9112 §4: what a reason phrase may hold. */
const reasonForm = /^[\t\x20-\x7e\x80-\xff]*$/
const NOTHING: string[] = []

const answerTo: Readonly<Record<FailureKind, GatewayErrorCode>> = {
  unreachable: 'upstream_unreachable',
  reset: 'upstream_reset',
  truncated: 'upstream_reset',
  protocol: 'upstream_protocol_error',
  invalid: 'bad_request',
}

export class Exchange implements Open, Answered, Ended {
  place = -1
  readonly id = randomUUIDv7()
  readonly connection: ClientConnection
  readonly req: ClientRequest
  readonly res: ClientResponse
  readonly snapshot: Snapshot
  readonly method: string
  readonly version: string
  collection: Collection | null = null
  tap: Tap | null = null
  host = ''
  target = ''
  path = ''
  scheme: 'http' | 'https' = 'http'
  clientIp = ''
  requestId = ''
  outcome: Outcome = 'complete'
  upstreamName = ''
  readonly startedAt = performance.now()
  forwardedAt = 0
  answeredAt = 0
  upstreamEndedAt = 0
  status: number | null = null
  answerFields: string[] = NOTHING
  answerTrailers: string[] = NOTHING
  requestTrailers: string[] = NOTHING
  /** The whole request body was read, or there is none. */
  uploaded = true
  #phase: number = phase.sending
  /** Coarse time of the last sign of life of whoever the phase waits for. */
  #touchedAt = clock.now
  #forward: ForwardRequest | null = null
  #attempt: Attempt | null = null
  #retries = 0
  /** Listening to the request body; it is read when the upstream, or nobody any more, wants it. */
  #reading = false
  #uploadPaused = false
  #discard = false
  #discarded = 0
  #requestBytes = 0
  /** The answer has no body by its method or status (RFC 9112 §6.3). */
  #bodyless = false
  /** The first chunk, until the tick is over: head and body of a small answer then leave in one write. */
  #held: Buffer | null = null
  #sameTick = false
  #clientFull = false
  #draining = false
  /** The body ends only with the connection: a cut must then be a reset to be seen. */
  #closeDelimited = false
  #cut = false
  #queueSize = 0

  constructor(connection: ClientConnection, req: ClientRequest, res: ClientResponse) {
    this.connection = connection
    this.req = req
    this.res = res
    this.snapshot = connection.shared.snapshot
    this.method = req.method ?? ''
    this.version = req.httpVersion
  }

  get clientPort(): number {
    return this.connection.port
  }
  get requestFields(): readonly string[] {
    return this.req.rawHeaders
  }

  // ── begin ─────────────────────────────────────────────────────────────────────────────────────────────────────

  begin(expects: Expectation): void {
    const { connection, req, res, snapshot } = this
    const { shared } = connection
    shared.open.add(this)
    shared.cells[threadCell.exchangesOpen]!++
    snapshot.enter()
    req.exchange = this
    res.exchange = this
    res.on('close', onResponseClose)
    try {
      const head = readRequestHead(req.rawHeaders)
      const trusted = connection.trusted(snapshot)
      this.uploaded = !head.chunked && !(head.contentLength > 0)
      this.requestId = idForUpstream(head, this.id)
      this.scheme = forwardedScheme(head, trusted)
      this.clientIp = trusted
        ? clientAddress(head.forwardedFor, connection.address, snapshot.trusts)
        : connection.address
      const code = admit(req, head, snapshot, expects, shared.draining === 'refusing', this)
      if (this.collection !== null) this.#openTap(this.collection)
      if (code !== null) this.#answer(code, 'rejected')
      else this.#send(head, this.collection as unknown as Collection, trusted, expects)
    } catch (error) {
      this.#crash(error)
    }
  }

  #openTap(collection: Collection): void {
    if (collection.mirrors.length === 0) return
    const { shared } = this.connection
    try {
      const { id, method, path, clientIp, req } = this
      this.tap = openTap(
        collection.mirrors,
        { id, method, path, clientIp, fields: req.rawHeaders },
        shared.slabs,
      )
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  #send(head: RequestHead, collection: Collection, trusted: boolean, expects: Expectation): void {
    const fields = addGatewayFields(head, {
      peer: this.connection.address,
      trusted,
      host: this.host,
      requestId: this.requestId,
      httpVersion: this.version,
      hostForUpstream: collection.hostFromClient ? this.host : '',
    })
    this.#forward = {
      method: this.method,
      path: upstreamTarget(this.target, collection),
      fields,
      hasBody: !this.uploaded,
    }
    this.#retries = collection.retryAttempts
    collection.retryBudget.request()
    // RFC 9110 §10.1.1: the route and the limits allow the body, so the client may send it.
    if (expects === 'continue' && !this.uploaded) this.res.writeContinue()
    this.#try(collection, null)
  }

  #try(collection: Collection, not: Upstream | null): void {
    const upstream = collection.balancer.pick(clock.now, not)
    const attempt = new Attempt(upstream, this.#forward as ForwardRequest, this)
    this.#attempt = attempt
    this.#phase = phase.sending
    this.#touchedAt = clock.now
    this.upstreamName = upstream.name
    if (this.forwardedAt === 0) this.forwardedAt = performance.now()
    if (upstream.take(attempt)) return
    this.#attempt = null
    this.#answer('overloaded', 'rejected')
  }

  retry(not: Upstream): void {
    if (this.#phase !== phase.sending || this.#attempt !== null) return
    this.#try(this.collection as Collection, not)
  }

  // ── request body ──────────────────────────────────────────────────────────────────────────────────────────────

  onUploadWanted(): void {
    this.#uploadPaused = false
    this.#touchedAt = clock.now
    if (this.uploaded) process.nextTick(sendEnd, this)
    else this.#read()
  }

  #read(): void {
    const { req } = this
    if (!this.#reading) {
      this.#reading = true
      req.on('data', onRequestData)
      req.on('end', onRequestEnd)
    }
    req.resume()
  }

  onUploadPaused(): void {
    this.#uploadPaused = true
    this.req.pause()
  }

  onUploadStopped(): void {
    if (this.uploaded) return
    if (this.#phase >= phase.answering) this.#discardUpload()
    else this.req.pause()
  }

  /** Nobody wants the rest of the body: it is read and thrown away, so that the connection stays in use. */
  #discardUpload(): void {
    this.#discard = true
    this.#read()
  }

  onRequestData(chunk: Buffer): void {
    this.#touchedAt = clock.now
    if (this.#discard) {
      this.#discarded += chunk.length
      if (this.#discarded > limits.early_answer_drain_bytes) this.#discardEnough()
      return
    }
    this.#requestBytes += chunk.length
    const max = this.collection?.bodyBytesMax ?? 0
    if (max > 0 && this.#requestBytes > max) return this.#giveUp('body_too_large', 'rejected')
    this.#attempt?.send(chunk)
    if (this.tap === null) return
    try {
      this.tap.requestChunk(chunk)
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  #discardEnough(): void {
    // Before the answer is out it waits; after it, the connection ends in a way the client can see.
    if (this.#phase !== phase.discarding) this.req.pause()
    else this.connection.linger()
  }

  onRequestEnd(): void {
    this.uploaded = true
    const { rawTrailers } = this.req
    if (rawTrailers.length > 0) this.requestTrailers = rawTrailers
    this.sendEnd()
    if (this.#phase === phase.discarding) this.#leave()
  }

  sendEnd(): void {
    this.#attempt?.sendEnd()
  }

  /** The parser broke inside the body of this request. */
  breakUpload(code: GatewayErrorCode): void {
    this.#giveUp(code, code === 'request_timeout' ? 'timeout' : 'rejected')
  }

  onRequestSent(): void {
    if (this.#phase === phase.sending) this.#phase = phase.awaiting
    this.#touchedAt = clock.now
  }

  // ── answer ────────────────────────────────────────────────────────────────────────────────────────────────────

  onInterim(status: number, fields: string[]): void {
    this.#touchedAt = clock.now
    if (this.version !== '1.1' || this.#phase >= phase.answering) return
    try {
      this.res.writeInformation(status, readResponseHead(fields).keep)
    } catch {
      // An interim answer is a courtesy (RFC 9110 §15.2): one that cannot be written is left out.
    }
  }

  onAnswerHead(status: number, reason: string, fields: string[]): void {
    const { res } = this
    this.#touchedAt = clock.now
    this.answeredAt = performance.now()
    if (this.#attempt !== null) this.collection?.balancer.succeeded(this.#attempt.upstream)
    const head = readResponseHead(fields)
    const { keep } = head
    this.#bodyless = this.method === 'HEAD' || status === 204 || status === 304
    // RFC 9110 §8.6, RFC 9112 §6.3: no length with 204, none beside chunked.
    if (head.hasLength && (status === 204 || head.chunked)) dropField(keep, 'content-length')
    const chunked = !this.#bodyless && this.version === '1.1' && (head.chunked || !head.hasLength)
    this.#closeDelimited = !chunked && !head.hasLength
    if (head.trailer !== '' && chunked) keep.push('trailer', head.trailer)
    if ((this.#closeDelimited && !this.#bodyless) || this.connection.shared.draining !== 'no') {
      res.shouldKeepAlive = false
    }
    res.sendDate = false
    try {
      res.writeHead(status, reasonForm.test(reason) ? reason : '', keep)
    } catch {
      this.#unwritable(status)
      return
    }
    this.status = status
    this.answerFields = keep
    this.#phase = phase.answering
    this.#sameTick = true
    process.nextTick(endTick, this)
  }

  /** The upstream's head holds bytes that no head may hold (trap C13). */
  #unwritable(status: number): void {
    const attempt = this.#attempt as Attempt
    attempt.cancel()
    if (status !== 204 && status !== 304) return this.onFailure('protocol', attempt)
    // Node has noted that this response has no body, so no other answer can be written any more.
    this.#blame(attempt.upstream, 'protocol')
    this.#attempt = null
    this.outcome = 'upstream_error'
    this.#cut = true
    this.connection.socket.destroy()
  }

  /** What came with the head has come: it leaves now, however long the rest takes (trap A13). */
  endTick(): void {
    this.#sameTick = false
    if (this.#phase !== phase.answering) return
    const held = this.#held
    this.#held = null
    if (held === null) this.res.flushHeaders()
    else this.#write(held)
  }

  onAnswerData(chunk: Buffer): boolean {
    this.#touchedAt = clock.now
    if (this.#bodyless || this.#phase !== phase.answering) return true
    if (this.#sameTick && this.#held === null) this.#held = chunk
    else {
      const held = this.#held
      this.#held = null
      if (held !== null) this.#write(held)
      this.#write(chunk)
    }
    if (this.tap !== null) {
      try {
        this.tap.responseChunk(chunk)
      } catch (error) {
        this.#captureFailed(error)
      }
    }
    return !this.#clientFull
  }

  #write(chunk: Buffer): void {
    if (this.res.write(chunk) || this.#clientFull) return
    this.#clientFull = true
    if (!this.#draining) {
      this.#draining = true
      this.res.on('drain', onResponseDrain)
    }
    this.#attempt?.pause()
  }

  onResponseDrain(): void {
    this.#touchedAt = clock.now
    this.#clientFull = false
    this.#attempt?.resume()
  }

  onAnswerEnd(trailers: string[]): void {
    this.#attempt = null
    this.#touchedAt = clock.now
    this.upstreamEndedAt = performance.now()
    if (this.#phase !== phase.answering) return
    this.#phase = phase.flushing
    try {
      if (trailers.length > 0) this.#addTrailers(trailers)
      const held = this.#held
      this.#held = null
      if (!this.uploaded) this.#discardUpload()
      if (held === null) this.res.end()
      else this.res.end(held)
    } catch (error) {
      this.#crash(error)
    }
  }

  #addTrailers(trailers: string[]): void {
    this.answerTrailers = trailers
    try {
      if (!this.#closeDelimited) this.res.addTrailers(trailerPairs(trailers))
    } catch {
      // Bytes that HTTP does not allow: the answer itself is whole, so it ends without them.
      this.res.addTrailers([])
    }
  }

  onFailure(kind: FailureKind, attempt: Attempt): void {
    this.#attempt = null
    this.upstreamEndedAt = performance.now()
    if (this.#phase >= phase.flushing) return
    try {
      if (kind !== 'invalid') this.#blame(attempt.upstream, kind)
      if (this.#phase === phase.answering) this.#cutAnswer('upstream_error')
      else if (this.#mayRetry(kind, attempt)) process.nextTick(retry, this, attempt.upstream)
      else this.#answer(answerTo[kind], kind === 'invalid' ? 'rejected' : 'upstream_error')
    } catch (error) {
      this.#crash(error)
    }
  }

  #blame(upstream: Upstream, reason: Exclude<FailureKind, 'invalid'> | 'timeout'): void {
    const collection = this.collection as Collection
    countUpstreamError(this.connection.shared.cells, collection, reason)
    upstream.countFailure()
    if (collection.balancer.failed(upstream, clock.now)) upstream.showEjected(true)
  }

  /** RFC 9110 §9.2.2: again only what was never sent, or is idempotent and has no body that is gone. */
  #mayRetry(kind: FailureKind, attempt: Attempt): boolean {
    if ((kind !== 'unreachable' && kind !== 'reset') || this.#retries === 0 || attempt.answering) return false
    if (attempt.sent && ((this.#forward as ForwardRequest).hasBody || !idempotent.has(this.method)))
      return false
    if (!(this.collection as Collection).retryBudget.take()) return false
    this.#retries--
    this.#phase = phase.sending
    return true
  }

  // ── end ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends the upstream's part, and answers if that is still possible. */
  #giveUp(code: GatewayErrorCode, outcome: Outcome): void {
    this.#attempt?.cancel()
    this.#attempt = null
    if (this.#phase >= phase.flushing) this.connection.socket.destroy()
    else if (this.#phase === phase.answering) this.#cutAnswer(outcome)
    else this.#answer(code, outcome)
  }

  #answer(code: GatewayErrorCode, outcome: Outcome): void {
    const { res, connection, snapshot } = this
    connection.shared.cells[rejectedCell(code)]!++
    const answer = gatewayAnswer(
      code,
      this.requestId || this.id,
      snapshot.listen.server_header,
      snapshot.allow,
    )
    this.outcome = outcome
    this.status = answer.status
    this.answerFields = answer.fields
    this.answeredAt = performance.now()
    this.#phase = phase.flushing
    this.#touchedAt = clock.now
    if (answer.close) res.shouldKeepAlive = false
    res.sendDate = true
    res.writeHead(answer.status, STATUS_CODES[answer.status], answer.fields)
    if (!this.uploaded) {
      if (!res.shouldKeepAlive) connection.lingerAtEnd()
      this.#discardUpload()
    }
    res.end(answer.body)
    if (this.method !== 'HEAD') this.tap?.responseChunk(Buffer.from(answer.body))
  }

  /**
   * The answer cannot be completed: what is there goes out, and the end of the connection shows that it is
   * cut.
   */
  #cutAnswer(outcome: Outcome): void {
    this.outcome = outcome
    this.#cut = true
    this.#phase = phase.flushing
    this.#touchedAt = clock.now
    if (this.#held !== null) this.res.write(this.#held)
    else if (this.#sameTick) this.res.flushHeaders()
    this.#held = null
    // After Node's own tick, which sends what `write` has gathered.
    setImmediate(closeCut, this)
  }

  closeCut(): void {
    const { socket } = this.connection
    // RFC 9112 §8: a body without a length or chunks would look complete after an orderly end.
    if (this.#closeDelimited) socket.resetAndDestroy()
    else socket.destroySoon()
  }

  /** A bug in this exchange ends this exchange only. */
  #crash(error: unknown): void {
    this.connection.shared.warn('exchange_error', error)
    this.#attempt?.cancel()
    this.#attempt = null
    this.outcome = 'upstream_error'
    this.#cut = true
    this.connection.socket.destroy()
  }

  #captureFailed(error: unknown): void {
    const { shared } = this.connection
    shared.cells[threadCell.captureErrors]!++
    shared.warn('capture_error', error)
    this.tap?.release()
    this.tap = null
  }

  /** The client has all of the answer, or has left. */
  onResponseClose(): void {
    if (this.#phase >= phase.discarding) return
    const whole = this.res.writableFinished
    if (!whole) {
      if (!this.#cut) this.outcome = 'client_aborted'
      this.#attempt?.cancel()
      this.#attempt = null
    }
    this.#held = null
    seal(this, this.connection.shared)
    this.tap = null
    if (!whole || this.uploaded || this.connection.socket.destroyed) return this.#leave()
    this.#phase = phase.discarding
    this.#touchedAt = clock.now
    if (this.#discarded > limits.early_answer_drain_bytes) this.connection.linger()
    this.req.resume()
  }

  onConnectionClosed(): void {
    this.onResponseClose()
    if (this.#phase === phase.discarding) this.#leave()
  }

  #leave(): void {
    const { shared } = this.connection
    this.#phase = phase.over
    shared.open.remove(this)
    shared.cells[threadCell.exchangesOpen]!--
    this.snapshot.leave()
    this.connection.finished(this)
  }

  checkDeadline(now: number): void {
    const silentMs = now - this.#touchedAt
    const { body_idle_ms } = this.snapshot.listen.timeouts
    switch (this.#phase) {
      case phase.sending:
        return this.#checkSending(silentMs, body_idle_ms)
      case phase.awaiting:
        if (silentMs > (this.collection as Collection).timeouts.response_ms) this.#upstreamTimeout()
        return
      case phase.answering:
        if (!this.#clientFull) {
          if (silentMs > (this.collection as Collection).timeouts.idle_ms) this.#upstreamTimeout()
          return
        }
        break
    }
    if (silentMs > body_idle_ms && !this.#flushed()) this.#clientTimeout()
  }

  #checkSending(silentMs: number, bodyIdleMs: number): void {
    const waitsForClient = this.#reading && !this.uploaded && !this.#uploadPaused
    if (waitsForClient) {
      if (silentMs > bodyIdleMs) this.#giveUp('request_timeout', 'timeout')
    } else if (silentMs > (this.collection as Collection).timeouts.response_ms) this.#upstreamTimeout()
  }

  #upstreamTimeout(): void {
    if (this.#attempt !== null) this.#blame(this.#attempt.upstream, 'timeout')
    this.#giveUp('upstream_timeout', 'timeout')
  }

  #clientTimeout(): void {
    if (this.outcome === 'complete') this.outcome = 'timeout'
    this.#cut = true
    this.connection.socket.destroy()
  }

  /**
   * Whether the kernel has taken bytes of the answer since the last time: a slow reader is not a dead one.
   */
  #flushed(): boolean {
    const handle = (this.connection.socket as ClientSocket & { _handle?: { writeQueueSize?: number } })
      ._handle
    const size = handle?.writeQueueSize ?? 0
    if (size === this.#queueSize) return false
    this.#queueSize = size
    this.#touchedAt = clock.now
    return true
  }
}

// Shared listeners: one function each for all exchanges, found again through the emitter (no closure per
// request).

function onResponseClose(this: ClientResponse): void {
  this.exchange?.onResponseClose()
}
function onResponseDrain(this: ClientResponse): void {
  this.exchange?.onResponseDrain()
}
function onRequestData(this: ClientRequest, chunk: Buffer): void {
  this.exchange?.onRequestData(chunk)
}
function onRequestEnd(this: ClientRequest): void {
  this.exchange?.onRequestEnd()
}
function endTick(exchange: Exchange): void {
  exchange.endTick()
}
function sendEnd(exchange: Exchange): void {
  exchange.sendEnd()
}
function closeCut(exchange: Exchange): void {
  exchange.closeCut()
}
function retry(exchange: Exchange, not: Upstream): void {
  exchange.retry(not)
}
