/** Retention: takes old entries away, always a whole prefix of a chain, and keeps its anchor. */
import type { Database } from 'lmdb'
import type { EnvironmentName } from '../../contract/environments.ts'
import { BLOCK_ENTRIES, positions } from './bitmap.ts'
import { type Block, blockOf } from './block.ts'
import type { Blocks } from './blocks.ts'
import { HASH_BYTES, HEAD_BYTES } from './format.ts'
import { matchesIn, mayMatch, queryOf } from './query.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { ActivityWriter } from './writer.ts'

/** Entries removed in one transaction: an append that comes in between waits for a few milliseconds. */
const REMOVED_AT_ONCE = 500
/** Blocks whose index is removed in one transaction. */
const BLOCKS_AT_ONCE = 1

/** What retention took from one environment. */
export interface Removed {
  readonly environment: EnvironmentName
  readonly count: number
  /** The last entry that went. */
  readonly lastId: number
}

export class Retention {
  readonly #entries: Database<Buffer, number>
  readonly #blocks: Blocks
  readonly #writer: ActivityWriter
  readonly #ahead: ReadAhead
  /** Times of the block that was looked at last: many steps are within one block. */
  #times: { readonly block: Block; readonly times: Float64Array } | null = null

  constructor(entries: Database<Buffer, number>, blocks: Blocks, writer: ActivityWriter, ahead: ReadAhead) {
    this.#entries = entries
    this.#blocks = blocks
    this.#writer = writer
    this.#ahead = ahead
  }

  /** Removes what is older than its environment keeps; `keepFrom` gives the oldest time that stays. */
  async run(keepFrom: (environment: EnvironmentName) => number): Promise<Removed[]> {
    const removed: Removed[] = []
    for (const [environment] of this.#writer.chains.used()) {
      const before = this.#writer.chains.state(environment).removed
      while (await this.#step(environment, keepFrom(environment))) {
        // Between two steps appends get their turn.
      }
      const { removed: after, anchor_id: lastId } = this.#writer.chains.state(environment)
      if (after > before) removed.push({ environment, count: after - before, lastId })
    }
    this.#times = null
    await this.#dropBlocks()
    return removed
  }

  /** One transaction; false when nothing was left to be removed. */
  async #step(environment: EnvironmentName, keepFrom: number): Promise<boolean> {
    const old = this.#old(environment, keepFrom)
    await this.#ahead.fetch(this.#entries, old)
    const lastId = old.at(-1)
    const last = lastId === undefined ? undefined : this.#entries.getBinary(lastId)
    if (lastId === undefined || last === undefined) return false
    const anchor = { id: lastId, hash: last.toString('hex', HASH_BYTES, HEAD_BYTES) }
    await this.#writer.append([], {
      change: (chains) =>
        chains.remove(environment, anchor, old.length, this.#firstAfter(environment, lastId)),
      write: () => {
        for (const id of old) this.#entries.remove(id)
      },
    })
    return true
  }

  /** Ids of a chain that stand after an id, with their times; in ascending order. */
  *#after(environment: EnvironmentName, above: number): Generator<{ id: number; time: number }> {
    const query = queryOf({ environment }, above, this.#writer.lastId)
    for (const block of this.#blocks.all()) {
      if (!mayMatch(query, block)) continue
      const times = this.#timesOf(block)
      for (const position of positions(matchesIn(query, block)))
        yield { id: block.number * BLOCK_ENTRIES + position, time: times[position] ?? 0 }
    }
  }

  #timesOf(block: Block): Float64Array {
    if (this.#times?.block !== block) this.#times = { block, times: block.times() }
    return this.#times.times
  }

  /** The first entries of a chain, as far as they are old. */
  #old(environment: EnvironmentName, keepFrom: number): number[] {
    const old: number[] = []
    for (const { id, time } of this.#after(environment, this.#writer.chains.state(environment).anchor_id)) {
      // A younger entry keeps all that came after it, or the chain would have a gap.
      if (old.length === REMOVED_AT_ONCE || time >= keepFrom) break
      old.push(id)
    }
    return old
  }

  /** The first entry that stands after an id: asked when nothing can be appended in between. */
  #firstAfter(environment: EnvironmentName, id: number): number {
    for (const next of this.#after(environment, id)) return next.id
    return 0
  }

  /** The index of blocks in which no entry stands any more. */
  async #dropBlocks(): Promise<void> {
    const { chains, lastId } = this.#writer
    const firsts = chains.used().flatMap(([, { first_id, entries }]) => (entries > 0 ? [first_id] : []))
    const first = Math.min(lastId + 1, ...firsts)
    for (;;) {
      const empty = this.#blocks.below(blockOf(first)).slice(0, BLOCKS_AT_ONCE)
      if (empty.length === 0) return
      await this.#writer.append([], {
        write: () => {
          for (const block of empty) block.remove()
        },
      })
      this.#blocks.forget(empty)
    }
  }
}
