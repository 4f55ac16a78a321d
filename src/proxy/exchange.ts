/**
 * One exchange: a client's request, what becomes of it, and its answer. Longer than other files because it is
 * one state machine; its methods stand in the order in which things happen: begin, request body, answer, end,
 * deadlines. An exchange keeps the snapshot it began with (trap A21).
 */
import { randomUUIDv7 } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { GatewayErrorCode } from '../contract/errors.ts'
import type { Outcome } from '../contract/exchange.ts'
import { threadCell } from '../telemetry/counters.ts'
import { admit } from './admit.ts'
import { gatewayAnswer, rejectedCell } from './answer.ts'
import { clock, type Open } from './clock.ts'
import type { ClientConnection, ClientSocket, Expectation } from './connection.ts'
import { type Answered, Attempt, type FailureKind } from './forward.ts'
import { claimedOrigin, type Origin, type Scheme } from './forwarded.ts'
import { addGatewayFields, idForUpstream, type RequestHead, readRequestHead } from './headers.ts'
import type { ResponseHead } from './response-head.ts'
import { type ClientResponse, JOINED_BYTES_MAX, type ResponseOwner } from './response.ts'
import { upstreamTarget } from './route.ts'
import { countUpstreamError, type Ended, seal } from './seal.ts'
import type { Collection, Snapshot } from './snapshot.ts'
import { openTap, slotsOf, type Tap } from './tap.ts'
import { type ClientRequest, Upload, type UploadOwner } from './upload.ts'
import type { Upstream } from './upstream-pool.ts'
import type { ForwardRequest } from './upstream-request.ts'

/** Where an exchange stands; decides whose silence its deadline measures. */
const phase = {
  /** The request waits for an upstream, for a connection to it, or is being sent. */
  sending: 0,
  /** The request is sent, no answer yet. */
  awaiting: 1,
  /** The head of the answer is here. */
  answering: 2,
  /** The answer is complete, or cut, and on its way to the client. */
  flushing: 3,
  /** Answered and sealed; the rest of the request body is read and thrown away. */
  discarding: 4,
  over: 5,
} as const

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set(
  'GET HEAD OPTIONS PUT DELETE PROPFIND REPORT SEARCH QUERY'.split(' '),
)
const NOTHING: readonly string[] = []

/** A sign of life that no tick has seen yet: its silence begins with the next, never before it was there. */
const UNSEEN = Number.POSITIVE_INFINITY

const answerTo: Readonly<Record<FailureKind, GatewayErrorCode>> = {
  unreachable: 'upstream_unreachable',
  stale: 'upstream_reset',
  reset: 'upstream_reset',
  truncated: 'upstream_reset',
  protocol: 'upstream_protocol_error',
}

export class Exchange implements Open, Answered, Ended, ResponseOwner, UploadOwner {
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
  scheme: Scheme = 'http'
  clientIp = ''
  requestId = ''
  outcome: Outcome = 'complete'
  errorCode: GatewayErrorCode | null = null
  upstreamName = ''
  readonly startedAt = performance.now()
  forwardedAt = 0
  answeredAt = 0
  upstreamEndedAt = 0
  status: number | null = null
  answerFields = NOTHING
  answerTrailers = NOTHING
  requestTrailers = NOTHING
  #phase: number = phase.sending
  /** When the deadlines first saw the last sign of life of whoever the phase waits for. */
  #touchedAt = UNSEEN
  /** Null without a request body. */
  #upload: Upload | null = null
  #forward: ForwardRequest | null = null
  #attempt: Attempt | null = null
  #retries = 0
  /** A connection that had been idle was closed already: the next try gets a new one. */
  #fresh = false
  /** The client waits for a 100 before it sends its body. */
  #expects = false
  /** The end of the connection is the gateway's own doing. */
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
  /** The whole request body was read, or there is none. */
  get uploaded(): boolean {
    return this.#upload === null || this.#upload.done
  }

  // ── begin ───────────────────────────────────────────────────────────────────────────────────────────────

  begin(expects: Expectation): void {
    const { connection, req, snapshot } = this
    const { shared } = connection
    shared.open.add(this)
    shared.cells[threadCell.exchangesOpen]!++
    snapshot.enter()
    this.res.attach(this)
    try {
      const trusted = connection.trusted(snapshot)
      const head = readRequestHead(req.rawHeaders, trusted, expects === 'continue')
      this.requestId = idForUpstream(head, this.id)
      this.clientIp = connection.address
      if (trusted) this.#believe(claimedOrigin(head, connection.address, snapshot.trusts))
      const code = admit(req, head, snapshot, expects, shared.draining === 'refusing', this)
      const { collection } = this
      if (head.chunked || head.contentLength > 0) {
        this.#upload = new Upload(req, this, collection?.bodyBytesMax ?? 0)
      }
      if (collection !== null) this.#openTap(collection)
      if (code !== null) this.#answer(code, 'rejected')
      else this.#send(head, collection as Collection, trusted)
    } catch (error) {
      this.#crash(error)
    }
  }

  #believe({ address, scheme }: Origin): void {
    this.clientIp = address
    this.scheme = scheme
  }

  #openTap(collection: Collection): void {
    if (collection.mirrors.length === 0) return
    try {
      this.tap = openTap(collection.mirrors, this, this.connection.shared.slabs)
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  #send(head: RequestHead, collection: Collection, trusted: boolean): void {
    const { hostFromClient } = collection
    const fields = addGatewayFields(head, {
      peer: this.connection.address,
      trusted,
      clientIp: this.clientIp,
      scheme: this.scheme,
      host: this.host,
      requestId: this.requestId,
      httpVersion: this.version,
      hostFromClient,
    })
    this.#forward = {
      method: this.method,
      path: upstreamTarget(this.target, collection),
      fields,
      hostAt: head.hostAt,
      ownHost: !hostFromClient,
      expectAt: head.expectAt,
      hasBody: this.#upload !== null,
      chunked: head.chunked,
      trailer: head.trailer,
    }
    this.#expects = head.expectAt !== -1
    this.#retries = collection.retryAttempts
    collection.retryBudget.request()
    this.#try(collection, null)
  }

  #try(collection: Collection, not: Upstream | null): void {
    const upstream = collection.balancer.pick(clock.now, not)
    const attempt = new Attempt(upstream, this.#forward as ForwardRequest, this, this.#fresh)
    this.#attempt = attempt
    this.#phase = phase.sending
    this.#touchedAt = UNSEEN
    this.upstreamName = upstream.name
    if (this.forwardedAt === 0) this.forwardedAt = performance.now()
    if (upstream.take(attempt)) return
    this.#attempt = null
    this.#answer('overloaded', 'rejected')
  }

  #continue(): void {
    this.#expects = false
    this.res.writeContinue()
  }

  retry(not: Upstream | null): void {
    if (this.#phase !== phase.sending || this.#attempt !== null) return
    try {
      this.#try(this.collection as Collection, not)
    } catch (error) {
      this.#crash(error)
    }
  }

  // ── request body ────────────────────────────────────────────────────────────────────────────────────────

  onUploadWanted(): void {
    this.#touchedAt = UNSEEN
    // RFC 9110 §10.1.1: an HTTP/1.0 upstream was not asked, it could not say.
    if (this.#expects && this.#attempt?.upstream.old === true) this.#continue()
    this.#upload?.read()
  }

  onUploadPaused(): void {
    this.#upload?.pause()
  }

  onUploadChunk(chunk: Buffer): void {
    this.#touchedAt = UNSEEN
    this.#attempt?.send(chunk)
    if (this.tap === null) return
    try {
      this.tap.requestChunk(chunk)
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  onUploadTooLarge(): void {
    this.#giveUp('body_too_large', 'rejected')
  }

  onUploadWasted(): void {
    // Before the answer is out it waits; after it, the connection ends in a way the client can see.
    if (this.#phase === phase.discarding) this.connection.linger()
    else this.#upload?.pause()
  }

  onUploadEnd(): void {
    const { rawTrailers } = this.req
    if (rawTrailers.length > 0) this.requestTrailers = rawTrailers
    this.#attempt?.sendEnd(rawTrailers)
    if (this.#phase === phase.discarding) this.#leave()
  }

  /** The parser broke inside the body of this request. */
  breakUpload(code: GatewayErrorCode): void {
    this.#giveUp(code, code === 'request_timeout' ? 'timeout' : 'rejected')
  }

  onRequestSent(): void {
    if (this.#phase === phase.sending) this.#phase = phase.awaiting
    this.#touchedAt = UNSEEN
  }

  // ── answer ──────────────────────────────────────────────────────────────────────────────────────────────

  onInterim({ status, keep }: ResponseHead): void {
    this.#touchedAt = UNSEEN
    if (this.version !== '1.1' || this.#phase >= phase.answering) return
    try {
      if (status === 100 && this.#expects) this.#continue()
      else this.res.writeInformation(status, keep)
    } catch {
      // An interim answer is a courtesy (RFC 9110 §15.2): one that cannot be written is left out.
    }
  }

  onAnswerHead(head: ResponseHead): void {
    this.#touchedAt = UNSEEN
    this.answeredAt = performance.now()
    const attempt = this.#attempt as Attempt
    ;(this.collection as Collection).balancer.succeeded(attempt.upstream)
    if (this.connection.shared.draining !== 'no') this.res.shouldKeepAlive = false
    try {
      this.res.relayHead(head)
      this.status = head.status
      this.answerFields = head.keep
      this.#phase = phase.answering
    } catch (error) {
      this.#crash(error)
    }
  }

  onAnswerData(lent: Buffer): boolean {
    this.#touchedAt = UNSEEN
    if (this.#phase !== phase.answering) return true
    let chunk = lent
    if (lent.length > JOINED_BYTES_MAX) {
      chunk = Buffer.allocUnsafeSlow(lent.length)
      lent.copy(chunk)
    }
    this.res.relayChunk(chunk)
    if (this.tap !== null) this.#captureAnswer(this.tap, chunk)
    return !this.res.full
  }

  onResponseDrain(): void {
    this.#touchedAt = UNSEEN
    this.#attempt?.resume()
  }

  onAnswerEnd(trailers: readonly string[]): void {
    this.#attempt = null
    this.#touchedAt = UNSEEN
    this.upstreamEndedAt = performance.now()
    if (this.#phase !== phase.answering) return
    this.#phase = phase.flushing
    try {
      this.answerTrailers = trailers
      if (!this.uploaded) {
        if (!this.res.shouldKeepAlive) this.connection.lingerAtEnd()
        this.#upload?.discard()
      }
      this.res.relayEnd(trailers)
    } catch (error) {
      this.#crash(error)
    }
  }

  onFailure(kind: FailureKind, attempt: Attempt): void {
    this.#attempt = null
    this.upstreamEndedAt = performance.now()
    if (this.#phase >= phase.flushing) return
    try {
      if (kind === 'stale' && this.#mayRepeat(attempt)) {
        this.#fresh = true
        this.#phase = phase.sending
        process.nextTick(retry, this, null)
        return
      }
      this.#blame(attempt.upstream, kind === 'stale' ? 'reset' : kind)
      if (this.#phase === phase.answering) this.#cutAnswer('upstream_error')
      else if (this.#mayRetry(kind, attempt)) process.nextTick(retry, this, attempt.upstream)
      else this.#answer(answerTo[kind], 'upstream_error')
    } catch (error) {
      this.#crash(error)
    }
  }

  #blame(upstream: Upstream, reason: Exclude<FailureKind, 'stale'> | 'timeout'): void {
    const collection = this.collection as Collection
    countUpstreamError(this.connection.shared.cells, collection, reason)
    upstream.countFailure()
    if (collection.balancer.failed(upstream, clock.now)) upstream.showEjected(true)
  }

  /** RFC 9110 §9.2.2: again only what was never sent, or is idempotent and has no body that is gone. */
  #mayRepeat(attempt: Attempt): boolean {
    if (attempt.answering) return false
    return !attempt.sent || (this.#upload === null && idempotent.has(this.method))
  }

  #mayRetry(kind: FailureKind, attempt: Attempt): boolean {
    if ((kind !== 'unreachable' && kind !== 'reset') || this.#retries === 0) return false
    if (!this.#mayRepeat(attempt)) return false
    if (!(this.collection as Collection).retryBudget.take()) return false
    this.#retries--
    this.#phase = phase.sending
    return true
  }

  // ── end ─────────────────────────────────────────────────────────────────────────────────────────────────

  #cancel(): void {
    this.#attempt?.cancel()
    this.#attempt = null
  }

  /** Ends the upstream's part, and answers if that is still possible. */
  #giveUp(code: GatewayErrorCode, outcome: Outcome): void {
    this.#cancel()
    if (this.#phase >= phase.flushing) this.connection.socket.destroy()
    else if (this.#phase === phase.answering) this.#cutAnswer(outcome)
    else this.#answer(code, outcome)
  }

  #answer(code: GatewayErrorCode, outcome: Outcome): void {
    const { res, connection, snapshot } = this
    connection.shared.cells[rejectedCell(code)]!++
    const { server_header } = snapshot.listen
    const answer = gatewayAnswer(code, this.requestId || this.id, server_header, snapshot.allow)
    this.errorCode = code
    this.outcome = outcome
    this.status = answer.status
    this.answerFields = answer.fields
    this.answeredAt = performance.now()
    this.#phase = phase.flushing
    this.#touchedAt = UNSEEN
    if (answer.close) res.shouldKeepAlive = false
    res.sendDate = true
    res.writeHead(answer.status, STATUS_CODES[answer.status], answer.fields)
    if (!this.uploaded) {
      if (!res.shouldKeepAlive) connection.lingerAtEnd()
      this.#upload?.discard()
    }
    res.end(answer.body)
    if (this.tap !== null && this.method !== 'HEAD') this.#captureAnswer(this.tap, Buffer.from(answer.body))
  }

  #cutAnswer(outcome: Outcome): void {
    this.outcome = outcome
    this.#cut = true
    this.#phase = phase.flushing
    this.#touchedAt = UNSEEN
    this.res.cut(this.connection.socket)
  }

  /** No answer can be written, or none will be read: the connection ends at once. */
  #destroy(outcome: Outcome): void {
    this.#cancel()
    this.outcome = outcome
    this.#cut = true
    this.connection.socket.destroy()
  }

  /** A bug in this exchange ends this exchange only. */
  #crash(error: unknown): void {
    this.connection.shared.warn('exchange_error', error)
    this.#destroy('upstream_error')
  }

  #captureAnswer(tap: Tap, chunk: Buffer): void {
    try {
      tap.responseChunk(chunk)
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  #captureFailed(error: unknown): void {
    const { shared } = this.connection
    const rules = this.tap?.rules ?? (this.collection as Collection).mirrors
    shared.slabs.failed(slotsOf(rules))
    shared.warn('capture_error', error)
    this.tap?.release()
    this.tap = null
  }

  onResponseClose(): void {
    if (this.#phase >= phase.discarding) return
    const whole = this.res.writableFinished
    if (!whole) {
      if (!this.#cut) this.outcome = 'client_aborted'
      this.#cancel()
    }
    seal(this, this.connection.shared)
    this.tap = null
    if (!whole || this.uploaded || this.connection.socket.destroyed) return this.#leave()
    this.#phase = phase.discarding
    this.#touchedAt = UNSEEN
    if (this.#upload?.wasted === true) this.connection.linger()
    this.#upload?.discard()
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

  // ── deadlines ───────────────────────────────────────────────────────────────────────────────────────────

  checkDeadline(now: number): void {
    if (this.#touchedAt === UNSEEN) this.#touchedAt = now
    const silentMs = now - this.#touchedAt
    const { body_idle_ms } = this.snapshot.listen.timeouts
    if (this.#phase === phase.sending) return this.#checkSending(silentMs, body_idle_ms)
    if (this.#phase === phase.awaiting || (this.#phase === phase.answering && !this.res.full)) {
      const { response_ms, idle_ms } = (this.collection as Collection).timeouts
      if (silentMs > (this.#phase === phase.awaiting ? response_ms : idle_ms)) this.#upstreamTimeout()
    } else if (silentMs > body_idle_ms && !this.#flushed()) {
      this.#destroy(this.outcome === 'complete' ? 'timeout' : this.outcome)
    }
  }

  #checkSending(silentMs: number, bodyIdleMs: number): void {
    if (this.#upload?.waitsForClient === true) {
      if (silentMs > bodyIdleMs) this.#giveUp('request_timeout', 'timeout')
    } else if (silentMs > (this.collection as Collection).timeouts.response_ms) this.#upstreamTimeout()
  }

  #upstreamTimeout(): void {
    if (this.#attempt !== null) this.#blame(this.#attempt.upstream, 'timeout')
    this.#giveUp('upstream_timeout', 'timeout')
  }

  /** Whether the kernel took bytes of the answer since the last time: a slow reader is not a dead one. */
  #flushed(): boolean {
    const handle = (this.connection.socket as ClientSocket & { _handle?: { writeQueueSize?: number } })
      ._handle
    const size = handle?.writeQueueSize ?? 0
    if (size === this.#queueSize) return false
    this.#queueSize = size
    this.#touchedAt = UNSEEN
    return true
  }
}

function retry(exchange: Exchange, not: Upstream | null): void {
  exchange.retry(not)
}
