/** All blocks of the log: closed ones in the store, the open one rebuilt at a start from its own entries. */
import type { Database, RootDatabase } from 'lmdb'
import { BLOCK_ENTRIES } from './bitmap.ts'
import {
  type Block,
  blockOf,
  type BlockSummary,
  type BlockTables,
  ClosedBlock,
  OpenBlock,
  positionOf,
} from './block.ts'
import { indexedFields, parseEntry } from './format.ts'
import type { Appended } from './writer.ts'

export class Blocks {
  readonly #tables: BlockTables
  readonly #closed: ClosedBlock[] = []
  #open: OpenBlock
  /** What the transaction under way changes, until it is known to be committed. */
  #before: { open: OpenBlock; end: number } | null = null

  constructor(env: RootDatabase, entries: Database<Buffer, number>, lastId: number) {
    this.#tables = {
      postings: env.openDB({ name: 'activity_postings', encoding: 'binary' }),
      times: env.openDB({ name: 'activity_times', encoding: 'binary' }),
      summaries: env.openDB({ name: 'activity_blocks', encoding: 'string' }),
    }
    for (const { key, value } of this.#tables.summaries.getRange()) {
      this.#closed.push(new ClosedBlock(key, JSON.parse(value) as BlockSummary, this.#tables))
    }
    this.#open = new OpenBlock(blockOf(lastId + 1))
    const first = this.#open.number * BLOCK_ENTRIES
    for (const { key, value } of entries.getRange({ start: first })) {
      const entry = parseEntry(value)
      this.#open.add(positionOf(key), indexedFields(entry, entry.timestamp))
    }
  }

  get tables(): BlockTables {
    return this.#tables
  }

  /** Ascending; the last one is open. What is added later may show in it, above the ids known now. */
  all(): Block[] {
    return [...this.#closed, this.#open]
  }

  /** Adds entries before their transaction; what it must write for them besides. */
  add(appended: readonly Appended[]): () => void {
    const writes: (() => void)[] = []
    this.#before = { open: this.#open, end: this.#open.end }
    for (const { id, fields } of appended) {
      this.#open.add(positionOf(id), fields)
      if (positionOf(id) === BLOCK_ENTRIES - 1) {
        writes.push(this.#open.seal(this.#tables))
        this.#closed.push(new ClosedBlock(this.#open.number, this.#open.summary, this.#tables))
        this.#open = new OpenBlock(blockOf(id) + 1)
      }
    }
    return () => {
      for (const write of writes) write()
    }
  }

  /** What was added last is committed. */
  keep(): void {
    this.#before = null
  }

  /** Takes back what was added last, if anything: its transaction failed. */
  takeBack(): void {
    if (this.#before === null) return
    const { open, end } = this.#before
    while ((this.#closed.at(-1)?.number ?? -1) >= open.number) this.#closed.pop()
    this.#open = open
    this.#open.truncate(end)
    this.#before = null
  }

  /** Closed blocks below a number: all their entries are gone. */
  below(number: number): ClosedBlock[] {
    return this.#closed.filter((block) => block.number < number)
  }

  forget(blocks: readonly ClosedBlock[]): void {
    for (const block of blocks) this.#closed.splice(this.#closed.indexOf(block), 1)
  }
}
