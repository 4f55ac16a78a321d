/** Names that are looked for in bytes, without a string being made of each run of bytes that may be one. */

/** ASCII capitals as small letters. */
const small = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte | 32 : byte))

/** Lengths from here on share a bit. */
export const LENGTH_MAX = 31
/** Places of the table for each name: most that are none of them then meet an empty one. */
const PLACES_PER_NAME = 4

/** FNV-1a over small letters. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let at = from; at < to; at++)
    hash = Math.imul(hash ^ (small[bytes[at] as number] as number), 0x01000193)
  return hash ^ (hash >>> 15)
}

/** Case does not matter, of ASCII letters. A name beyond latin1 is never found. */
export class NameSet {
  readonly #names: readonly Uint8Array[]
  /** By hash: 1 + the place of a name, 0 where there is none; the next one where that is taken. */
  readonly #table: Int32Array
  readonly #mask: number
  /** A bit for each length. */
  readonly lengths: number

  constructor(names: readonly string[]) {
    this.#names = names.map((name) => Buffer.from(name, 'latin1').map((byte) => small[byte] as number))
    const size = 2 ** Math.ceil(Math.log2(names.length * PLACES_PER_NAME + 1))
    this.#table = new Int32Array(size)
    this.#mask = size - 1
    let lengths = 0
    for (const [index, name] of this.#names.entries()) {
      let place = hashOf(name, 0, name.length) & this.#mask
      while (this.#table[place] !== 0) place = (place + 1) & this.#mask
      this.#table[place] = index + 1
      lengths |= 1 << Math.min(name.length, LENGTH_MAX)
    }
    this.lengths = lengths
  }

  /** The place of the name that these bytes are among those that were given; -1 when they are none. */
  find(bytes: Uint8Array, from: number, to: number): number {
    const length = to - from
    if (((this.lengths >>> Math.min(length, LENGTH_MAX)) & 1) === 0) return -1
    let place = hashOf(bytes, from, to) & this.#mask
    for (;;) {
      const index = (this.#table[place] as number) - 1
      if (index === -1 || isSame(this.#names[index] as Uint8Array, bytes, from, to)) return index
      place = (place + 1) & this.#mask
    }
  }
}

function isSame(name: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (name.length !== to - from) return false
  for (let at = 0; at < name.length; at++) if (name[at] !== small[bytes[from + at] as number]) return false
  return true
}
