/**
 * The memory of captures in one data thread: a budget for the bodies of open exchanges, and a fixed number
 * of slabs that are filled here, handed to main, and come back to be filled again; nobody here looks at one
 * meanwhile. Nothing here ever waits: no memory means a shorter body, no slab means a dropped capture, and
 * both are counted.
 */
import { limits } from '../contract/limits.ts'
import {
  type KeptBody,
  type SealedExchange,
  SlabView,
  recordBytes,
  recordText,
  writeRecord,
} from '../queue/slab.ts'
import { type Counters, Counters as Cells, mirrorCell, threadCell } from '../telemetry/counters.ts'
import type { FromThread } from './thread-messages.ts'

type SlabMessage = Extract<FromThread, { type: 'slab' }>

/** A slab that is being filled. */
class OpenSlab {
  readonly view: SlabView
  readonly generation: number
  used = 0
  /** Flat: mirror slot, exchanges. */
  readonly counts: number[] = []

  constructor(slab: ArrayBufferLike, generation: number) {
    this.view = new SlabView(slab)
    this.generation = generation
  }

  count(mirrors: readonly number[]): void {
    const { counts } = this
    for (let i = 0; i < mirrors.length; i++) {
      let at = 0
      while (at < counts.length && counts[at] !== mirrors[i]) at += 2
      if (at === counts.length) counts.push(mirrors[i] as number, 1)
      else (counts[at + 1] as number)++
    }
  }
}

export class SlabPool {
  /** How long a record may lie in a slab before it is handed over. */
  flushAfterMs = 200
  readonly slabsMax: number
  readonly slabBytes: number
  readonly #openBytesMax: number
  readonly #cells: Float64Array
  readonly #counters: Counters
  readonly #send: (message: SlabMessage) => void
  readonly #free: SharedArrayBuffer[] = []
  /** Slabs that exist: free, being filled, or with main. Shared, none of them is ever lost. */
  #slabs = 0
  /** Bytes of bodies of open exchanges, and of records too large for a slab that are with main. */
  #openBytes = 0
  /** The slab being filled, and one for exchanges that began under an older configuration. */
  #current: OpenSlab | null = null
  #older: OpenSlab | null = null
  #timer: NodeJS.Timeout | null = null
  #sequence = 0

  constructor(bufferBytes: number, counters: Counters, send: (message: SlabMessage) => void) {
    const { slab_bytes_min: least, slab_bytes_max: most } = limits
    const bytes = bufferBytes * limits.slab_share
    this.slabBytes = Math.max(least, Math.min(most, Math.floor(bytes / limits.slabs_per_thread)))
    this.slabsMax = Math.max(limits.slabs_per_thread_min, Math.floor(bytes / this.slabBytes))
    this.#openBytesMax = Math.max(
      bufferBytes - this.slabsMax * this.slabBytes,
      Math.floor(bufferBytes * (1 - limits.slab_share)),
    )
    this.#counters = counters
    this.#cells = counters.cells
    this.#send = send
  }

  /** Takes `bytes` of the budget of open exchanges; false when they are not there. */
  reserve(bytes: number): boolean {
    if (this.#openBytes + bytes > this.#openBytesMax) return false
    this.#openBytes += bytes
    this.#show()
    return true
  }

  release(bytes: number): void {
    if (bytes === 0) return
    this.#openBytes -= bytes
    this.#show()
  }

  #show(): void {
    const inUse = this.#slabs - this.#free.length
    this.#cells[threadCell.captureBytes] = this.#openBytes + inUse * this.slabBytes
    this.#cells[threadCell.slabsInUse] = inUse
  }

  /**
   * Copies an exchange into a slab, or drops it; either way it is counted for each of its mirrors. When this
   * throws nothing was counted.
   */
  seal(exchange: SealedExchange, generation: number): void {
    const written = this.#write(exchange, generation)
    this.#count(exchange.mirrors, written ? mirrorCell.slabbed : mirrorCell.bufferFull)
  }

  /** Counts a capture that could not be made. */
  failed(mirrors: readonly number[]): void {
    this.#count(mirrors, mirrorCell.captureError)
  }

  #count(mirrors: readonly number[], cell: number): void {
    this.#counters.begin()
    for (let i = 0; i < mirrors.length; i++) {
      const at = Cells.mirror(mirrors[i] as number, 0)
      ;(this.#cells[at + mirrorCell.captured] as number)++
      ;(this.#cells[at + cell] as number)++
    }
    this.#counters.commit()
  }

  #write(exchange: SealedExchange, generation: number): boolean {
    const text = recordText(exchange)
    const length = recordBytes(exchange, text)
    if (length <= this.slabBytes) return this.#writeInto(exchange, text, length, generation)
    if (this.#writeAlone(exchange, text, length, generation)) return true
    const cut = cutTo(this.slabBytes, exchange, text)
    return cut !== null && this.#writeInto(cut, text, recordBytes(cut, text), generation)
  }

  #writeInto(exchange: SealedExchange, text: string, length: number, generation: number): boolean {
    const slab = this.#room(length, generation)
    if (slab === null) return false
    writeRecord(slab.view, slab.used, length, exchange, text)
    slab.used += length
    slab.count(exchange.mirrors)
    return true
  }

  /** The open slab of a generation with room for `length` bytes. One slab never mixes generations. */
  #room(length: number, generation: number): OpenSlab | null {
    let slab = this.#current
    if (slab !== null && slab.generation !== generation) {
      // A newer configuration moves the open slab aside; an exchange of an older one goes there.
      if (generation > slab.generation) {
        this.#handOver(this.#older)
        this.#older = slab
        this.#current = null
      } else return this.#roomAside(length, generation)
      slab = null
    }
    if (slab !== null && slab.used + length <= this.slabBytes) return slab
    this.#handOver(slab)
    this.#current = this.#open(generation)
    return this.#current
  }

  #roomAside(length: number, generation: number): OpenSlab | null {
    const slab = this.#older
    if (slab !== null && slab.generation === generation && slab.used + length <= this.slabBytes)
      return slab
    this.#handOver(slab)
    this.#older = this.#open(generation)
    return this.#older
  }

  #open(generation: number): OpenSlab | null {
    let slab = this.#free.pop()
    if (slab === undefined) {
      if (this.#slabs >= this.slabsMax) return null
      this.#slabs++
      slab = new SharedArrayBuffer(this.slabBytes)
    }
    this.#show()
    this.#timer ??= setTimeout(flushSlabs, this.flushAfterMs, this)
    return new OpenSlab(slab, generation)
  }

  /** A record that no slab can hold travels alone, within the budget of open exchanges. */
  #writeAlone(exchange: SealedExchange, text: string, length: number, generation: number): boolean {
    if (!this.reserve(length)) return false
    const alone = new OpenSlab(new ArrayBuffer(length), generation)
    writeRecord(alone.view, 0, length, exchange, text)
    alone.used = length
    alone.count(exchange.mirrors)
    this.#handOver(alone)
    return true
  }

  #handOver(slab: OpenSlab | null): void {
    if (slab === null) return
    if (slab === this.#current) this.#current = null
    if (slab === this.#older) this.#older = null
    const message: SlabMessage = {
      type: 'slab',
      slab: slab.view.slab,
      used: slab.used,
      sequence: ++this.#sequence,
      generation: slab.generation,
      counts: slab.counts,
      sealedAt: Date.now(),
    }
    this.#send(message)
  }

  /** Hands over what there is. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#handOver(this.#older)
    this.#handOver(this.#current)
  }

  /**
   * The time of what lies in a slab is over. The last one there is keeps filling until another comes back:
   * handed over nearly empty, it would leave the captures after it nowhere to go while memory is unused.
   */
  flushDue(): void {
    this.#timer = null
    this.#handOver(this.#older)
    if (this.#free.length > 0 || this.#slabs < this.slabsMax) this.#handOver(this.#current)
    if (this.#current !== null) this.#timer = setTimeout(flushSlabs, this.flushAfterMs, this)
  }

  returned(slab: ArrayBufferLike): void {
    if (slab instanceof ArrayBuffer) return this.release(slab.byteLength)
    this.#free.push(slab)
    this.#show()
  }
}

/**
 * Without memory for all of it a large record gives up the ends of its bodies; null: its head is too large.
 */
function cutTo(bytes: number, exchange: SealedExchange, text: string): SealedExchange | null {
  const none = { pieces: [], kept: 0, size: 0, limited: false }
  const room = bytes - recordBytes({ ...exchange, requestBody: none, responseBody: none }, text)
  if (room < 0) return null
  const { requestBody, responseBody } = exchange
  const forRequest = Math.min(requestBody.kept, Math.max(room >> 1, room - responseBody.kept))
  return {
    ...exchange,
    requestBody: cutBody(requestBody, forRequest),
    responseBody: cutBody(responseBody, room - forRequest),
  }
}

function cutBody(body: KeptBody, bytes: number): KeptBody {
  if (body.kept <= bytes) return body
  const pieces: (Uint8Array | string)[] = []
  let left = bytes
  for (const piece of body.pieces) {
    if (left === 0) break
    pieces.push(typeof piece === 'string' ? piece.slice(0, left) : piece.subarray(0, left))
    left -= Math.min(left, piece.length)
  }
  return { pieces, kept: bytes, size: body.size, limited: true }
}

function flushSlabs(pool: SlabPool): void {
  pool.flushDue()
}
