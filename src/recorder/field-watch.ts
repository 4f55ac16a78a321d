/** Whether a JSON field that is to be redacted may stand in a body: what says no is copied unparsed. */
import { NameSet } from './name-set.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SMALL_U = 0x75
/** Escapes that may hide a name: those of characters, any, or every body holds one. */
const hiding = { characters: 0, any: 1, none: 2 } as const

/**
 * A key stands between two quotes with none between them, or holds an escape that may hide one. Names with
 * characters that are escaped or are not ASCII have too many spellings for this: with them every escape, or
 * every body, is a suspect.
 */
export class FieldWatch {
  readonly #names: NameSet
  readonly #hides: (typeof hiding)[keyof typeof hiding]

  constructor(names: readonly string[]) {
    this.#names = new NameSet(names)
    if (names.some((name) => name === '' || /[^\x20-\x7e]/.test(name))) this.#hides = hiding.none
    else this.#hides = names.some((name) => /["\\/]/.test(name)) ? hiding.any : hiding.characters
  }

  /** Whether every body is a suspect. */
  get always(): boolean {
    return this.#hides === hiding.none
  }

  /** What `name` asks first: a bit for each length up to 31, and 1 for each byte that a name begins with. */
  get lengths(): number {
    return this.#names.lengths
  }
  get firsts(): Uint8Array {
    return this.#names.firsts
  }

  /** `from` and `to`: between two neighbouring quotes. */
  name(bytes: Uint8Array, from: number, to: number): boolean {
    return this.#names.find(bytes, from, to) !== -1
  }

  /** `next`: the byte behind a backslash. */
  escape(next: number | undefined): boolean {
    return next === SMALL_U || this.#hides !== hiding.characters
  }

  /** Never false when a field is there. */
  finds(bytes: Uint8Array): boolean {
    if (this.always) return true
    let quote = -1
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]
      if (byte === BACKSLASH && this.escape(bytes[at + 1])) return true
      if (byte !== QUOTE) continue
      if (quote !== -1 && this.name(bytes, quote + 1, at)) return true
      quote = at
    }
    return false
  }
}
