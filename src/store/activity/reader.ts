/** Pages, exports and counts of the activity log, in slices so that nothing on main waits long. */
import type { Database } from 'lmdb'
import type {
  Activity,
  ActivityFilter,
  ActivityPage,
  ActivityStats,
  ChainedActivity,
} from '../../contract/activity.ts'
import type { EnvironmentName } from '../../contract/environments.ts'
import { type Bitmap, BLOCK_ENTRIES, positions, positionsDown, size, sizeOfBoth } from './bitmap.ts'
import type { Block } from './block.ts'
import type { Blocks } from './blocks.ts'
import type { Chains } from './chains.ts'
import { exportLine, parseEntry } from './format.ts'
import { matchesIn, mayMatch, plainCount, type Query, queryOf } from './query.ts'
import { Slices } from './slices.ts'
import { textTest } from './text.ts'

/** Entries between two looks at the clock. */
const CLOCK_ENTRIES = 64
const DAY_MS = 86_400_000

/** What a query reads. */
export interface ReaderSource {
  readonly entries: Database<Buffer, number>
  readonly blocks: Blocks
  /** Chains and newest id as they are now. */
  now(): { readonly chains: Chains; readonly lastId: number }
}

/** A page in the making. */
interface Collection {
  readonly page: ActivityPage
  readonly data: Activity[]
}

export class ActivityReader {
  readonly #source: ReaderSource
  #exports = 0

  constructor(source: ReaderSource) {
    this.#source = source
  }

  /** Exports under way: entries that they have still to give should not be removed. */
  get exports(): number {
    return this.#exports
  }

  entry(id: number, environment: EnvironmentName): ChainedActivity | null {
    const value = this.#source.entries.getBinary(id)
    if (value === undefined) return null
    const entry = parseEntry(value)
    return entry.workspace.environment === environment ? entry : null
  }

  #query(filter: ActivityFilter): { query: Query; blocks: Block[] } {
    const { chains, lastId } = this.#source.now()
    const query = queryOf(filter, chains.state(filter.environment).anchor_id, lastId)
    return { query, blocks: this.#source.blocks.all().filter((block) => mayMatch(query, block)) }
  }

  async page(page: ActivityPage): Promise<{ data: Activity[]; total: number }> {
    const { query, blocks } = this.#query(page)
    if (page.order === 'desc') blocks.reverse()
    const collection = { page, data: [] }
    const slices = new Slices()
    let total = 0
    for (const block of blocks) {
      if (slices.over) await slices.rest()
      const collects = this.#collects(collection, block)
      const plain = page.text === undefined && !collects ? plainCount(query, block) : null
      if (plain !== null) {
        total += plain
        continue
      }
      const found = matchesIn(query, block)
      if (page.text !== undefined) await this.#keepText(found, block, page.text, slices)
      total += size(found)
      if (collects) this.#collect(collection, block, found)
    }
    return { data: collection.data, total }
  }

  #collects({ page, data }: Collection, block: Block): boolean {
    if (data.length >= page.size) return false
    const first = block.number * BLOCK_ENTRIES
    if (page.after === undefined) return true
    return page.order === 'desc' ? first < page.after : first + BLOCK_ENTRIES - 1 > page.after
  }

  #collect({ page, data }: Collection, block: Block, found: Bitmap): void {
    const first = block.number * BLOCK_ENTRIES
    const { after, order } = page
    for (const position of order === 'desc' ? positionsDown(found) : positions(found)) {
      if (data.length >= page.size) return
      const id = first + position
      if (after !== undefined && (order === 'desc' ? id >= after : id <= after)) continue
      const value = this.#source.entries.getBinary(id)
      // Retention may have come since the index was asked.
      if (value === undefined) continue
      const { prev_hash: _, hash: __, ...entry } = parseEntry(value)
      data.push(entry)
    }
  }

  /** Takes out what does not hold the text. */
  async #keepText(found: Bitmap, block: Block, text: string, slices: Slices): Promise<void> {
    const holds = textTest(text)
    const first = block.number * BLOCK_ENTRIES
    let looked = 0
    for (const position of positions(found)) {
      const value = this.#source.entries.getBinary(first + position)
      if (value === undefined || !holds(value)) {
        found[position >>> 5] = (found[position >>> 5] ?? 0) & ~(1 << (position & 31))
      }
      looked += 1
      if (looked % CLOCK_ENTRIES === 0 && slices.over) await slices.rest()
    }
  }

  /** Oldest first, as the log is now. */
  entries(filter: ActivityFilter): AsyncIterable<ChainedActivity> {
    return this.#export(this.#query(filter), filter.text, parseEntry)
  }

  /** The same as lines of an export. */
  lines(filter: ActivityFilter): AsyncIterable<string> {
    return this.#export(this.#query(filter), filter.text, exportLine)
  }

  async *#export<Made>(
    { query, blocks }: { query: Query; blocks: Block[] },
    text: string | undefined,
    make: (value: Buffer) => Made,
  ): AsyncGenerator<Made> {
    const holds = text === undefined ? () => true : textTest(text)
    const slices = new Slices()
    this.#exports += 1
    try {
      for (const block of blocks) {
        let looked = 0
        for (const position of positions(matchesIn(query, block))) {
          looked += 1
          if (looked % CLOCK_ENTRIES === 0 && slices.over) await slices.rest()
          const id = block.number * BLOCK_ENTRIES + position
          const value = this.#source.entries.getBinary(id)
          // A gap would look like tampering to who checks the chain.
          if (value === undefined) throw new Error(`retention removed entry ${id} before it was exported`)
          if (holds(value)) yield make(value)
        }
      }
    } finally {
      this.#exports -= 1
    }
  }

  async stats(filter: ActivityFilter): Promise<ActivityStats> {
    const { query, blocks } = this.#query(filter)
    const byType = new Map<string, number>()
    const byDay = new Map<number, number>()
    const slices = new Slices()
    let total = 0
    for (const block of blocks) {
      if (slices.over) await slices.rest()
      const found = matchesIn(query, block)
      if (filter.text !== undefined) await this.#keepText(found, block, filter.text, slices)
      const matches = size(found)
      if (matches === 0) continue
      total += matches
      block.each('event_type', (type, having) => {
        const both = sizeOfBoth(found, having)
        if (both > 0) byType.set(type, (byType.get(type) ?? 0) + both)
      })
      countDays(block, found, byDay)
    }
    const days = [...byDay].sort(([a], [b]) => a - b)
    return {
      total,
      by_type: Object.fromEntries([...byType].sort(([, a], [, b]) => b - a)),
      by_day: Object.fromEntries(days.map(([day, count]) => [dayName(day), count])),
    }
  }
}

function countDays(block: Block, found: Bitmap, byDay: Map<number, number>): void {
  const [first, last] = [block.summary.min, block.summary.max].map((time) => Math.floor(time / DAY_MS))
  if (first === last && first !== undefined) {
    byDay.set(first, (byDay.get(first) ?? 0) + size(found))
    return
  }
  const times = block.times()
  for (const position of positions(found)) {
    const day = Math.floor((times[position] ?? 0) / DAY_MS)
    byDay.set(day, (byDay.get(day) ?? 0) + 1)
  }
}

const dayName = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10)
