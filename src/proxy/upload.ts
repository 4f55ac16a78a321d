/** The body of a client's request: read when the upstream wants it, thrown away when nobody does. */
import { limits } from '../contract/limits.ts'

export interface UploadOwner {
  /** The chunk is lent for the call. */
  onUploadChunk(lent: Buffer): void
  /** The body is larger than its limit. */
  onUploadTooLarge(): void
  onUploadEnd(trailers: readonly string[]): void
  /** More was thrown away than an early answer is worth. */
  onUploadWasted(): void
}

/** Whoever feeds it. */
export interface UploadSource {
  /** The upload is wanted: what is there is fed, perhaps within the call. */
  advance(): void
}

export class Upload {
  /** The whole body was read. */
  done = false
  /** More was thrown away than `early_answer_drain_bytes`. */
  wasted = false
  /** Whether it takes more: then it is the client that the body waits for. */
  flowing = false
  readonly #source: UploadSource
  readonly #owner: UploadOwner
  /** 0 = no limit. */
  readonly #bytesMax: number
  #bytes = 0
  #discarded = 0
  #discard = false

  constructor(source: UploadSource, owner: UploadOwner, bytesMax: number) {
    this.#source = source
    this.#owner = owner
    this.#bytesMax = bytesMax
  }

  read(): void {
    if (this.done) return
    this.flowing = true
    this.#source.advance()
  }

  pause(): void {
    this.flowing = false
  }

  /** Nobody wants the rest: it is read and thrown away, so that the connection stays in use. */
  discard(): void {
    this.#discard = true
    this.read()
  }

  data(lent: Buffer): void {
    if (this.#discard) {
      this.#discarded += lent.length
      if (this.#discarded <= limits.early_answer_drain_bytes || this.wasted) return
      this.wasted = true
      this.#owner.onUploadWasted()
      return
    }
    this.#bytes += lent.length
    if (this.#bytesMax > 0 && this.#bytes > this.#bytesMax) this.#owner.onUploadTooLarge()
    else this.#owner.onUploadChunk(lent)
  }

  end(trailers: readonly string[]): void {
    this.done = true
    this.flowing = false
    this.#owner.onUploadEnd(trailers)
  }
}
