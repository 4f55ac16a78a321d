/** The answer on its way to the client: one write for head and first chunk, back-pressure, trailers, cuts. */
import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { dropField, trailerPairs } from './headers.ts'
import type { ResponseHead } from './response-head.ts'
import type { ClientRequest } from './upload.ts'

/** Above this the copy into a string costs more than the gather; up to it a chunk is only lent. */
export const JOINED_BYTES_MAX = 4096

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
  /**
   * The first chunk, until the tick is over: head and body of a small answer then leave in one write. As
   * latin1, which keeps every byte, where it is small.
   */
  #held: Buffer | string | null = null
  #sameTick = false
  #listening = false

  /** Listens for the end; `owner` hears of it once, whatever becomes of the client. */
  attach(owner: ResponseOwner): void {
    this.owner = owner
    this.on('close', onClose)
  }

  /** Writes the head of an upstream's answer. */
  relayHead(head: ResponseHead): void {
    const { keep, status } = head
    const { method, httpVersion } = this.req
    const hasLength = head.length !== -1
    this.#bodyless = method === 'HEAD' || status === 204 || status === 304
    // RFC 9110 §8.6: no length with 204.
    if (hasLength && status === 204) dropField(keep, 'content-length')
    const chunked = !this.#bodyless && httpVersion === '1.1' && !hasLength
    this.#closeDelimited = !this.#bodyless && !chunked && !hasLength
    if (head.trailer !== '' && chunked) keep.push('trailer', head.trailer)
    if (this.#closeDelimited) this.shouldKeepAlive = false
    this.sendDate = false
    this.writeHead(status, head.reason, keep)
    this.#sameTick = true
    process.nextTick(endTick, this)
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
    const piece = chunk.length <= JOINED_BYTES_MAX ? chunk.toString('latin1') : chunk
    if (this.#sameTick && this.#held === null) {
      this.#held = piece
      return
    }
    const held = this.#held
    this.#held = null
    if (held !== null) this.#send(held)
    this.#send(piece)
  }

  #send(piece: Buffer | string): void {
    if (this.write(piece, 'latin1') || this.full) return
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
    // A string with a length leaves with its head: one write instead of a gather.
    else this.end(held, 'latin1')
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
    if (held !== null) this.write(held, 'latin1')
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
