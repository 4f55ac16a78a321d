/**
 * The forward step: one attempt to have an upstream answer one request. The rest of the proxy sees only
 * `Upstream`, `Attempt` and what `Answered` is told.
 */
import type { ResponseHead } from './response-head.ts'
import type { UpstreamConnection } from './upstream-connection.ts'
import type { ResponseParser } from './response-parser.ts'
import type { Upstream } from './upstream-pool.ts'
import { lastChunk, type Piece, writePiece } from './pieces.ts'
import { type ForwardRequest, requestHead } from './upstream-request.ts'

/**
 * - `unreachable`: no connection came about
 * - `stale`: a connection that had been idle ended before anything of an answer came
 * - `reset`: any other connection did
 * - `protocol`: the answer is no HTTP whose borders are certain
 * - `truncated`: the answer breaks off
 */
export type FailureKind = 'unreachable' | 'stale' | 'reset' | 'protocol' | 'truncated'

/**
 * What an attempt tells the exchange it works for. After `onAnswerEnd` or `onFailure` it says nothing more.
 */
export interface Answered {
  /** The whole request was handed to the socket. */
  onRequestSent(): void
  /** An interim answer, 100 to 199 without 101. */
  onInterim(head: ResponseHead): void
  onAnswerHead(head: ResponseHead): void
  /**
   * The chunk is lent for the call: its memory is that of the next read. Returns false when no more is wanted
   * before `resume`.
   */
  onAnswerData(chunk: Buffer): boolean
  /** All that one read brought is told, and the answer goes on. */
  onAnswerRead(): void
  onAnswerEnd(trailers: readonly string[]): void
  onFailure(kind: FailureKind, attempt: Attempt): void
  /** The upstream takes the request body from here on, or again. */
  onUploadWanted(): void
  /** It takes no more for now. */
  onUploadPaused(): void
}

/** One try on one upstream. */
export class Attempt {
  readonly upstream: Upstream
  readonly request: ForwardRequest
  /** Not on a connection that was used before. */
  readonly fresh: boolean
  /** A byte of an answer was seen. */
  answering = false
  /** Anything of the request may have reached the upstream. */
  sent = false
  /**
   * It was told that the client waits for a 100; one of HTTP/1.0 never is. What it answers may change how it
   * is seen, not what it was asked.
   */
  asked = false
  /** The socket took the head of an upload: it had not failed when the next piece was written. */
  begunWell = false
  #answered: Answered | null
  /** Open or opening; null while the attempt waits for one, and when it is over. */
  #connection: UpstreamConnection | null = null
  #begun = false
  /** The head, until the first piece of the body goes with it. */
  #held = ''
  #complete = false
  #headSeen = false
  #full = false

  constructor(upstream: Upstream, request: ForwardRequest, answered: Answered, fresh: boolean) {
    this.upstream = upstream
    this.request = request
    this.fresh = fresh
    this.#answered = answered
  }

  // ── request ─────────────────────────────────────────────────────────────────────────────────────────────

  /** The connection is this attempt's alone from here on. */
  attach(connection: UpstreamConnection): void {
    this.#connection = connection
  }

  /** Its connection is open. */
  begin(): void {
    const { request, upstream } = this
    const answered = this.#answered as Answered
    const connection = this.#connection as UpstreamConnection
    this.#begun = true
    const head = requestHead(request, upstream.authority, upstream.old)
    if (!request.hasBody) {
      this.#write(connection, head)
      this.#complete = true
      answered.onRequestSent()
      return
    }
    this.asked = request.expectAt !== -1 && !upstream.old
    if (this.asked) this.#write(connection, head)
    else this.#held = head
    answered.onUploadWanted()
    // After what the client has sent already, which comes in the same tick.
    if (this.#held !== '') process.nextTick(writeHeld, this)
  }

  #write(connection: UpstreamConnection, text: string): void {
    this.sent = true
    connection.socket.write(text, 'latin1')
  }

  writeHeld(): void {
    if (this.#held === '' || this.#connection === null) return
    const head = this.#held
    this.#held = ''
    this.#write(this.#connection, head)
  }

  /** The next piece of the request body. */
  send(piece: Piece): void {
    const connection = this.#connection
    if (connection === null || piece.length === 0) return
    const { chunked } = this.request
    this.#checkBegin(connection)
    const before = chunked ? `${this.#held}${piece.length.toString(16)}\r\n` : this.#held
    this.#held = ''
    this.sent = true
    if (writePiece(connection.socket, before, piece, chunked ? '\r\n' : '') || this.#full) return
    this.#full = true
    this.#answered?.onUploadPaused()
  }

  #checkBegin(connection: UpstreamConnection): void {
    if (this.#held === '' && connection.socket.errored === null) this.begunWell = true
  }

  /** The request body is whole. */
  sendEnd(trailers: readonly string[]): void {
    const connection = this.#connection
    if (connection === null || this.#complete) return
    this.#complete = true
    this.#checkBegin(connection)
    if (this.request.chunked) {
      const head = this.#held
      this.#held = ''
      this.#write(connection, head + lastChunk(trailers))
    } else this.writeHeld()
    this.#answered?.onRequestSent()
  }

  /** The socket takes more. */
  drained(): void {
    if (!this.#full) return
    this.#full = false
    if (!this.#complete) this.#answered?.onUploadWanted()
  }

  // ── answer ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Tells what the parser found in these bytes. Returns false when no more is wanted before `resume`. */
  read(parser: ResponseParser, bytes: Buffer): boolean {
    this.answering = true
    if (parser.broken) {
      this.fail('protocol')
      return true
    }
    for (let i = 0; i < parser.interim.length; i++) {
      this.#answered?.onInterim(parser.interim[i] as ResponseHead)
    }
    if (parser.head !== null) {
      this.#headSeen = true
      this.upstream.old = parser.head.old
      this.#connection?.answered(parser.head)
      this.#answered?.onAnswerHead(parser.head)
    }
    let more = true
    if (parser.dataEnd > parser.dataStart && this.#answered !== null) {
      more = this.#answered.onAnswerData(bytes.subarray(parser.dataStart, parser.dataEnd))
    }
    if (!parser.done) {
      this.#answered?.onAnswerRead()
      return more
    }
    this.#end(parser, true)
    return true
  }

  /** The upstream has ended the connection. */
  ended(parser: ResponseParser): void {
    if (this.#headSeen && parser.end()) this.#end(parser, false)
    else this.broke()
  }

  /** The connection is gone. */
  broke(): void {
    if (this.#headSeen) this.fail('truncated')
    else if (!this.#begun) this.fail('unreachable')
    else this.fail(this.#connection?.reused === true && !this.answering ? 'stale' : 'reset')
  }

  #end(parser: ResponseParser, kept: boolean): void {
    const answered = this.#answered
    const connection = this.#connection
    const { trailers } = parser
    this.#answered = null
    this.#connection = null
    // First: what the client asks for next may come within the call, and finds the connection free.
    connection?.leave(kept && this.#complete)
    answered?.onAnswerEnd(trailers)
  }

  fail(kind: FailureKind): void {
    const answered = this.#answered
    const connection = this.#connection
    this.#answered = null
    this.#connection = null
    connection?.leave(false)
    answered?.onFailure(kind, this)
  }

  resume(): void {
    this.#connection?.resume()
  }

  /** Ends it without a further word to the exchange. */
  cancel(): void {
    const connection = this.#connection
    this.#answered = null
    this.#connection = null
    if (connection !== null) connection.leave(!this.sent)
    else this.upstream.forget(this)
  }
}

function writeHeld(attempt: Attempt): void {
  attempt.writeHeld()
}
