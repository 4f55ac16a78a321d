/** The log for who follows it: entries by id as it grows, and what retention took from its beginning. */
import type { Database } from 'lmdb'
import type { EnvironmentName } from '../../contract/environments.ts'
import { BLOCK_ENTRIES, positions } from './bitmap.ts'
import type { Blocks } from './blocks.ts'
import type { Chains } from './chains.ts'
import { matchesIn, mayMatch, queryOf } from './query.ts'
import { Slices } from './slices.ts'
import { StoredEntry } from './stored-entry.ts'

/** Entries between two looks at the clock. */
const CLOCK_ENTRIES = 64

/** Told of every change that concerns who follows. */
export interface LogFollower {
  /** Entries were committed. */
  grown(): void
  /** Resolves when everything that is committed was looked at: then old entries may go. */
  caughtUp(): Promise<void>
  /** Entries of an environment up to an id are gone. */
  removed(environment: EnvironmentName, lastId: number): Promise<void>
}

interface FeedSource {
  readonly entries: Database<Buffer, number>
  readonly blocks: Blocks
  now(): { readonly chains: Chains; readonly lastId: number }
}

export class ActivityFeed {
  readonly #source: FeedSource
  follower: LogFollower | null = null

  constructor(source: FeedSource) {
    this.#source = source
  }

  /** The newest entry that is committed. */
  get lastId(): number {
    return this.#source.now().lastId
  }

  /** The last entry that retention took; 0 when it took none. */
  removedTo(environment: EnvironmentName): number {
    return this.#source.now().chains.state(environment).anchor_id
  }

  /** The first entry that is not older than a time, in the order of acceptance; the next one when all are. */
  firstFrom(environment: EnvironmentName, time: number): number {
    const { chains, lastId } = this.#source.now()
    const query = queryOf({ environment, from: time }, chains.state(environment).anchor_id, lastId)
    for (const block of this.#source.blocks.all()) {
      if (!mayMatch(query, block)) continue
      for (const position of positions(matchesIn(query, block)))
        return block.number * BLOCK_ENTRIES + position
    }
    return lastId + 1
  }

  /** Entries from an id on, as far as they are committed; each is valid until the next one. */
  *entries(from: number, to: number): Generator<StoredEntry> {
    const end = Math.min(to, this.lastId + 1)
    if (from >= end) return
    for (const { key, value } of this.#source.entries.getRange({ start: from, end, snapshot: false })) {
      yield new StoredEntry(key, value)
    }
  }

  /** The same in slices, for who has time. */
  async each(from: number, to: number, visit: (entry: StoredEntry) => void): Promise<void> {
    const slices = new Slices()
    let next = from
    while (next < Math.min(to, this.lastId + 1)) {
      let looked = 0
      let over = false
      for (const entry of this.entries(next, to)) {
        visit(entry)
        next = entry.id + 1
        looked += 1
        over = looked % CLOCK_ENTRIES === 0 && slices.over
        if (over) break
      }
      // Nothing stands up to the end.
      if (!over) return
      await slices.rest()
    }
  }
}
