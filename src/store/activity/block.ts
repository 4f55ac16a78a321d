/** One block of 65,536 ids with its index: the newest one in memory, the others in the store. */
import type { Database } from 'lmdb'
import type { EnvironmentName } from '../../contract/environments.ts'
import { type Bitmap, BLOCK_ENTRIES, newBitmap } from './bitmap.ts'
import type { IndexedFields } from './format.ts'
import { encodePart, Part, partOf, PARTS, PositionList } from './postings.ts'

export const fieldNames = ['environment', 'event_type', 'resource_type', 'user'] as const
export type FieldName = (typeof fieldNames)[number]

/** Fields, each with values of it. */
export type FieldValues = readonly (readonly [field: FieldName, values: readonly string[]])[]

/** What is known of a block without reading its index. */
export interface BlockSummary {
  /** Of the entries' times, Unix milliseconds. */
  readonly min: number
  readonly max: number
  /** Entries by environment, removed ones included. */
  readonly counts: Readonly<Partial<Record<EnvironmentName, number>>>
}

export interface Block {
  readonly number: number
  readonly summary: BlockSummary
  /** Adds the positions that have a value to a bitmap. */
  addTo(bitmap: Bitmap, field: FieldName, value: string): void
  /** Keys of what the store has to read for these values of fields. */
  keys(fields: FieldValues): readonly number[]
  /** Every value of a field with its positions; the bitmap is used again for the next one. */
  each(field: FieldName, visit: (value: string, bitmap: Bitmap) => void): void
  times(): Float64Array
}

/** Where closed blocks are kept. */
export interface BlockTables {
  /** block × fields × parts → positions by value. */
  readonly postings: Database<Buffer, number>
  /** block → times as Float64, little endian. */
  readonly times: Database<Buffer, number>
  /** block → JSON of its summary. */
  readonly summaries: Database<string, number>
}

export const blockOf = (id: number): number => Math.floor(id / BLOCK_ENTRIES)
export const positionOf = (id: number): number => id % BLOCK_ENTRIES

const postingsKey = (block: number, field: number, part: number): number =>
  (block * fieldNames.length + field) * PARTS + part

/** The block that entries are still added to. */
export class OpenBlock implements Block {
  readonly number: number
  readonly #times = new Float64Array(BLOCK_ENTRIES)
  readonly #fields: Readonly<Record<FieldName, Map<string, PositionList>>> = {
    environment: new Map(),
    event_type: new Map(),
    resource_type: new Map(),
    user: new Map(),
  }
  #first = BLOCK_ENTRIES
  #end = 0
  #min = Infinity
  #max = -Infinity

  constructor(number: number) {
    this.number = number
  }

  /** Positions up to here are taken. */
  get end(): number {
    return this.#end
  }

  get summary(): BlockSummary {
    const counts = [...this.#fields.environment].map(([name, list]) => [name, list.length] as const)
    return { min: this.#min, max: this.#max, counts: Object.fromEntries(counts) }
  }

  add(position: number, fields: IndexedFields): void {
    this.#times[position] = fields.timestamp
    this.#min = Math.min(this.#min, fields.timestamp)
    this.#max = Math.max(this.#max, fields.timestamp)
    this.#first = Math.min(this.#first, position)
    this.#end = position + 1
    for (const name of fieldNames) {
      const lists = this.#fields[name]
      let list = lists.get(fields[name])
      if (list === undefined) lists.set(fields[name], (list = new PositionList()))
      list.push(position)
    }
  }

  /** Takes back what was added at or above a position: its transaction was not committed. */
  truncate(end: number): void {
    for (const lists of Object.values(this.#fields)) {
      for (const [value, list] of lists) {
        list.truncate(end)
        if (list.length === 0) lists.delete(value)
      }
    }
    this.#end = end
    const kept = this.#times.subarray(this.#first, Math.max(this.#first, end))
    this.#min = kept.reduce((least, time) => Math.min(least, time), Infinity)
    this.#max = kept.reduce((most, time) => Math.max(most, time), -Infinity)
  }

  addTo(bitmap: Bitmap, field: FieldName, value: string): void {
    this.#fields[field].get(value)?.addTo(bitmap)
  }

  keys(): readonly number[] {
    return []
  }

  each(field: FieldName, visit: (value: string, bitmap: Bitmap) => void): void {
    const bitmap = newBitmap()
    for (const [value, list] of this.#fields[field]) {
      bitmap.fill(0)
      list.addTo(bitmap)
      visit(value, bitmap)
    }
  }

  times(): Float64Array {
    return this.#times
  }

  /** What has to be written when the block is full; the caller does, inside its transaction. */
  seal(tables: BlockTables): () => void {
    const parts = fieldNames.flatMap((name, field) => {
      const byPart = Map.groupBy(this.#fields[name], ([value]) => partOf(value))
      return [...byPart].map(([part, values]) => ({
        key: postingsKey(this.number, field, part),
        bytes: encodePart(values),
      }))
    })
    const summary = JSON.stringify(this.summary)
    const times = Buffer.from(this.#times.buffer)
    return () => {
      for (const { key, bytes } of parts) tables.postings.put(key, bytes)
      tables.times.put(this.number, times)
      tables.summaries.put(this.number, summary)
    }
  }
}

/** A full block, read from the store when it is asked. */
export class ClosedBlock implements Block {
  readonly number: number
  readonly summary: BlockSummary
  readonly #tables: BlockTables

  constructor(number: number, summary: BlockSummary, tables: BlockTables) {
    this.number = number
    this.summary = summary
    this.#tables = tables
  }

  #part(field: FieldName, part: number): Part | null {
    const key = postingsKey(this.number, fieldNames.indexOf(field), part)
    // Without a copy: every part is used before the next one is read.
    const bytes = this.#tables.postings.getBinaryFast(key)
    return bytes === undefined ? null : new Part(bytes)
  }

  addTo(bitmap: Bitmap, field: FieldName, value: string): void {
    const part = this.#part(field, partOf(value))
    const row = part?.find(value) ?? -1
    if (row >= 0) part?.addTo(row, bitmap)
  }

  keys(fields: FieldValues): readonly number[] {
    return fields.flatMap(([field, values]) =>
      [...new Set(values.map(partOf))].map((part) =>
        postingsKey(this.number, fieldNames.indexOf(field), part),
      ),
    )
  }

  each(field: FieldName, visit: (value: string, bitmap: Bitmap) => void): void {
    const bitmap = newBitmap()
    for (let number = 0; number < PARTS; number += 1) {
      const part = this.#part(field, number)
      for (let row = 0; row < (part?.length ?? 0); row += 1) {
        bitmap.fill(0)
        part?.addTo(row, bitmap)
        visit(part?.value(row) ?? '', bitmap)
      }
    }
  }

  times(): Float64Array {
    const bytes = this.#tables.times.getBinary(this.number)
    const times = new Float64Array(BLOCK_ENTRIES)
    if (bytes !== undefined) new Uint8Array(times.buffer).set(bytes)
    return times
  }

  /** Inside a transaction: takes the index of a block whose entries are all gone out of the store. */
  remove(): void {
    for (let field = 0; field < fieldNames.length; field += 1) {
      for (let part = 0; part < PARTS; part += 1)
        this.#tables.postings.remove(postingsKey(this.number, field, part))
    }
    this.#tables.times.remove(this.number)
    this.#tables.summaries.remove(this.number)
  }
}
