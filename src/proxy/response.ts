/** The answer on its way to the client: one write for head and first chunk, back-pressure, trailers, cuts. */
import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { dropField, type ResponseHead, trailerPairs } from './headers.ts'
import type { ClientRequest } from './upload.ts'

/** RFC 9112 §4: what a reason phrase may hold. */
const reasonForm = /^[\t\x20-\x7e\x80-\xff]*$/

/** Above this the copy costs more than the gather. */
const JOINED_BYTES_MAX = 4096

export interface ResponseOwner {
  onResponseDrain(): void
  /** The client has all of the answer, or has left. */
  onResponseClose(): void
}

/** Node’s response; what relaying an answer needs lives on it: no further object per exchange. */
export class ClientResponse extends ServerResponse<ClientRequest> {
  owner: ResponseOwner | null = null
  /** The client takes no more for now. */
  full = false
  /** No body by method or status (RFC 9112 §6.3). */
  #bodyless = false
  /** The body ends only with the connection: a cut must then be a reset to be seen. */
  #closeDelimited = false
  /** The first chunk, until the tick is over: head and body of a small answer then leave in one write. */
  #held: Buffer | null = null
  #sameTick = false
  #hasLength = false
  #listening = false

  /** Listens for the end; `owner` hears of it once, whatever becomes of the client. */
  attach(owner: ResponseOwner): void {
    this.owner = owner
    this.on('close', onClose)
  }

  /** Writes the head of an upstream's answer. False: it holds bytes that no head may hold (trap C13). */
  relayHead(status: number, reason: string, head: ResponseHead): boolean {
    const { keep } = head
    const { method, httpVersion } = this.req
    this.#bodyless = method === 'HEAD' || status === 204 || status === 304
    // RFC 9110 §8.6, RFC 9112 §6.3: no length with 204, none beside chunked.
    if (head.hasLength && (status === 204 || head.chunked)) dropField(keep, 'content-length')
    const chunked = !this.#bodyless && httpVersion === '1.1' && (head.chunked || !head.hasLength)
    this.#closeDelimited = !this.#bodyless && !chunked && (head.chunked || !head.hasLength)
    this.#hasLength = head.hasLength && !head.chunked
    if (head.trailer !== '' && chunked) keep.push('trailer', head.trailer)
    if (this.#closeDelimited) this.shouldKeepAlive = false
    this.sendDate = false
    try {
      this.writeHead(status, reasonForm.test(reason) ? reason : '', keep)
    } catch {
      return false
    }
    this.#sameTick = true
    process.nextTick(endTick, this)
    return true
  }

  /** What came with the head has come: it leaves now, however long the rest takes (trap A13). */
  endTick(): void {
    this.#sameTick = false
    if (this.writableEnded || this.destroyed) return
    const held = this.#held
    this.#held = null
    if (held === null) this.flushHeaders()
    else this.#send(held)
  }

  relayChunk(chunk: Buffer): void {
    if (this.#bodyless) return
    if (this.#sameTick && this.#held === null) {
      this.#held = chunk
      return
    }
    const held = this.#held
    this.#held = null
    if (held !== null) this.#send(held)
    this.#send(chunk)
  }

  #send(chunk: Buffer): void {
    if (this.write(chunk) || this.full) return
    this.full = true
    if (this.#listening) return
    this.#listening = true
    this.on('drain', onDrain)
  }

  relayEnd(trailers: readonly string[]): void {
    if (trailers.length > 0 && !this.#closeDelimited) this.#relayTrailers(trailers)
    const held = this.#held
    this.#held = null
    if (held === null) this.end()
    // latin1 keeps every byte, and lets Node send head and body as one string: one write instead of a gather.
    else if (this.#hasLength && held.length <= JOINED_BYTES_MAX) this.end(held.toString('latin1'), 'latin1')
    else this.end(held)
  }

  #relayTrailers(trailers: readonly string[]): void {
    try {
      this.addTrailers(trailerPairs(trailers))
    } catch {
      // Bytes that HTTP does not allow: the answer itself is whole, so it ends without them.
      this.addTrailers([])
    }
  }

  /** The answer cannot be completed: what is there goes out, and how the connection ends shows the cut. */
  cut(socket: Socket): void {
    const held = this.#held
    this.#held = null
    if (held !== null) this.write(held)
    else if (this.#sameTick) this.flushHeaders()
    // After Node's own tick, which sends what `write` has gathered.
    setImmediate(closeCut, socket, this.#closeDelimited)
  }
}

// Shared listeners: one function each for all responses, no closure per request.

function onClose(this: ClientResponse): void {
  this.owner?.onResponseClose()
}
function onDrain(this: ClientResponse): void {
  this.full = false
  this.owner?.onResponseDrain()
}
function endTick(response: ClientResponse): void {
  response.endTick()
}
function closeCut(socket: Socket, closeDelimited: boolean): void {
  // RFC 9112 §8: a body without a length or chunks would look complete after an orderly end.
  if (closeDelimited) socket.resetAndDestroy()
  else socket.destroySoon()
}
