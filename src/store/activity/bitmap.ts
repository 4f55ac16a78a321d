/** Sets of positions within one block of 65,536 ids, one bit each. */

/** Ids of one block: the low 16 bits of an id are its position. */
export const BLOCK_ENTRIES = 65_536
const WORDS = BLOCK_ENTRIES / 32
export const BITMAP_BYTES: number = WORDS * 4

export type Bitmap = Uint32Array<ArrayBuffer>

export const newBitmap = (): Bitmap => new Uint32Array(WORDS)

export function addPosition(bitmap: Bitmap, position: number): void {
  const word = position >>> 5
  bitmap[word] = (bitmap[word] ?? 0) | (1 << (position & 31))
}

export function dropPosition(bitmap: Bitmap, position: number): void {
  const word = position >>> 5
  bitmap[word] = (bitmap[word] ?? 0) & ~(1 << (position & 31))
}

/** Keeps in `into` what is in both. */
export function intersect(into: Bitmap, other: Bitmap): void {
  for (let word = 0; word < WORDS; word += 1) into[word] = (into[word] ?? 0) & (other[word] ?? 0)
}

/** Keeps in `into` what is not in the other. */
export function subtract(into: Bitmap, other: Bitmap): void {
  for (let word = 0; word < WORDS; word += 1) into[word] = (into[word] ?? 0) & ~(other[word] ?? 0)
}

export function unite(into: Bitmap, other: Bitmap): void {
  for (let word = 0; word < WORDS; word += 1) into[word] = (into[word] ?? 0) | (other[word] ?? 0)
}

/** Keeps only positions within [from, to]. */
export function clip(bitmap: Bitmap, from: number, to: number): void {
  if (from > to) {
    bitmap.fill(0)
    return
  }
  const [first, last] = [from >>> 5, to >>> 5]
  bitmap.fill(0, 0, first)
  bitmap.fill(0, last + 1)
  bitmap[first] = (bitmap[first] ?? 0) & (-1 << (from & 31))
  bitmap[last] = (bitmap[last] ?? 0) & (-1 >>> (31 - (to & 31)))
}

/** Bits of one word (Hacker's Delight, 5-1). */
function bitsOf(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555)
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

export function size(bitmap: Bitmap): number {
  let total = 0
  for (let word = 0; word < WORDS; word += 1) total += bitsOf(bitmap[word] ?? 0)
  return total
}

/** How many positions both have. */
export function sizeOfBoth(one: Bitmap, other: Bitmap): number {
  let total = 0
  for (let word = 0; word < WORDS; word += 1) total += bitsOf((one[word] ?? 0) & (other[word] ?? 0))
  return total
}

/** Positions in ascending order. */
export function* positions(bitmap: Bitmap): Generator<number> {
  for (let word = 0; word < WORDS; word += 1) {
    for (let rest = bitmap[word] ?? 0; rest !== 0; rest &= rest - 1) {
      yield (word << 5) + 31 - Math.clz32(rest & -rest)
    }
  }
}

/** Positions in descending order. */
export function* positionsDown(bitmap: Bitmap): Generator<number> {
  for (let word = WORDS - 1; word >= 0; word -= 1) {
    let rest = bitmap[word] ?? 0
    while (rest !== 0) {
      const bit = 31 - Math.clz32(rest)
      yield (word << 5) + bit
      rest &= ~(1 << bit)
    }
  }
}

/** Takes out the positions whose time is not within [from, to]. */
export function keepTimes(bitmap: Bitmap, times: Float64Array, from: number, to: number): void {
  for (let word = 0; word < WORDS; word += 1) {
    for (let rest = bitmap[word] ?? 0; rest !== 0; rest &= rest - 1) {
      const bit = rest & -rest
      const time = times[(word << 5) + 31 - Math.clz32(bit)] ?? 0
      if (time < from || time > to) bitmap[word] = (bitmap[word] ?? 0) & ~bit
    }
  }
}
