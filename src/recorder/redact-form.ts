/** Redaction of name=value pairs: queries, URLs in headers, form bodies, names of multipart fields. */
import type { NameSet } from './name-set.ts'
import type { RedactMode, Substitute } from './substitute.ts'

/**
 * Redacts the values of parameters by name. Methods return the very same string when nothing was to be
 * done.
 */
export class PairRedactor {
  readonly #names: ReadonlySet<string>
  readonly #mode: RedactMode
  readonly #substitute: Substitute

  /** `names` in lower case. */
  constructor(names: ReadonlySet<string>, mode: RedactMode, substitute: Substitute) {
    this.#names = names
    this.#mode = mode
    this.#substitute = substitute
  }

  /** Whether a parameter of this name, as it stands in a URL or form, is to be redacted. */
  matches(name: string): boolean {
    const plain = decoded(name).trim().toLowerCase()
    if (this.#names.has(plain)) return true
    // user[password]=…: the convention of many frameworks for nested fields.
    return plain.includes('[') && plain.split(/[[\]]+/).some((part) => this.#names.has(part))
  }

  /** `a=1&token=x`, without a leading question mark. */
  pairs(text: string): string {
    if (!text.includes('=')) return text
    let hit = false
    const kept: string[] = []
    for (const segment of text.split('&')) {
      const at = this.#nameIn(segment)
      if (at === -1) {
        kept.push(segment)
        continue
      }
      hit = true
      const value = segment.indexOf('=', at) + 1
      if (this.#mode !== 'remove')
        kept.push(segment.slice(0, value) + this.#substitute(decoded(segment.slice(value))))
      else if (at > 1) kept.push(segment.slice(0, at - 1))
    }
    return hit ? kept.join('&') : text
  }

  /** A URL or reference: its query and its fragment (which carries tokens in some sign-in answers). */
  url(text: string): string {
    if (!text.includes('=')) return text
    const start = text.search(/[?#]/)
    if (start === -1) return text
    const pieces = text.slice(start).split(/([?#])/)
    return text.slice(0, start) + pieces.map((piece) => this.pairs(piece)).join('')
  }

  /** Whether a multipart body has a field of a name that is to be redacted. */
  hasField(text: string): boolean {
    for (const [header] of text.matchAll(/content-disposition[^\n]*(?:\n[ \t][^\n]*)*/gi)) {
      for (const found of header.matchAll(/[;\s]name\*?\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;]+))/gi)) {
        const name = (found[1] ?? found[2] ?? '').replaceAll('\\', '')
        // RFC 8187 §3.2: name*=charset'language'value
        if (this.matches(name) || this.matches(name.slice(name.lastIndexOf("'") + 1))) return true
      }
    }
    return false
  }

  /**
   * Where a name that is to be redacted begins in one `&` segment, or -1. Some servers also split at `;`,
   * so names are looked for behind each one, but a value only ends with its segment: it is right for both
   * kinds of server.
   */
  #nameIn(segment: string): number {
    let equals = -1
    for (let from = 0; from < segment.length; ) {
      if (equals < from) equals = segment.indexOf('=', from)
      if (equals === -1) return -1
      const stop = segment.indexOf(';', from)
      if (stop !== -1 && stop < equals) {
        from = stop + 1
        continue
      }
      if (this.matches(segment.slice(from, equals))) return from
      if (stop === -1) return -1
      from = stop + 1
    }
    return -1
  }
}

function decoded(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text
  const spaced = text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
  }
}

/** What a name ends with, and what may hide one: escapes, spaces, brackets, a second kind of separator. */
const EQUALS = 0x3d
const AMPERSAND = 0x26
const SEMICOLON = 0x3b
const hiders = new Uint8Array(256).fill(1, 0, 0x21).fill(1, 0x7f)
for (const character of '%+[];') hiders[character.charCodeAt(0)] = 1

/** Whether pairs may hold one of these names; never false when `pairs` would change them. */
export function suspectPairs(bytes: Uint8Array, from: number, to: number, names: NameSet): boolean {
  let name = from
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (byte === AMPERSAND) name = at + 1
    else if (byte === EQUALS) {
      if (name !== -1 && names.find(bytes, name, at) !== -1) return true
      name = -1
    } else if (hiders[byte] === 1 && (name !== -1 || byte === SEMICOLON)) return true
  }
  return false
}
