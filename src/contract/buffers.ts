/**
 * The memory of batches on their way, used again and again. A fresh buffer for every batch makes the heap of
 * a shipper thread collect several times a second, with helper threads that take the core from requests.
 */
import { limits } from './limits.ts'

interface Lease {
  /** The lent memory, and what was made from it. */
  readonly memory: ArrayBuffer[]
  /** Somebody may read it after its end. */
  held: boolean
  /** What it holds is still needed as it is. */
  preserved: boolean
}

export class BufferPool {
  /** Spare memory by its size, a power of two. */
  readonly #spare = new Map<number, ArrayBuffer[]>()
  /** By each memory of theirs. */
  readonly #leases = new Map<ArrayBufferLike, Lease>()
  /** Bytes of all spare memory. */
  spareBytes = 0

  /** `bytes` of memory with arbitrary content; `end` must be called for it. */
  lend(bytes: number): Buffer {
    const memory = this.#take(bytes)
    this.#leases.set(memory, { memory: [memory], held: false, preserved: false })
    return Buffer.from(memory, 0, bytes)
  }

  /** Memory that ends with the lease of `origin`; plain memory when nobody lent that. */
  derive(origin: Buffer, bytes: number): Buffer {
    const lease = this.#leases.get(origin.buffer)
    if (lease === undefined) return Buffer.allocUnsafe(bytes)
    const memory = this.#take(bytes)
    lease.memory.push(memory)
    this.#leases.set(memory, lease)
    return Buffer.from(memory, 0, bytes)
  }

  /** What this is a part of stays as it is until the end of its lease. */
  preserve(part: Buffer): void {
    const lease = this.#leases.get(part.buffer)
    if (lease !== undefined) lease.preserved = true
  }

  /**
   * This part of lent memory with so many bytes more before and after it, all to be written over. Null where
   * there is no room for them, where it is preserved, or where nobody lent it.
   */
  spend(part: Buffer, before: number, after: number): Buffer | null {
    const from = part.byteOffset - before
    const to = part.byteOffset + part.length + after
    const lease = this.#leases.get(part.buffer)
    if (lease === undefined || lease.preserved || from < 0 || to > part.buffer.byteLength) return null
    return Buffer.from(part.buffer, from, to - from)
  }

  /** What this is a part of may be read after its lease: nothing of that is used again. */
  hold(part: Buffer): void {
    const lease = this.#leases.get(part.buffer)
    if (lease !== undefined) lease.held = true
  }

  /** `reusable`: nobody can read it any more. What may still be on its way to a socket must not change. */
  end(lent: Buffer, reusable: boolean): void {
    const lease = this.#leases.get(lent.buffer)
    if (lease === undefined) return
    for (const memory of lease.memory) {
      this.#leases.delete(memory)
      if (reusable && !lease.held) this.#keep(memory)
    }
  }

  #take(bytes: number): ArrayBuffer {
    const size = Math.max(limits.batch_memory_bytes_min, 2 ** Math.ceil(Math.log2(bytes)))
    const spare = this.#spare.get(size)?.pop()
    if (spare === undefined) return Buffer.allocUnsafeSlow(size).buffer
    this.spareBytes -= size
    return spare
  }

  #keep(memory: ArrayBuffer): void {
    const size = memory.byteLength
    if (this.spareBytes + size > limits.batch_memory_spare_bytes) return
    this.spareBytes += size
    const spare = this.#spare.get(size)
    if (spare === undefined) this.#spare.set(size, [memory])
    else spare.push(memory)
  }
}

/** The pool of this thread. */
export const batchBuffers = new BufferPool()
