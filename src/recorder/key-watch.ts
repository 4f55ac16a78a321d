/** Tells over the raw bytes of a body, without parsing it, that no JSON key in it can be one of a set of names. */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LETTER_U = 0x75

/**
 * The fast path of field redaction: most bodies hold no key that is to be redacted, and are never turned into a
 * string. A key is a quote, a name and a quote; only the two bytes behind each quote are looked at first.
 */
export class KeyWatch {
  /** Indexed by the two bytes behind a quote; 1 = some name begins so. */
  readonly #pairs = new Uint8Array(65_536)
  readonly #names: Uint8Array[] = []
  /** The names cannot be recognised as plain bytes: every body is a suspect. */
  readonly #always: boolean
  /** Any escape may hide a name, not only \u: some name has characters that JSON may write with a short escape. */
  readonly #anyEscape: boolean

  constructor(names: readonly string[]) {
    this.#always = names.some((name) => name === '' || /[^\x20-\x7e]/.test(name))
    this.#anyEscape = names.some((name) => /["\\/]/.test(name))
    for (const name of names) {
      const bytes = Buffer.from(`${name.toLowerCase()}"`, 'latin1')
      this.#names.push(bytes)
      for (const first of casesOf(bytes[0] as number)) {
        for (const second of casesOf(bytes[1] as number)) this.#pairs[(first << 8) | second] = 1
      }
    }
  }

  /** Whether a key may be there, written plainly or with escapes. Never false when one is. */
  suspects(source: Uint8Array): boolean {
    if (this.#always) return true
    const pairs = this.#pairs
    const end = source.length - 2
    for (let at = 0; at < end; at++) {
      const byte = source[at]
      if (byte === QUOTE) {
        if (pairs[((source[at + 1] as number) << 8) | (source[at + 2] as number)] === 1 && this.#nameAt(source, at + 1)) {
          return true
        }
      } else if (byte === BACKSLASH && (this.#anyEscape || source[at + 1] === LETTER_U)) return true
    }
    return false
  }

  /** Whether a key is there, written plainly: for bytes that are no text, where a backslash means nothing. */
  holdsKey(source: Uint8Array): boolean {
    const end = source.length - 2
    for (let at = 0; at < end; at++) {
      if (source[at] === QUOTE && this.#nameAt(source, at + 1)) return true
    }
    return false
  }

  #nameAt(source: Uint8Array, at: number): boolean {
    return this.#names.some((name) => {
      for (let index = 0; index < name.length; index++) {
        if (lower(source[at + index] as number) !== name[index]) return false
      }
      return true
    })
  }
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
}

function casesOf(byte: number): number[] {
  return byte >= 0x61 && byte <= 0x7a ? [byte, byte & ~0x20] : [byte]
}
