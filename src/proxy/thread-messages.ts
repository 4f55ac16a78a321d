/**
 * The boundary between main and a data thread: everything that crosses it. An unknown message is a bug and
 * fatal.
 */
import type { CollectionConfig, Config } from '../config/schema.ts'

/** What a data thread needs of one configuration: plain data, slots resolved by main. */
export interface DataPlan {
  readonly generation: number
  readonly listen: Config['listen']
  readonly capture: Config['capture']
  /** False while `POST /api/capture/pause` holds. */
  readonly capturing: boolean
  readonly collections: readonly (CollectionConfig & {
    readonly slot: number
    /** Slots of `upstreams`, same order. */
    readonly upstreamSlots: readonly number[]
  })[]
  /** Enabled mirrors only; collections name them. */
  readonly mirrors: readonly {
    readonly name: string
    readonly slot: number
    readonly sample: { readonly rate: number; readonly key?: string }
    readonly match: {
      readonly methods: readonly string[]
      readonly paths: readonly string[]
      readonly exclude_paths: readonly string[]
      readonly statuses: readonly string[]
      readonly content_types: readonly string[]
      readonly min_duration_ms: number
    }
    readonly capture: {
      readonly request_body: boolean
      readonly response_body: boolean
      readonly body_bytes: number
    }
  }[]
}

export interface ThreadData {
  /** 0, 1, 2 … */
  readonly index: number
  readonly plan: DataPlan
  readonly counters: SharedArrayBuffer
  /** One Int32: open client connections of all threads together. */
  readonly connections: SharedArrayBuffer
  /** Bytes of captures that this thread may hold. */
  readonly bufferBytes: number
  /** Listen with SO_REUSEPORT. */
  readonly reusePort: boolean
}

export type ToThread =
  | { readonly type: 'listen'; readonly host: string; readonly port: number }
  | { readonly type: 'plan'; readonly plan: DataPlan }
  | { readonly type: 'slab_return'; readonly slab: ArrayBufferLike }
  /** Memory of its own that a record had, of so many bytes, which died with its recorder. */
  | { readonly type: 'slab_lost'; readonly bytes: number }
  /** Hand over what is in the slab now. */
  | { readonly type: 'flush' }
  /**
   * Begin to drain: answer with `Connection: close` for `graceMs`, then stop accepting; report when empty.
   */
  | { readonly type: 'drain'; readonly graceMs: number }
  /** End every open connection now; exchanges are sealed as they end. */
  | { readonly type: 'abort' }

export type FromThread =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'listen_failed'; readonly code: string; readonly message: string }
  | { readonly type: 'plan_applied'; readonly generation: number }
  | {
      readonly type: 'slab'
      readonly slab: ArrayBufferLike
      /** Bytes in use. */
      readonly used: number
      readonly sequence: number
      readonly generation: number
      /** Flat: mirror slot, exchanges, mirror slot, exchanges … */
      readonly counts: readonly number[]
      /** When the slab was sealed, Unix milliseconds. */
      readonly sealedAt: number
    }
  /** No open connection is left, and the last slab was handed over before this. */
  | { readonly type: 'drained' }
  | { readonly type: 'flushed' }
  /** A summary line for the log, at most one a second per kind (trap A23). */
  | { readonly type: 'warning'; readonly kind: string; readonly message: string; readonly count: number }
