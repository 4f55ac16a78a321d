/**
 * One exchange: a client's request, what becomes of it, and its answer. Longer than other files because it is
 * one state machine; its methods stand in the order in which things happen: begin, request body, answer, end,
 * deadlines. An exchange keeps the snapshot it began with (trap A21).
 */
import { randomUUIDv7 } from 'node:crypto'
import type { Socket } from 'node:net'
import type { GatewayErrorCode } from '../contract/errors.ts'
import type { Outcome } from '../contract/exchange.ts'
import { threadCell } from '../telemetry/counters.ts'
import { admit } from './admit.ts'
import { gatewayAnswer, rejectedCell } from './answer.ts'
import { clock, UNSEEN } from './clock.ts'
import type { ClientConnection } from './connection.ts'
import { type Answered, Attempt, type FailureKind } from './forward.ts'
import { claimedOrigin, type Origin, type Scheme } from './forwarded.ts'
import { type Piece, pieceOf } from './pieces.ts'
import { withGatewayLines, idForUpstream, type RequestHead } from './request-head.ts'
import type { ResponseHead } from './response-head.ts'
import { ClientResponse, type ResponseOwner } from './response.ts'
import { upstreamTarget } from './route.ts'
import { countUpstreamError, type Ended, seal } from './seal.ts'
import type { Collection, Snapshot } from './snapshot.ts'
import { openTap, type Tap } from './tap.ts'
import { Upload, type UploadOwner } from './upload.ts'
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

const answerTo: Readonly<Record<FailureKind, GatewayErrorCode>> = {
  unreachable: 'upstream_unreachable',
  stale: 'upstream_reset',
  reset: 'upstream_reset',
  truncated: 'upstream_reset',
  protocol: 'upstream_protocol_error',
}

export class Exchange implements Answered, Ended, ResponseOwner, UploadOwner {
  readonly id = randomUUIDv7()
  readonly connection: ClientConnection
  readonly head: RequestHead
  readonly res: ClientResponse
  readonly snapshot: Snapshot
  /** Null without a request body. */
  upload: Upload | null = null
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
  answerLines = ''
  answerTrailers = NOTHING
  requestTrailers = NOTHING
  #phase: number = phase.sending
  /** When the deadlines first saw the last sign of life of whoever the phase waits for. */
  #touchedAt = UNSEEN
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

  /** `last`: the connection ends with it. */
  constructor(connection: ClientConnection, head: RequestHead, last: boolean) {
    this.connection = connection
    this.head = head
    this.snapshot = connection.shared.snapshot
    this.res = new ClientResponse(connection.socket, head, this.snapshot.keepAliveLines, this)
    if (last) this.res.keepAlive = false
    this.#expects = head.expects === 'continue'
  }

  get clientPort(): number {
    return this.connection.port
  }
  get method(): string {
    return this.head.method
  }
  get version(): string {
    return this.head.version
  }
  get requestLines(): string {
    return this.head.raw
  }
  /** The whole request body was read, or there is none. */
  get uploaded(): boolean {
    return this.upload === null || this.upload.done
  }

  // ── begin ───────────────────────────────────────────────────────────────────────────────────────────────

  begin(): void {
    const { connection, head, snapshot } = this
    const { shared } = connection
    shared.cells[threadCell.exchangesOpen]!++
    snapshot.enter()
    try {
      this.requestId = idForUpstream(head, this.id)
      this.clientIp = connection.address
      if (head.trusted) this.#believe(claimedOrigin(head, connection.address, snapshot.trusts))
      const code = admit(head, snapshot, shared.draining === 'refusing', this)
      const { collection } = this
      if (head.hasBody) this.upload = new Upload(connection, this, collection?.bodyBytesMax ?? 0)
      if (collection !== null) this.#openTap(collection)
      if (code !== null) this.#answer(code, 'rejected')
      else this.#send(collection as Collection)
    } catch (error) {
      this.#crash(error)
    }
  }

  #believe({ address, scheme }: Origin): void {
    this.clientIp = address
    this.scheme = scheme
  }

  #openTap(collection: Collection): void {
    try {
      this.tap = openTap(collection.mirrors, this, this.connection.shared.slabs)
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  #send(collection: Collection): void {
    const { head } = this
    const { hostFromClient } = collection
    const lines = withGatewayLines(head, {
      peer: this.connection.address,
      clientIp: this.clientIp,
      scheme: this.scheme,
      host: this.host,
      requestId: this.requestId,
      hostFromClient,
    })
    this.#forward = {
      method: this.method,
      path: upstreamTarget(this.target, collection),
      lines,
      hostAt: head.hostAt,
      ownHost: !hostFromClient,
      expectAt: head.expectAt,
      hasBody: head.hasBody,
      chunked: head.chunked,
      trailer: head.trailer,
    }
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
    this.res.interim(100, '')
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
    // RFC 9110 §10.1.1: an upstream that was not asked cannot say.
    if (this.#expects && this.#attempt?.asked === false) this.#continue()
    this.upload?.read()
  }

  onUploadPaused(): void {
    this.upload?.pause()
  }

  onUploadChunk(lent: Buffer): void {
    this.#touchedAt = UNSEEN
    const piece = pieceOf(lent)
    this.#attempt?.send(piece)
    if (this.tap === null) return
    try {
      this.tap.requestPiece(piece)
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
    else this.upload?.pause()
  }

  onUploadEnd(trailers: readonly string[]): void {
    this.requestTrailers = trailers
    this.#attempt?.sendEnd(trailers)
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

  onInterim({ status, lines }: ResponseHead): void {
    this.#touchedAt = UNSEEN
    if (this.head.old || this.#phase >= phase.answering) return
    if (status === 100) this.#expects = false
    this.res.interim(status, lines)
  }

  /** RFC 9110 §10.1.1: who was never told to go on may send the body or not, so nothing can follow it. */
  #leaveBody(): void {
    if (this.#expects && !this.uploaded) this.res.keepAlive = false
  }

  onAnswerHead(head: ResponseHead): void {
    this.#touchedAt = UNSEEN
    this.answeredAt = performance.now()
    const attempt = this.#attempt as Attempt
    ;(this.collection as Collection).balancer.succeeded(attempt.upstream)
    if (this.connection.shared.draining !== 'no') this.res.keepAlive = false
    try {
      this.#leaveBody()
      this.res.relayHead(head)
      this.status = head.status
      this.answerLines = head.lines
      this.#phase = phase.answering
    } catch (error) {
      this.#crash(error)
    }
  }

  onAnswerData(lent: Buffer): boolean {
    this.#touchedAt = UNSEEN
    if (this.#phase !== phase.answering) return true
    const piece = pieceOf(lent)
    this.res.relayPiece(piece)
    if (this.tap !== null) this.#captureAnswer(this.tap, piece)
    return !this.res.full
  }

  onAnswerRead(): void {
    if (this.#phase === phase.answering) this.res.flush()
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
      // A client may not read before it has sent.
      if (!this.uploaded) this.upload?.discard()
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
    return !attempt.sent || (this.upload === null && idempotent.has(this.method))
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
    // The answer is out: it must not be lost to a reset.
    if (this.#phase === phase.discarding) this.connection.linger()
    else if (this.#phase === phase.flushing) this.connection.socket.destroy()
    else if (this.#phase === phase.answering) this.#cutAnswer(outcome)
    else this.#answer(code, outcome)
  }

  #answer(code: GatewayErrorCode, outcome: Outcome): void {
    const { connection, snapshot } = this
    connection.shared.cells[rejectedCell(code)]!++
    const { server_header } = snapshot.listen
    const answer = gatewayAnswer(code, this.requestId || this.id, server_header, snapshot.allow)
    this.errorCode = code
    this.outcome = outcome
    this.status = answer.status
    this.answerLines = answer.lines
    this.answeredAt = performance.now()
    this.#phase = phase.flushing
    this.#touchedAt = UNSEEN
    if (this.tap !== null && this.method !== 'HEAD') this.#captureAnswer(this.tap, answer.body)
    this.#leaveBody()
    if (!this.uploaded) this.upload?.discard()
    this.res.answer(answer)
  }

  #cutAnswer(outcome: Outcome): void {
    this.outcome = outcome
    this.#cut = true
    this.#phase = phase.flushing
    this.#touchedAt = UNSEEN
    this.res.cut()
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

  #captureAnswer(tap: Tap, piece: Piece): void {
    try {
      tap.responsePiece(piece)
    } catch (error) {
      this.#captureFailed(error)
    }
  }

  #captureFailed(error: unknown): void {
    const { shared } = this.connection
    const { slots } = this.tap?.mirrors ?? (this.collection as Collection).mirrors
    shared.slabs.failed(slots)
    shared.warn('capture_error', error)
    this.tap?.release()
    this.tap = null
  }

  onResponseDone(): void {
    if (this.#phase >= phase.discarding) return
    this.#seal()
    if (this.uploaded || !this.res.keepAlive) return this.#leave()
    this.#phase = phase.discarding
    this.#touchedAt = UNSEEN
    if (this.upload?.wasted === true) this.connection.linger()
  }

  onConnectionClosed(): void {
    if (this.#phase === phase.over) return
    if (this.#phase < phase.discarding) {
      if (!this.#cut) this.outcome = 'client_aborted'
      this.#cancel()
      this.#seal()
    }
    this.#leave()
  }

  #seal(): void {
    seal(this, this.connection.shared)
    this.tap = null
  }

  #leave(): void {
    const { shared } = this.connection
    this.#phase = phase.over
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
    if (this.upload?.flowing === true) {
      if (silentMs > bodyIdleMs) this.#giveUp('request_timeout', 'timeout')
    } else if (silentMs > (this.collection as Collection).timeouts.response_ms) this.#upstreamTimeout()
  }

  #upstreamTimeout(): void {
    if (this.#attempt !== null) this.#blame(this.#attempt.upstream, 'timeout')
    this.#giveUp('upstream_timeout', 'timeout')
  }

  /** Whether the kernel took bytes of the answer since the last time: a slow reader is not a dead one. */
  #flushed(): boolean {
    const { _handle: handle } = this.connection.socket as Socket & { _handle?: { writeQueueSize?: number } }
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
