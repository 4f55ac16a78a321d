/**
 * The byte form of one part of a block's index: which positions have which value of one field.
 *
 * ```
 *  count n │ n + 1 rows { key offset, data offset, positions } │ keys … │ data …      (u32, little endian)
 *
 *  rows ascend by the bytes of their keys; the last row only ends the one before it
 *  data of a row: up to 1,024 positions as ascending u16, more as a bitmap of 8,192 bytes
 * ```
 *
 * Values are spread over a fixed number of parts, so that closing a block is a bounded number of writes and a
 * lookup reads a few KiB, whatever the number of values.
 */
import { addPosition, type Bitmap, BITMAP_BYTES, newBitmap, unite } from './bitmap.ts'

export const PARTS = 32
/** Above it a bitmap is added faster than the list, above four times as many it is also smaller. */
const LIST_MAX = 1024
const ROW_BYTES = 12

/** Ascending positions that grow at the end. */
export class PositionList {
  #items = new Uint16Array(4)
  length = 0

  push(position: number): void {
    if (this.length === this.#items.length) {
      const grown = new Uint16Array(this.length * 2)
      grown.set(this.#items)
      this.#items = grown
    }
    this.#items[this.length] = position
    this.length += 1
  }

  /** Takes back what is at or above a position. */
  truncate(end: number): void {
    while (this.length > 0 && (this.#items[this.length - 1] ?? 0) >= end) this.length -= 1
  }

  addTo(bitmap: Bitmap): void {
    for (let at = 0; at < this.length; at += 1) addPosition(bitmap, this.#items[at] ?? 0)
  }

  /** A list, or a bitmap where that is smaller. */
  bytes(): Buffer {
    if (this.length <= LIST_MAX) return Buffer.from(this.#items.buffer, 0, this.length * 2)
    const bitmap = newBitmap()
    this.addTo(bitmap)
    return Buffer.from(bitmap.buffer)
  }
}

/** The part that a value is in (FNV-1a). */
export function partOf(value: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < value.length; at += 1) hash = Math.imul(hash ^ value.charCodeAt(at), 0x01000193)
  return (hash >>> 0) % PARTS
}

export function encodePart(values: readonly (readonly [value: string, list: PositionList])[]): Buffer {
  const rows = values
    .map(([value, list]) => ({ key: Buffer.from(value), data: list.bytes(), count: list.length }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
  const head = Buffer.alloc(4 + (rows.length + 1) * ROW_BYTES)
  head.writeUInt32LE(rows.length, 0)
  let keyAt = head.length
  let dataAt = keyAt + rows.reduce((sum, { key }) => sum + key.length, 0)
  for (const [index, row] of [...rows, null].entries()) {
    const at = 4 + index * ROW_BYTES
    head.writeUInt32LE(keyAt, at)
    head.writeUInt32LE(dataAt, at + 4)
    head.writeUInt32LE(row?.count ?? 0, at + 8)
    keyAt += row?.key.length ?? 0
    dataAt += row?.data.length ?? 0
  }
  return Buffer.concat([head, ...rows.map(({ key }) => key), ...rows.map(({ data }) => data)])
}

const scratch = newBitmap()
const scratchBytes = new Uint8Array(scratch.buffer)

/** Reads one part; its bytes may stand where the next read from the store puts others. */
export class Part {
  readonly #bytes: Buffer
  readonly length: number

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.length = bytes.readUInt32LE(0)
  }

  #row(index: number, word: number): number {
    return this.#bytes.readUInt32LE(4 + index * ROW_BYTES + word * 4)
  }

  value(index: number): string {
    return this.#bytes.toString('utf8', this.#row(index, 0), this.#row(index + 1, 0))
  }

  count(index: number): number {
    return this.#row(index, 2)
  }

  /** Row of a value, -1 when it has none. */
  find(value: string): number {
    const key = Buffer.from(value)
    let [low, high] = [0, this.length - 1]
    while (low <= high) {
      const middle = (low + high) >>> 1
      const order = this.#bytes.compare(key, 0, key.length, this.#row(middle, 0), this.#row(middle + 1, 0))
      if (order === 0) return middle
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  addTo(index: number, bitmap: Bitmap): void {
    const count = this.count(index)
    const at = this.#row(index, 1)
    if (count > LIST_MAX) {
      // The stored bytes may stand at any address; words may not.
      scratchBytes.set(this.#bytes.subarray(at, at + BITMAP_BYTES))
      unite(bitmap, scratch)
      return
    }
    const bytes = this.#bytes
    for (let end = at + count * 2, from = at; from < end; from += 2) {
      addPosition(bitmap, (bytes[from] ?? 0) | ((bytes[from + 1] ?? 0) << 8))
    }
  }
}
