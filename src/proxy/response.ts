/** The answer on its way to the client: as few writes as its parts allow, back-pressure, trailers, cuts. */
import type { Socket } from 'node:net'
import { reasonPhrase } from '../contract/node-http.ts'
import { answerText, type GatewayAnswer } from './answer.ts'
import { lastChunk, type Piece, writePiece } from './pieces.ts'
import type { RequestHead } from './request-head.ts'
import type { ResponseHead } from './response-head.ts'

export interface ResponseOwner {
  /** The client takes more again. */
  onResponseDrain(): void
  /** The kernel has all of the answer. Comes at most once, and not after the connection is gone. */
  onResponseDone(): void
}

const CLOSE = 'connection: close\r\n'

export class ClientResponse {
  /** Whether another request may follow on the connection. */
  keepAlive: boolean
  /** The client takes no more for now. */
  full = false
  /** The kernel has all of it. */
  done = false
  readonly #socket: Socket
  readonly #request: RequestHead
  readonly #owner: ResponseOwner
  /** What says that the connection stays. */
  readonly #keepAliveLines: string
  /** No body by method or status (RFC 9112 §6.3). */
  #bodyless = false
  #chunked = false
  /** The body ends only with the connection: a cut must then be a reset to be seen. */
  #closeDelimited = false
  /** As latin1, which keeps every byte: what leaves with the next piece, or when the read is over. */
  #held = ''

  constructor(socket: Socket, request: RequestHead, keepAliveLines: string, owner: ResponseOwner) {
    this.#socket = socket
    this.#request = request
    this.#keepAliveLines = keepAliveLines
    this.#owner = owner
    this.keepAlive = request.persistent
  }

  get #connectionLines(): string {
    return this.keepAlive ? this.#keepAliveLines : CLOSE
  }

  /** Writes an interim answer (RFC 9110 §15.2). */
  interim(status: number, lines: string): void {
    this.#socket.write(`HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${lines}\r\n`, 'latin1')
  }

  /** Takes the head of an upstream's answer; its lines are complete then. */
  relayHead(head: ResponseHead): void {
    const { status } = head
    const { method, old } = this.#request
    this.#bodyless = method === 'HEAD' || status === 204 || status === 304
    const delimited = this.#bodyless || head.contentLength !== -1
    this.#chunked = !delimited && !old
    this.#closeDelimited = !delimited && old
    if (this.#closeDelimited) this.keepAlive = false
    if (this.#chunked && head.trailer !== '') head.lines += `trailer: ${head.trailer}\r\n`
    const coding = this.#chunked ? 'transfer-encoding: chunked\r\n' : ''
    this.#held = `HTTP/1.1 ${status} ${head.reason}\r\n${head.lines}${this.#connectionLines}${coding}\r\n`
  }

  /** Takes a piece of its body. */
  relayPiece(piece: Piece): void {
    if (this.#bodyless) return
    const before = this.#chunked ? `${this.#held}${piece.length.toString(16)}\r\n` : this.#held
    const after = this.#chunked ? '\r\n' : ''
    this.#held = ''
    if (typeof piece === 'string') this.#held = before + piece + after
    else if (!writePiece(this.#socket, before, piece, after)) this.full = true
  }

  /** What came together has come: it leaves now, however long the rest takes (trap A13). */
  flush(): void {
    if (this.#held === '') return
    const held = this.#held
    this.#held = ''
    if (!this.#socket.write(held, 'latin1')) this.full = true
  }

  relayEnd(trailers: readonly string[]): void {
    if (this.#chunked) this.#held += lastChunk(trailers)
    this.#end()
  }

  /** An answer of the gateway's own. */
  answer(answer: GatewayAnswer): void {
    if (answer.close) this.keepAlive = false
    this.#held = answerText(answer, this.#connectionLines, this.#request.method === 'HEAD')
    this.#end()
  }

  #end(): void {
    this.flush()
    const socket = this.#socket
    if (socket.writableLength === 0) this.#flushed()
    // Comes back when what stands before it is written.
    else socket.write('', 'latin1', () => this.#flushed())
  }

  #flushed(): void {
    if (this.#socket.destroyed || this.#socket.errored !== null) return
    this.done = true
    this.#owner.onResponseDone()
  }

  drained(): void {
    if (!this.full) return
    this.full = false
    this.#owner.onResponseDrain()
  }

  /** It cannot be completed: what is there goes out, and how the connection ends shows the cut. */
  cut(): void {
    this.flush()
    // RFC 9112 §8: a body without a length or chunks would look complete after an orderly end.
    if (this.#closeDelimited) this.#socket.resetAndDestroy()
    else this.#socket.destroySoon()
  }
}
