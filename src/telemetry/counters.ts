/**
 * Counters that data threads write and main reads at scrape time, in one SharedArrayBuffer per data thread.
 *
 *   Float64Array                                               one writer per buffer: plain stores, no locks
 *   ┌────────────┬──────────────────────────┬──────────────────┬─────────────────┐
 *   │ thread     │ collections_max rows     │ upstreams_max    │ mirrors_max     │
 *   │ gauges     │ statuses, histogram      │ rows             │ rows            │
 *   └────────────┴──────────────────────────┴──────────────────┴─────────────────┘
 *   + an Int32 sequence lock in front: odd while the mirror rows change, so that main reads them whole
 */
import { gatewayErrors } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'

/** Upper bounds of `http_request_duration_seconds`, in milliseconds. */
export const durationBucketsMs = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000,
] as const
export const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx', 'none'] as const
/** Reasons of `http_rejected_total`. */
export const rejectReasons = Object.keys(gatewayErrors) as (keyof typeof gatewayErrors)[]
/** Reasons of `upstream_errors_total`. */
export const upstreamErrorReasons = ['unreachable', 'reset', 'protocol', 'timeout', 'truncated'] as const
export type UpstreamErrorReason = (typeof upstreamErrorReasons)[number]

/** Cells of one thread. */
export const threadCell = Object.freeze({
  connectionsOpen: 0,
  tunnelsOpen: 1,
  exchangesOpen: 2,
  /** Bytes of captures in memory: slabs in use and bodies of open exchanges. */
  captureBytes: 3,
  slabsInUse: 4,
  requestsInFlight: 5,
  /** One cell per reason. */
  rejected: 6,
})
const threadCells = threadCell.rejected + rejectReasons.length

/** Cells of one collection. */
export const collectionCell = Object.freeze({
  statusClass: 0,
  upstreamErrors: statusClasses.length,
  durationSumMs: statusClasses.length + upstreamErrorReasons.length,
  /** One cell per bucket, not cumulative; the last one is +Inf. */
  durationBucket: statusClasses.length + upstreamErrorReasons.length + 1,
})
const collectionCells = collectionCell.durationBucket + durationBucketsMs.length + 1

export const upstreamCell = Object.freeze({ inFlight: 0, ejected: 1, requests: 2, failures: 3 })
const upstreamCells = 4

/**
 * Cells of one mirror, in exchanges (each leg gets one item per exchange). captured = slabbed + bufferFull +
 * captureError, each counted where it happens.
 */
export const mirrorCell = Object.freeze({ captured: 0, slabbed: 1, bufferFull: 2, captureError: 3 })
const mirrorCells = 4

const collectionsAt = threadCells
const upstreamsAt = collectionsAt + limits.collections_max * collectionCells
const mirrorsAt = upstreamsAt + limits.upstreams_max * upstreamCells
const cells = mirrorsAt + limits.mirrors_max * mirrorCells
const headerBytes = 8

/** A view of one data thread's counters; both sides build it over the same buffer. */
export class Counters {
  readonly buffer: SharedArrayBuffer
  readonly cells: Float64Array
  readonly #lock: Int32Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(headerBytes + cells * 8)) {
    this.buffer = buffer
    this.#lock = new Int32Array(buffer, 0, 2)
    this.cells = new Float64Array(buffer, headerBytes)
  }

  /** Index of a cell of a collection. */
  static collection(slot: number, cell: number): number {
    return collectionsAt + slot * collectionCells + cell
  }
  static upstream(slot: number, cell: number): number {
    return upstreamsAt + slot * upstreamCells + cell
  }
  static mirror(slot: number, cell: number): number {
    return mirrorsAt + slot * mirrorCells + cell
  }

  /** Writer: before and after changing mirror cells. */
  begin(): void {
    Atomics.add(this.#lock, 0, 1)
  }
  commit(): void {
    Atomics.add(this.#lock, 0, 1)
  }

  /** Reader: the four cells of one mirror as of one moment. */
  readMirror(slot: number): { captured: number; slabbed: number; bufferFull: number; captureError: number } {
    const at = Counters.mirror(slot, 0)
    for (;;) {
      const before = Atomics.load(this.#lock, 0)
      const captured = this.cells[at + mirrorCell.captured] as number
      const slabbed = this.cells[at + mirrorCell.slabbed] as number
      const bufferFull = this.cells[at + mirrorCell.bufferFull] as number
      const captureError = this.cells[at + mirrorCell.captureError] as number
      if ((before & 1) === 0 && Atomics.load(this.#lock, 0) === before) {
        return { captured, slabbed, bufferFull, captureError }
      }
    }
  }
}

/** Slot numbers of names, given out once and kept for the life of the process. */
export class Slots {
  readonly #byName: Map<string, number>
  readonly #max: number

  constructor(max: number, like?: Slots) {
    this.#byName = new Map(like === undefined ? [] : like.#byName)
    this.#max = max
  }

  /** The slot of a name, or -1 when all are taken. */
  take(name: string): number {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    if (this.#byName.size >= this.#max) return -1
    const slot = this.#byName.size
    this.#byName.set(name, slot)
    return slot
  }
}
