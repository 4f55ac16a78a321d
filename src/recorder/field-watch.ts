/** Whether a JSON field that is to be redacted may stand in a body: what says no is copied unparsed. */
import { LENGTH_MAX, NameSet } from './name-set.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SMALL_U = 0x75
/** Escapes that may hide a name: those of characters, any, or every body holds one. */
const hiding = { characters: 1, any: 2, none: 3 } as const
/** Marks that a name can have. */
const MARKS = 1024

/**
 * What is asked of a run of bytes before it is compared with names: nearly all that are none of them have
 * another mark. The same for small letters and capitals.
 */
function markOf(name: string): number {
  const length = Math.min(name.length, LENGTH_MAX)
  const [first, last] = [name.charCodeAt(0), name.charCodeAt(name.length - 1)]
  return ((length * 33) ^ (first & 31) ^ ((last & 31) << 5)) & (MARKS - 1)
}

/**
 * A key stands between two quotes with none between them, or holds an escape that may hide one. Names with
 * characters that are escaped or are not ASCII have too many spellings for this: with them every escape, or
 * every body, is a suspect.
 */
export class FieldWatch {
  readonly #names: NameSet
  readonly #hides: (typeof hiding)[keyof typeof hiding]
  /** 1 for each mark of a name. */
  readonly marks = new Uint8Array(MARKS)

  constructor(names: readonly string[]) {
    this.#names = new NameSet(names)
    for (const name of names) this.marks[markOf(name)] = 1
    if (names.some((name) => name === '' || /[^\x20-\x7e]/.test(name))) this.#hides = hiding.none
    else this.#hides = names.some((name) => /["\\/]/.test(name)) ? hiding.any : hiding.characters
  }

  /** Whether every body is a suspect. */
  get always(): boolean {
    return this.#hides === hiding.none
  }

  /** Which escapes may hide a name, as `json-escape.wat` has it. */
  get hides(): number {
    return this.#hides
  }
  /** A bit for each length of a name. */
  get lengths(): number {
    return this.#names.lengths
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
