/**
 * Brings what a query is about to read into memory, on threads of libuv's pool: a read from the store is a
 * page fault, and on main it would hold everything up for as long as the disk takes.
 */
import type { Database } from 'lmdb'

/** Reads at a time: a disk answers several as fast as one. libuv's pool has four threads, one stays free. */
const LANES = 3
/** Fewer keys than this are not worth another thread. */
const LANE_KEYS = 16
/** Ids of entries that are brought in while those before them are looked at. */
const CHUNK = 512
/** Small entries share a page with at least so many neighbours by id. */
const PAGE_ENTRIES = 4

type Table = Database<Buffer, number>

export class ReadAhead {
  readonly #underWay = new Set<Promise<void>>()
  #closed = false

  /** Resolves when the values of these keys are in memory; of those that are in no table nothing is. */
  async fetch(table: Table, keys: readonly number[]): Promise<void> {
    if (this.#closed) return
    const each = Math.max(LANE_KEYS, Math.ceil(keys.length / LANES))
    const lanes: Promise<void>[] = []
    for (let from = 0; from < keys.length; from += each) {
      const lane = table.prefetch(keys.slice(from, from + each)).finally(() => this.#underWay.delete(lane))
      this.#underWay.add(lane)
      lanes.push(lane)
    }
    await Promise.all(lanes)
  }

  /** Ascending ids in chunks, until the signal aborts; while one is looked at the next one comes. */
  async *chunks(
    entries: Table,
    ids: Iterator<number>,
    signal: AbortSignal,
  ): AsyncGenerator<readonly number[]> {
    let next = take(ids)
    let ready = this.fetch(entries, onePerPage(next))
    while (next.length > 0) {
      await ready
      signal.throwIfAborted()
      const chunk = next
      next = take(ids)
      ready = this.fetch(entries, onePerPage(next))
      yield chunk
    }
  }

  /** Before the store is closed: a thread that still reads would end the process. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#underWay)
  }
}

function take(ids: Iterator<number>): number[] {
  const taken: number[] = []
  while (taken.length < CHUNK) {
    const { value, done } = ids.next()
    if (done === true) break
    taken.push(value)
  }
  return taken
}

/** An entry that is on a page of its own after all is read when it is looked at. */
function onePerPage(ids: readonly number[]): number[] {
  let last = -PAGE_ENTRIES
  return ids.filter((id) => {
    if (id - last < PAGE_ENTRIES) return false
    last = id
    return true
  })
}
