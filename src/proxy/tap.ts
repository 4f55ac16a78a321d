/**
 * The capture side of an exchange: bounded copies of its bodies, for the mirrors that may take it. A piece
 * reaches this file only after it was handed to the writer.
 */
import type { KeptBody } from '../queue/slab.ts'
import type { RuleSet, Sampled } from './mirror-rules.ts'
import type { Piece } from './pieces.ts'
import type { SlabPool } from './slabs.ts'

/** Pieces below this are gathered into blocks, so that a body of 1-byte chunks costs what its bytes cost. */
const GATHER_BELOW_BYTES = 2048
const BLOCK_BYTES_MIN = 4096
/** A buffer is kept by reference unless the memory behind it is larger than its bytes by more than this. */
const SLACK_BYTES_MAX = 1024
/** What a kept string takes beside its characters. */
const STRING_BYTES = 24

/** The kept part of one body. Every byte is taken from the budget before it is kept. */
export class BodyKeep implements KeptBody {
  pieces: (Uint8Array | string)[] = []
  kept = 0
  size = 0
  limited = false
  readonly #max: number
  /** Bytes taken from the budget. */
  #cost = 0
  /** The last piece, while it has room; `#blockUsed` of it is filled. */
  #block: Buffer | null = null
  #blockUsed = 0

  constructor(max: number) {
    this.#max = max
  }

  add(whole: Piece, slabs: SlabPool): void {
    this.size += whole.length
    const room = this.#max - this.kept
    if (room <= 0 || this.limited || whole.length === 0) return
    const piece = whole.length > room ? firstOf(whole, room) : whole
    const gather = piece.length < GATHER_BELOW_BYTES && (this.pieces.length > 0 || this.#block !== null)
    if (gather || slackOf(piece) > SLACK_BYTES_MAX) {
      this.#copy(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece, slabs)
    } else this.#refer(piece, slabs)
  }

  #refer(piece: Piece, slabs: SlabPool): void {
    const cost = typeof piece === 'string' ? piece.length + STRING_BYTES : piece.buffer.byteLength
    if (!slabs.reserve(cost)) {
      this.limited = true
      return
    }
    this.#closeBlock()
    this.#cost += cost
    this.pieces.push(piece)
    this.kept += piece.length
  }

  #copy(piece: Buffer, slabs: SlabPool): void {
    let from = 0
    while (from < piece.length) {
      if (this.#block === null && !this.#openBlock(piece.length - from, slabs)) return
      const block = this.#block as unknown as Buffer
      const count = Math.min(piece.length - from, block.length - this.#blockUsed)
      block.set(piece.subarray(from, from + count), this.#blockUsed)
      this.#blockUsed += count
      this.kept += count
      from += count
      if (this.#blockUsed === block.length) this.#closeBlock()
    }
  }

  /** A new block: as large as what is kept so far, so that copies stay cheap, but never past the cap. */
  #openBlock(atLeast: number, slabs: SlabPool): boolean {
    const wanted = Math.max(BLOCK_BYTES_MIN, atLeast, Math.min(this.kept, 65_536))
    const bytes = Math.min(wanted, this.#max - this.kept)
    if (!slabs.reserve(bytes)) {
      this.limited = true
      return false
    }
    this.#cost += bytes
    this.#block = Buffer.allocUnsafeSlow(bytes)
    this.#blockUsed = 0
    return true
  }

  #closeBlock(): void {
    if (this.#block !== null && this.#blockUsed > 0)
      this.pieces.push(this.#block.subarray(0, this.#blockUsed))
    this.#block = null
  }

  /** Makes `pieces` complete. */
  close(): void {
    this.#closeBlock()
  }

  /** Forgets what was kept and gives its bytes back to the budget. */
  release(slabs: SlabPool): void {
    slabs.release(this.#cost)
    this.#cost = 0
    // Setting its length to zero takes a call of V8's runtime.
    this.pieces = []
    this.#block = null
  }
}

function firstOf(piece: Piece, length: number): Piece {
  return typeof piece === 'string' ? piece.slice(0, length) : piece.subarray(0, length)
}

function slackOf(piece: Piece): number {
  return typeof piece === 'string' ? 0 : piece.buffer.byteLength - piece.length
}

/** What of one exchange is kept for its mirrors. */
export class Tap {
  readonly mirrors: RuleSet
  readonly request: BodyKeep
  readonly response: BodyKeep
  readonly #slabs: SlabPool

  constructor(mirrors: RuleSet, slabs: SlabPool) {
    this.mirrors = mirrors
    this.#slabs = slabs
    this.request = new BodyKeep(mirrors.requestBytes)
    this.response = new BodyKeep(mirrors.responseBytes)
  }

  requestPiece(piece: Piece): void {
    this.request.add(piece, this.#slabs)
  }

  responsePiece(piece: Piece): void {
    this.response.add(piece, this.#slabs)
  }

  release(): void {
    this.request.release(this.#slabs)
    this.response.release(this.#slabs)
  }
}

/** A tap for a request that at least one mirror may take; null otherwise. */
export function openTap(mirrors: RuleSet, request: Sampled, slabs: SlabPool): Tap | null {
  const taking = mirrors.taking(request)
  return taking === null ? null : new Tap(taking, slabs)
}
