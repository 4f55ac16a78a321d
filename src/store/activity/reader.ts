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
import {
  type Bitmap,
  BLOCK_ENTRIES,
  dropPosition,
  positions,
  positionsDown,
  size,
  sizeOfBoth,
} from './bitmap.ts'
import { type Block, positionOf } from './block.ts'
import type { Blocks } from './blocks.ts'
import type { Chains } from './chains.ts'
import { exportLine, parseEntry } from './format.ts'
import { comparesTimes, fieldsOf, matchesIn, mayMatch, plainCount, type Query, queryOf } from './query.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { Searches } from './searches.ts'
import { Slices } from './slices.ts'
import { textTest } from './text.ts'

/** Entries between two looks at the clock. */
const CLOCK_ENTRIES = 64
const DAY_MS = 86_400_000

/** What a query reads. */
export interface ReaderSource {
  readonly entries: Database<Buffer, number>
  readonly blocks: Blocks
  readonly ahead: ReadAhead
  /** Chains and newest id as they are now. */
  now(): { readonly chains: Chains; readonly lastId: number }
}

/** A page in the making. */
interface Collection {
  readonly page: ActivityPage
  readonly ids: number[]
}

type Page = { data: Activity[]; total: number }

export class ActivityReader {
  readonly #source: ReaderSource
  readonly #searches: Searches
  readonly #closed = new AbortController()
  #exports = 0

  constructor(source: ReaderSource, searches: Searches) {
    this.#source = source
    this.#searches = searches
  }

  /** Exports under way: entries that they have still to give should not be removed. */
  get exports(): number {
    return this.#exports
  }

  /** Ends queries that run. */
  close(): void {
    this.#closed.abort(new Error('the store is being closed'))
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

  #signal(asked: AbortSignal | undefined): AbortSignal {
    return asked === undefined ? this.#closed.signal : AbortSignal.any([asked, this.#closed.signal])
  }

  /** Answers from the index at once; what reads entries for a text waits for its turn. */
  #answer<Found>(
    { text }: ActivityFilter,
    asked: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Found>,
  ): Promise<Found> {
    const signal = this.#signal(asked)
    return text === undefined ? work(signal) : this.#searches.run(signal, work)
  }

  page(page: ActivityPage, asked?: AbortSignal): Promise<Page> {
    return this.#answer(page, asked, async (signal) => {
      const first = await this.#page(page, signal)
      // Retention took entries of it while they were brought in; what is behind them stands.
      return first ?? (await this.#page(page, signal)) ?? { data: [], total: 0 }
    })
  }

  /** Null when an entry went before it could be read. */
  async #page(page: ActivityPage, signal: AbortSignal): Promise<Page | null> {
    const { query, blocks } = this.#query(page)
    if (page.order === 'desc') blocks.reverse()
    const collection = { page, ids: [] }
    await this.#bringIndex(
      query,
      page.text === undefined ? blocks.filter((block) => plainCount(query, block) === null) : blocks,
    )
    const slices = new Slices(signal)
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
    await this.#source.ahead.fetch(this.#source.entries, collection.ids)
    signal.throwIfAborted()
    const data = collection.ids.map((id) => this.#activity(id))
    return data.every((entry) => entry !== null) ? { data, total } : null
  }

  #activity(id: number): Activity | null {
    const value = this.#source.entries.getBinary(id)
    if (value === undefined) return null
    const { prev_hash: _, hash: __, ...entry } = parseEntry(value)
    return entry
  }

  /** Reads what `matchesIn` will ask of the store for these blocks. */
  async #bringIndex(query: Query, blocks: readonly Block[]): Promise<void> {
    const { postings, times } = this.#source.blocks.tables
    const fields = fieldsOf(query)
    const compared = blocks.filter((block) => comparesTimes(query, block))
    await Promise.all([
      this.#source.ahead.fetch(
        postings,
        blocks.flatMap((block) => block.keys(fields)),
      ),
      this.#source.ahead.fetch(
        times,
        compared.map(({ number }) => number),
      ),
    ])
  }

  #collects({ page, ids }: Collection, block: Block): boolean {
    if (ids.length >= page.size) return false
    const first = block.number * BLOCK_ENTRIES
    if (page.after === undefined) return true
    return page.order === 'desc' ? first < page.after : first + BLOCK_ENTRIES - 1 > page.after
  }

  #collect({ page, ids }: Collection, block: Block, found: Bitmap): void {
    const first = block.number * BLOCK_ENTRIES
    const { after, order } = page
    for (const position of order === 'desc' ? positionsDown(found) : positions(found)) {
      if (ids.length >= page.size) return
      const id = first + position
      if (after !== undefined && (order === 'desc' ? id >= after : id <= after)) continue
      ids.push(id)
    }
  }

  /** Takes out what does not hold the text. */
  async #keepText(found: Bitmap, block: Block, text: string, slices: Slices): Promise<void> {
    const holds = textTest(text)
    const { entries } = this.#source
    let looked = 0
    for await (const ids of this.#source.ahead.chunks(entries, idsOf(block, found), slices.signal)) {
      for (const id of ids) {
        // Without a copy: it is looked at before the next one is read.
        const value = entries.getBinaryFast(id)
        if (value === undefined || !holds(value)) dropPosition(found, positionOf(id))
        looked += 1
        if (looked % CLOCK_ENTRIES === 0 && slices.over) await slices.rest()
      }
    }
  }

  /** Oldest first, as the log is now. */
  entries(filter: ActivityFilter, asked?: AbortSignal): AsyncIterable<ChainedActivity> {
    return this.#export(this.#query(filter), filter.text, parseEntry, this.#signal(asked))
  }

  /** The same as lines of an export. */
  lines(filter: ActivityFilter, asked?: AbortSignal): AsyncIterable<string> {
    return this.#export(this.#query(filter), filter.text, exportLine, this.#signal(asked))
  }

  async *#export<Made>(
    { query, blocks }: { query: Query; blocks: Block[] },
    text: string | undefined,
    make: (value: Buffer) => Made,
    signal: AbortSignal,
  ): AsyncGenerator<Made> {
    const holds = text === undefined ? () => true : textTest(text)
    const { entries } = this.#source
    const slices = new Slices(signal)
    let looked = 0
    this.#exports += 1
    try {
      for (const block of blocks) {
        await this.#bringIndex(query, [block])
        for await (const ids of this.#source.ahead.chunks(
          entries,
          idsOf(block, matchesIn(query, block)),
          signal,
        )) {
          for (const id of ids) {
            looked += 1
            if (looked % CLOCK_ENTRIES === 0 && slices.over) await slices.rest()
            const value = entries.getBinary(id)
            // A gap would look like tampering to who checks the chain.
            if (value === undefined) throw new Error(`retention removed entry ${id} before it was exported`)
            if (holds(value)) yield make(value)
          }
        }
      }
    } finally {
      this.#exports -= 1
    }
  }

  stats(filter: ActivityFilter, asked?: AbortSignal): Promise<ActivityStats> {
    return this.#answer(filter, asked, (signal) => this.#stats(filter, signal))
  }

  async #stats(filter: ActivityFilter, signal: AbortSignal): Promise<ActivityStats> {
    const { query, blocks } = this.#query(filter)
    const byType = new Map<string, number>()
    const byDay = new Map<number, number>()
    const slices = new Slices(signal)
    let total = 0
    await this.#bringIndex(query, blocks)
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

function* idsOf(block: Block, found: Bitmap): Generator<number> {
  const first = block.number * BLOCK_ENTRIES
  for (const position of positions(found)) yield first + position
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
