/**
 * Built-in detectors: values that are sensitive by what they look like, whatever their field is called. One
 * pass over the text with bounded looks ahead, so that no text takes more than linear time (trap F5).
 */
import type { RecordMirror } from '../contract/tasks.ts'
import { endOfDigits, isDigit, isWord, numberAt } from './detect-number.ts'
import type { Substitute } from './substitute.ts'

interface Match {
  readonly start: number
  readonly end: number
  /** A number of JSON, which has no quotes of its own. */
  readonly bare: boolean
}

const QUOTE = 0x22
const DASH = 0x2d
const DOT = 0x2e
const AT = 0x40
const BACKSLASH = 0x5c
const SMALL_E = 0x65

/** RFC 5321 §4.5.3.1: octets of a local part, of a domain. */
const LOCAL_CHARS_MAX = 64
const DOMAIN_CHARS_MAX = 255
/** A header of a token is a few names long, `{"alg":"none"}` at least; its payload may be anything. */
const TOKEN_HEADER_CHARS_MIN = 19
const TOKEN_HEADER_CHARS_MAX = 8192
/** A signed token has three parts, an encrypted one five (RFC 7516 §3.1). */
const TOKEN_PARTS_MAX = 5

export class Detector {
  readonly #wanted: ReadonlySet<string>
  readonly #substitute: Substitute

  constructor(wanted: RecordMirror['redact']['detect'], substitute: Substitute) {
    this.#wanted = new Set(wanted)
    this.#substitute = substitute
  }

  /** The very same string when there is nothing. `json`: a number without quotes gets some. */
  text(text: string, json: boolean): string {
    return this.#replace(text, new Walk(text, this.#wanted, json).matches(), (kept) => kept)
  }

  /**
   * A value of a query or form, or a part of a path: as it stands, and what is left of it with its
   * percent-encoding undone. `plus`: a plus is a space.
   */
  encoded(text: string, plus: boolean): string {
    const matches = new Walk(text, this.#wanted, false).matches()
    if (matches.length === 0) return this.#decoded(text, plus)
    return this.#replace(text, matches, (kept) => this.#decoded(kept, plus))
  }

  /** A URL, path or form: each part between its delimiters. */
  parts(text: string, plus: boolean): string {
    const parts = text.split(/([/?#&=;])/)
    const redacted = parts.map((part) => this.encoded(part, plus))
    return redacted.some((part, at) => part !== parts[at]) ? redacted.join('') : text
  }

  /** Whether there is anything, in bytes that are no text. */
  holds(latin1: string): boolean {
    return new Walk(latin1, this.#wanted, false).matches().length > 0
  }

  #decoded(text: string, plus: boolean): string {
    if (!text.includes('%') && !(plus && text.includes('+'))) return text
    const decoded = decode(plus ? text.replaceAll('+', ' ') : text)
    const matches = new Walk(decoded, this.#wanted, false).matches()
    return matches.length === 0 ? text : this.#replace(decoded, matches, encodeURIComponent)
  }

  #replace(text: string, matches: readonly Match[], keep: (text: string) => string): string {
    if (matches.length === 0) return text
    let out = ''
    let from = 0
    for (const { start, end, bare } of matches) {
      const instead = this.#substitute(text.slice(start, end))
      out += keep(text.slice(from, start)) + (bare ? bareText(instead) : instead)
      from = end
    }
    return out + keep(text.slice(from))
  }
}

function bareText(instead: string): string {
  return instead === '' ? 'null' : JSON.stringify(instead)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  }
}

class Walk {
  readonly #text: string
  readonly #wanted: ReadonlySet<string>
  readonly #json: boolean
  readonly #matches: Match[] = []
  #at = 0
  /** Behind the last escape: a word may begin there, whatever letter the escape ends with. */
  #edge = 0
  /** Where the run of characters that may be a local part begins; -1 outside of one. */
  #local = -1
  #quoted = false

  constructor(text: string, wanted: ReadonlySet<string>, json: boolean) {
    this.#text = text
    this.#wanted = wanted
    this.#json = json
  }

  matches(): readonly Match[] {
    const text = this.#text
    while (this.#at < text.length) {
      const code = text.charCodeAt(this.#at)
      if (code === BACKSLASH && this.#escape()) continue
      if (isDigit(code) && this.#beginsNumber()) this.#number()
      else if (code === AT) this.#email()
      else if (code === SMALL_E && this.#token()) continue
      else {
        if (code === QUOTE) this.#quoted = !this.#quoted
        this.#track(code)
        this.#at += 1
      }
    }
    return this.#matches
  }

  #found(start: number, end: number, bare: boolean): void {
    this.#matches.push({ start, end, bare })
    this.#at = end
    this.#local = -1
  }

  /** RFC 8259 §7: steps over an escape, so that its letters belong to no word; false where there is none. */
  #escape(): boolean {
    const letter = this.#text[this.#at + 1] ?? ''
    if (!'"\\/bfnrtu'.includes(letter) || letter === '') return false
    const hex = letter === 'u' ? this.#text.slice(this.#at + 2, this.#at + 6) : ''
    if (letter === 'u' && !/^[0-9a-f]{4}$/i.test(hex)) return false
    this.#track(hex === '' ? QUOTE : Number.parseInt(hex, 16))
    this.#at += 2 + hex.length
    this.#edge = this.#at
    return true
  }

  #track(code: number): void {
    if (!isLocal(code)) this.#local = -1
    else if (this.#local === -1) this.#local = this.#at
  }

  /** Not within a word, a fraction, or an identifier like `ORD-4111…`. */
  #beginsNumber(): boolean {
    if (this.#at === this.#edge) return true
    const before = this.#text.charCodeAt(this.#at - 1)
    if (isWord(before)) return false
    const further = this.#text.charCodeAt(this.#at - 2)
    if (before === DOT) return !isDigit(further)
    return before !== DASH || !isWord(further)
  }

  #number(): void {
    const start = this.#at
    const match = numberAt(this.#text, start, this.#wanted)
    if (match !== null) return this.#found(start, match.end, this.#json && !this.#quoted)
    this.#track(this.#text.charCodeAt(start))
    this.#at = endOfDigits(this.#text, start)
  }

  #email(): void {
    const at = this.#at
    const end = this.#wanted.has('email') && this.#local !== -1 ? domainEnd(this.#text, at + 1) : -1
    // An escape of a plus sign takes six characters.
    if (end !== -1 && at - this.#local <= 6 * LOCAL_CHARS_MAX) return this.#found(this.#local, end, false)
    this.#track(AT)
    this.#at += 1
  }

  /** RFC 7519 §3.1: base64url parts between dots, the first of which is the JSON of a header. */
  #token(): boolean {
    const start = this.#at
    if (!this.#wanted.has('jwt') || !this.#text.startsWith('eyJ', start)) return false
    if (start !== this.#edge && isBase64Url(this.#text.charCodeAt(start - 1))) return false
    const headerEnd = endOfPart(this.#text, start)
    let end = headerEnd
    let parts = 1
    while (parts < TOKEN_PARTS_MAX && this.#text.charCodeAt(end) === DOT) {
      end = endOfPart(this.#text, end + 1)
      parts += 1
    }
    if (parts >= 3 && isTokenHeader(this.#text.slice(start, headerEnd))) {
      this.#found(start, end, false)
      return true
    }
    return false
  }
}

/** End of a domain with a name of letters last; -1 where there is none. */
function domainEnd(text: string, from: number): number {
  let end = from
  while (end - from <= DOMAIN_CHARS_MAX && isDomain(text.charCodeAt(end))) end += 1
  while (end > from && !isWord(text.charCodeAt(end - 1))) end -= 1
  const domain = text.slice(from, end)
  const labels = domain.split('.')
  const last = labels.at(-1) as string
  // `logo@2x.png` is a picture.
  if (labels.length < 2 || /^[1-9]x$/.test(labels[0] as string)) return -1
  return labels.every((label) => label !== '') && /^(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})$/i.test(last)
    ? end
    : -1
}

function isTokenHeader(part: string): boolean {
  if (part.length < TOKEN_HEADER_CHARS_MIN || part.length > TOKEN_HEADER_CHARS_MAX) return false
  try {
    const header: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    return typeof header === 'object' && header !== null && 'alg' in header
  } catch {
    return false
  }
}

function endOfPart(text: string, from: number): number {
  let at = from
  while (isBase64Url(text.charCodeAt(at))) at += 1
  return at
}

function isBase64Url(code: number): boolean {
  return isWord(code) || code === DASH
}

function isDomain(code: number): boolean {
  return (isWord(code) && code !== 0x5f) || code === DASH || code === DOT
}

/** RFC 5321 §4.1.2, `atext` and dots, but for what delimits values elsewhere. */
function isLocal(code: number): boolean {
  return isWord(code) || code === DASH || code === DOT || code === 0x2b || code === 0x25
}
