/**
 * Entries of the log for deliveries, read in a thread of their own. Neighbouring entries are read together
 * and kept for a while: ten streams behind each other in the same range share one read of it.
 */
import path from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import type { EntryFilter } from '../../contract/activity.ts'
import { limits } from '../../contract/limits.ts'
import { databases, HEAD_BYTES } from './format.ts'
import { entryTest, StoredEntry } from './stored-entry.ts'

/** Ids of one run: a batch or two. */
const RUN_IDS = 512

interface Run {
  /** Ids below were there when it was read. */
  readonly until: number
  readonly bytes: number
  readonly entries: readonly StoredEntry[]
}

export interface RangeOfLog {
  /** Ids, [from, to). */
  readonly from: number
  readonly to: number
  readonly filter: EntryFilter
}

export interface RangeRead {
  /** One payload and a newline each, in the memory that was given. */
  readonly ndjson: Buffer
  readonly items: number
  /** The first entry of the range's environment that still stands; `to` when none does. */
  readonly firstStanding: number
}

export class ActivityRuns {
  readonly #env: RootDatabase
  readonly #entries: Database<Buffer, number>
  /** By the number of the run, the least recently used first. */
  readonly #runs = new Map<number, Run>()
  #bytes = 0

  constructor(dataDir: string) {
    this.#env = open({ path: path.join(dataDir, 'store'), maxDbs: 32, readOnly: true })
    this.#entries = this.#env.openDB({ name: databases.entries, encoding: 'binary' })
  }

  /** What matches in a range. `memory` must hold it; what does not fit is an error. */
  read({ from, to, filter }: RangeOfLog, memory: Buffer): RangeRead {
    const matches = entryTest(filter)
    let [bytes, items, firstStanding] = [0, 0, to]
    for (let number = Math.floor(from / RUN_IDS); number * RUN_IDS < to; number += 1) {
      for (const entry of this.#run(number, to).entries) {
        if (entry.id < from || entry.id >= to) continue
        if (entry.environment === filter.environment) firstStanding = Math.min(firstStanding, entry.id)
        if (!matches(entry)) continue
        const { value } = entry
        const end = bytes + value.length - HEAD_BYTES
        if (end >= memory.length)
          throw new RangeError(`entries ${from} to ${to} exceed ${memory.length} bytes`)
        value.copy(memory, bytes, HEAD_BYTES)
        memory[end] = 0x0a
        bytes = end + 1
        items += 1
      }
    }
    return { ndjson: memory.subarray(0, bytes), items, firstStanding }
  }

  /** A run with everything below `to` that is in it. */
  #run(number: number, to: number): Run {
    const [first, end] = [number * RUN_IDS, (number + 1) * RUN_IDS]
    const known = this.#runs.get(number)
    this.#runs.delete(number)
    if (known !== undefined && known.until >= Math.min(end, to)) {
      this.#runs.set(number, known)
      return known
    }
    this.#bytes -= known?.bytes ?? 0
    // What was committed since the last read is not in the snapshot of that one.
    this.#env.resetReadTxn()
    const entries: StoredEntry[] = []
    let bytes = 0
    for (const { key, value } of this.#entries.getRange({ start: first, end })) {
      entries.push(new StoredEntry(key, value))
      bytes += value.length
    }
    const last = entries.at(-1)?.id ?? 0
    const run = { entries, bytes, until: Math.max(Math.min(end, to), last + 1) }
    this.#keep(number, run)
    return run
  }

  #keep(number: number, run: Run): void {
    this.#runs.set(number, run)
    this.#bytes += run.bytes
    for (const [other, { bytes }] of this.#runs) {
      if (this.#bytes <= limits.activity_runs_bytes || other === number) break
      this.#runs.delete(other)
      this.#bytes -= bytes
    }
  }

  async close(): Promise<void> {
    await this.#env.close()
  }
}
