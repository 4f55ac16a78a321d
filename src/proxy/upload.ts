/** The body of a client's request: read when the upstream wants it, thrown away when nobody does. */
import { IncomingMessage } from 'node:http'
import { limits } from '../contract/limits.ts'

/** Node's request with a place for its body's reader, so that listeners need no closure. */
export class ClientRequest extends IncomingMessage {
  upload: Upload | null = null
}

export interface UploadOwner {
  onUploadChunk(chunk: Buffer): void
  /** The body is larger than its limit. */
  onUploadTooLarge(): void
  onUploadEnd(): void
  /** More was thrown away than an early answer is worth. */
  onUploadWasted(): void
}

export class Upload {
  /** The whole body was read. */
  done = false
  /** More was thrown away than `early_answer_drain_bytes`. */
  wasted = false
  readonly #req: ClientRequest
  readonly #owner: UploadOwner
  /** 0 = no limit. */
  readonly #bytesMax: number
  #bytes = 0
  #discarded = 0
  #reading = false
  #paused = false
  #discard = false

  constructor(req: ClientRequest, owner: UploadOwner, bytesMax: number) {
    this.#req = req
    this.#owner = owner
    this.#bytesMax = bytesMax
    req.upload = this
  }

  /** Whether it is the client that the body waits for. */
  get waitsForClient(): boolean {
    return this.#reading && !this.done && !this.#paused
  }

  read(): void {
    this.#paused = false
    if (!this.#reading) {
      this.#reading = true
      this.#req.on('data', onData)
      this.#req.on('end', onEnd)
    }
    this.#req.resume()
  }

  pause(): void {
    this.#paused = true
    this.#req.pause()
  }

  /** Nobody wants the rest: it is read and thrown away, so that the connection stays in use. */
  discard(): void {
    this.#discard = true
    this.read()
  }

  data(chunk: Buffer): void {
    if (this.#discard) {
      this.#discarded += chunk.length
      if (this.#discarded <= limits.early_answer_drain_bytes || this.wasted) return
      this.wasted = true
      this.#owner.onUploadWasted()
      return
    }
    this.#bytes += chunk.length
    if (this.#bytesMax > 0 && this.#bytes > this.#bytesMax) this.#owner.onUploadTooLarge()
    else this.#owner.onUploadChunk(chunk)
  }

  end(): void {
    this.done = true
    this.#owner.onUploadEnd()
  }
}

function onData(this: ClientRequest, chunk: Buffer): void {
  this.upload?.data(chunk)
}
function onEnd(this: ClientRequest): void {
  this.upload?.end()
}
