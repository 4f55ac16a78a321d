/** What is known of legs beside their segments: counts, settled ranges, batches under way, dead letters. */
import type { Database, RootDatabase } from 'lmdb'
import type { ActivityFilter } from '../contract/activity.ts'
import type { DropReason } from '../contract/errors.ts'

/** Counts of one leg that no longer stand in a segment on disk. */
export interface LegRecord {
  /** Captured items that are in no segment any more: segments that are gone, and drops before the disk. */
  gone: number
  delivered: number
  dead_lettered: number
  dropped: Partial<Record<DropReason, number>>
  attempts: number
  last_attempt_at: number
  last_response_code: number | null
  last_error: string | null
}

/** A run of ids of the activity log in place of a file: offsets within the segment are ids. */
export interface LogRun {
  readonly from: number
  /** Ids below were looked at: what matched is in frames. */
  scanned: number
  /** End of its last frame: what did not match since then belongs to the next one. */
  framed: number
  /** Where it ends; null while it is being looked at. */
  end: number | null
  /** Where what it is a part of ends: a range that is sent again. Null: it follows the log as that grows. */
  readonly until: number | null
  filter: ActivityFilter
  /** Of all entries that matched: bytes, and times in Unix milliseconds. */
  bytes: number
  oldest: number
  newest: number
}

/** Byte ranges of a segment whose items need nothing more: delivered, dead-lettered or dropped. */
export interface SegmentRecord {
  /** All items of the segment, once it is closed. */
  items: number | null
  /** Merged, ascending, [from, to) offsets. */
  settled: [from: number, to: number][]
  settled_items: number
  /** For a segment that is no file. */
  log?: LogRun
}

/**
 * A batch on its way that its segment cannot tell of, since it was split or is one of the log. Written before
 * its first send: after a crash it is sent again under the same id.
 */
export interface BatchRecord {
  segment: string
  from: number
  to: number
  items: number
  id: string
  /** Item ranges that are still to be delivered; more than one after a split. */
  parts: [from: number, to: number][]
}

export interface DeadLetter {
  at: number
  reason: string
  status: number | null
  answer: string | null
  batch_id: string
  /** The item as it was sent: one JSON text. */
  item: string
}

/** Everything that changed of one leg; absolute values, null deletes. */
export interface LegCommand {
  type: 'leg'
  leg: string
  record: LegRecord
  segments: [name: string, record: SegmentRecord | null][]
  batches: [id: string, record: BatchRecord | null][]
  dead: [id: number, letter: DeadLetter | null][]
}

export interface StoredLeg {
  record: LegRecord | null
  segments: Map<string, SegmentRecord>
  batches: BatchRecord[]
}

export class LegTable {
  readonly #legs: Database<LegRecord, string>
  readonly #segments: Database<SegmentRecord, [leg: string, segment: string]>
  readonly #batches: Database<BatchRecord, [leg: string, id: string]>
  readonly #dead: Database<DeadLetter, [leg: string, id: number]>

  constructor(env: RootDatabase) {
    this.#legs = env.openDB({ name: 'legs' })
    this.#segments = env.openDB({ name: 'segments' })
    this.#batches = env.openDB({ name: 'batches' })
    this.#dead = env.openDB({ name: 'dead' })
  }

  /** Inside a transaction of the store. */
  apply(command: LegCommand): void {
    const { leg } = command
    this.#legs.put(leg, command.record)
    for (const [name, record] of command.segments) {
      if (record === null) this.#segments.remove([leg, name])
      else this.#segments.put([leg, name], record)
    }
    for (const [id, record] of command.batches) {
      if (record === null) this.#batches.remove([leg, id])
      else this.#batches.put([leg, id], record)
    }
    for (const [id, letter] of command.dead) {
      if (letter === null) this.#dead.remove([leg, id])
      else this.#dead.put([leg, id], letter)
    }
  }

  /** Keys of all legs that were ever written. */
  keys(): string[] {
    return [...this.#legs.getKeys()]
  }

  get(key: string): StoredLeg {
    const segments = new Map<string, SegmentRecord>()
    for (const { key: at, value } of this.#segments.getRange(legRange(key, ''))) segments.set(at[1], value)
    const batches: BatchRecord[] = []
    for (const { value } of this.#batches.getRange(legRange(key, ''))) batches.push(value)
    return { record: this.#legs.get(key) ?? null, segments, batches }
  }

  /** Dead letters of a leg by ascending id, after an id. */
  *deadLetters(key: string, after: number): Generator<{ id: number; letter: DeadLetter }> {
    const range = {
      start: [key, after + 1] as [string, number],
      end: [key, Number.MAX_SAFE_INTEGER] as [string, number],
    }
    for (const { key: at, value } of this.#dead.getRange(range)) yield { id: at[1], letter: value }
  }

  /** Id of the newest one; 0 when there is none. */
  lastDeadLetter(key: string): number {
    const range = {
      start: [key, Number.MAX_SAFE_INTEGER] as [string, number],
      end: [key, 0] as [string, number],
      reverse: true,
      limit: 1,
    }
    for (const at of this.#dead.getKeys(range)) return at[1]
    return 0
  }
}

function legRange(leg: string, from: string): { start: [string, string]; end: [string, string] } {
  return { start: [leg, from], end: [leg, '\uffff'] }
}
