/**
 * The forward step: one attempt to have an upstream answer one request. This first engine stands on
 * undici's dispatch;
 * the rest of the proxy sees only `Upstream`, `Attempt` and what `Answered` is told.
 *
 * undici's own queue has no bound and cannot take a request back, so at most as many requests are handed to
 * it as there
 * are connections; the others wait here.
 */
import { EventEmitter } from 'node:events'
import type { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import { type Counters, Counters as Cells, threadCell, upstreamCell } from '../telemetry/counters.ts'
import type { Balanced } from './balance.ts'

/** `invalid`: the request itself cannot be written as HTTP. */
export type FailureKind = 'unreachable' | 'reset' | 'protocol' | 'truncated' | 'invalid'

/**
 * What an attempt tells the exchange it works for. After `onAnswerEnd` or `onFailure` it says nothing more.
 */
export interface Answered {
  /** The whole request was handed to the socket. */
  onRequestSent(): void
  /** An interim answer, 102 to 199. */
  onInterim(status: number, fields: string[]): void
  onAnswerHead(status: number, reason: string, fields: string[]): void
  /** Returns false when no more is wanted before `resume`. */
  onAnswerData(chunk: Buffer): boolean
  onAnswerEnd(trailers: readonly string[]): void
  onFailure(kind: FailureKind, attempt: Attempt): void
  /** Flow of the request body: the upstream takes more, takes no more for now, takes no more at all. */
  onUploadWanted(): void
  onUploadPaused(): void
  onUploadStopped(): void
}

export interface ForwardRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** Flat: name, value, name, value. */
  readonly fields: string[]
  readonly hasBody: boolean
}

export interface UpstreamSpec {
  readonly url: string
  readonly slot: number
  readonly weight: number
  readonly connections: number
  readonly pending: number
  readonly connectMs: number
  readonly headerBytes: number
}

/** What makes two specs the same pool; weight and queue bound may change on the fly. */
export function poolKey(spec: UpstreamSpec): string {
  return `${spec.slot} ${spec.url} ${spec.connections} ${spec.connectMs} ${spec.headerBytes}`
}

const CANCELLED = new Error('cancelled before it was sent')

/**
 * undici keeps an idle socket this long unless the upstream's Keep-Alive says otherwise (trap C3: below
 * common 5 s).
 */
const IDLE_SOCKET_MS = 4000

function openPool(spec: UpstreamSpec): Pool {
  return new Pool(new URL(spec.url).origin, {
    connections: spec.connections,
    pipelining: 1,
    // Deadlines are the exchange's own.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: IDLE_SOCKET_MS,
    maxHeaderSize: spec.headerBytes,
    connectTimeout: spec.connectMs,
    allowH2: false,
  })
}

/** One upstream of one collection in this thread: its connections, and who waits for one. */
export class Upstream implements Balanced {
  readonly key: string
  /** For people: never holds userinfo. */
  readonly name: string
  weight: number
  failuresInRow = 0
  ejectedUntil = 0
  /** Plans that use it. */
  users = 0
  readonly #pool: Pool
  readonly #cells: Float64Array
  readonly #cell: number
  readonly #connections: number
  #pending: number
  #inFlight = 0
  /** In order of arrival; a set, so that a client that leaves can be taken out at once. */
  readonly #waiting = new Set<Attempt>()
  #pumping = false

  constructor(spec: UpstreamSpec, counters: Counters) {
    this.key = poolKey(spec)
    this.name = new URL(spec.url).origin
    this.weight = spec.weight
    this.#connections = spec.connections
    this.#pending = spec.pending
    this.#pool = openPool(spec)
    this.#cells = counters.cells
    this.#cell = Cells.upstream(spec.slot, 0)
  }

  /** A reload changed what does not need a new pool. */
  adopt(spec: UpstreamSpec): void {
    this.weight = spec.weight
    this.#pending = spec.pending
  }

  get saturated(): boolean {
    return this.#inFlight >= this.#connections
  }

  /** Hands the request over, or lets it wait. False: no more may wait. */
  take(attempt: Attempt): boolean {
    if (this.#inFlight >= this.#connections) {
      if (this.#waiting.size >= this.#pending) return false
      this.#waiting.add(attempt)
      return true
    }
    this.#dispatch(attempt)
    return true
  }

  forget(attempt: Attempt): boolean {
    return this.#waiting.delete(attempt)
  }

  #dispatch(attempt: Attempt): void {
    this.#inFlight++
    this.#cells[this.#cell + upstreamCell.inFlight] = this.#inFlight
    ;(this.#cells[this.#cell + upstreamCell.requests] as number)++
    ;(this.#cells[threadCell.requestsInFlight] as number)++
    this.#pool.dispatch(attempt.options, attempt)
  }

  /**
   * An attempt that was dispatched is over. The next one must not start inside a callback of undici's
   * parser.
   */
  release(): void {
    this.#inFlight--
    this.#cells[this.#cell + upstreamCell.inFlight] = this.#inFlight
    ;(this.#cells[threadCell.requestsInFlight] as number)--
    if (this.#waiting.size === 0 || this.#pumping) return
    this.#pumping = true
    process.nextTick(pump, this)
  }

  pump(): void {
    this.#pumping = false
    for (const attempt of this.#waiting) {
      if (this.#inFlight >= this.#connections) return
      this.#waiting.delete(attempt)
      this.#dispatch(attempt)
    }
  }

  countFailure(): void {
    ;(this.#cells[this.#cell + upstreamCell.failures] as number)++
  }

  showEjected(ejected: boolean): void {
    this.#cells[this.#cell + upstreamCell.ejected] = ejected ? 1 : 0
  }

  /** Ends its idle connections now, the others with their exchange. */
  close(): void {
    this.#pool.close().catch(() => {})
  }
}

function pump(upstream: Upstream): void {
  upstream.pump()
}

/**
 * The request body as undici wants to see it: just enough of a stream. Chunks pass through, nothing is
 * kept.
 */
class RequestBody extends EventEmitter {
  /** What undici asks a stream: whether it has ended or failed before it was read. Never here. */
  readonly errorEmitted = false
  readonly endEmitted = false
  readonly closeEmitted = false
  destroyed = false
  /** Whether undici was given anything that it has put on the wire. */
  begun = false
  #answered: Answered | null

  constructor(answered: Answered) {
    super()
    this.#answered = answered
  }

  /** Its presence marks a stream. */
  pipe(): never {
    throw new Error('the request body is not a full stream')
  }
  pause(): void {
    this.#answered?.onUploadPaused()
  }
  resume(): void {
    if (!this.destroyed) this.#answered?.onUploadWanted()
  }
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.#answered?.onUploadStopped()
    this.#answered = null
  }
  detach(): void {
    this.#answered = null
  }
}

function latin1List(raw: readonly (Buffer | string)[] | null | undefined): string[] {
  if (!raw) return []
  const list: string[] = new Array(raw.length)
  for (let i = 0; i < raw.length; i++) {
    const item = raw[i] as Buffer | string
    list[i] = typeof item === 'string' ? item : item.toString('latin1')
  }
  return list
}

type Controller = Dispatcher.DispatchController

/** One try on one upstream; also undici's handler for it. */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly upstream: Upstream
  readonly options: Dispatcher.DispatchOptions
  readonly #body: RequestBody | null
  #answered: Answered | null
  #controller: Controller | null = null
  #over = false
  #started = false
  /** A byte of an answer was seen. */
  answering = false
  #headSeen = false
  #refused = false

  constructor(upstream: Upstream, request: ForwardRequest, answered: Answered) {
    this.upstream = upstream
    this.#answered = answered
    this.#body = request.hasBody ? new RequestBody(answered) : null
    this.options = {
      path: request.path,
      method: request.method as Dispatcher.HttpMethod,
      headers: request.fields,
      // undici takes anything with `pipe` and `on` for a stream and uses only what RequestBody has.
      body: this.#body as unknown as Readable | null,
    }
  }

  /** Whether anything of the request may have reached the upstream. */
  get sent(): boolean {
    return this.#started && (this.#body === null || this.#body.begun)
  }

  /** The next piece of the request body. */
  send(chunk: Buffer): void {
    const body = this.#body
    if (body === null || body.destroyed) return
    body.begun = true
    body.emit('data', chunk)
  }

  sendEnd(): void {
    const body = this.#body
    if (body === null || body.destroyed) return
    body.begun = true
    body.emit('end')
  }

  pause(): void {
    this.#controller?.pause()
  }

  resume(): void {
    if (!this.#over) this.#controller?.resume()
  }

  /** Ends it without a further word to the exchange. */
  cancel(): void {
    this.#answered = null
    this.#body?.detach()
    if (this.#over || this.upstream.forget(this)) return
    // Not started yet: undici cannot take it back; `onRequestStart` refuses it.
    if (this.#controller !== null) this.#controller.abort(CANCELLED)
  }

  #end(): Answered | null {
    const answered = this.#answered
    this.#answered = null
    this.#body?.detach()
    if (!this.#over) {
      this.#over = true
      this.upstream.release()
    }
    return answered
  }

  onRequestStart(controller: Controller): void {
    // Thrown, not aborted: abort would also close the idle connection that was about to be used.
    if (this.#answered === null) throw CANCELLED
    this.#started = true
    this.#controller = controller
  }

  onRequestSent(): void {
    this.#answered?.onRequestSent()
  }

  onResponseStarted(): void {
    this.answering = true
  }

  onResponseStart(controller: Controller, status: number, _headers: unknown, reason?: string): void {
    if (status === 101) {
      // RFC 9110 §15.2.2: no upgrade was asked for.
      this.#refused = true
      throw new Error('101 without an upgrade')
    }
    if (status < 200) {
      this.#answered?.onInterim(status, latin1List(controller.rawHeaders as Buffer[]))
      return
    }
    this.#headSeen = true
    this.#answered?.onAnswerHead(status, reason ?? '', latin1List(controller.rawHeaders as Buffer[]))
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#answered?.onAnswerData(chunk) === false) controller.pause()
  }

  onResponseEnd(controller: Controller): void {
    const trailers = controller.rawTrailers as Buffer[] | null | undefined
    this.#end()?.onAnswerEnd(trailers && trailers.length > 0 ? latin1List(trailers) : [])
  }

  onResponseError(_controller: Controller | null, error: Error & { code?: string }): void {
    this.#end()?.onFailure(this.#kind(error), this)
  }

  #kind(error: Error & { code?: string }): FailureKind {
    const code = error.code ?? ''
    if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'invalid'
    if (this.#refused || error.name === 'HTTPParserError' || code === 'UND_ERR_HEADERS_OVERFLOW')
      return 'protocol'
    if (code === 'UND_ERR_SOCKET' && error.message.startsWith('bad ')) return 'protocol'
    if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' && !this.#headSeen) return 'protocol'
    if (this.#headSeen) return 'truncated'
    return this.#started ? 'reset' : 'unreachable'
  }
}
