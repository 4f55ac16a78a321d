/** What all connections and exchanges of one data thread share. */
import type { OpenTable } from './clock.ts'
import type { ClientConnection } from './connection.ts'
import type { Snapshot } from './snapshot.ts'
import type { SlabPool } from './slabs.ts'

export interface Shared {
  /** For new requests; an exchange keeps the one it began with. */
  snapshot: Snapshot
  readonly cells: Float64Array
  readonly open: OpenTable
  readonly slabs: SlabPool
  /** `no`; `closing`: answers carry `Connection: close`; `refusing`: requests are answered 503 as well. */
  draining: 'no' | 'closing' | 'refusing'
  /** Requests that wait behind others of their connection. */
  pipelinedWaiting: number
  /** A line for the log, at most one a second per kind. */
  warn(kind: string, error: unknown): void
  connectionClosed(connection: ClientConnection): void
}
