/**
 * Message templates: a JSON text with `{{{placeholders}}}`, read once and then filled in for each event. What
 * a placeholder gives fits its place: a JSON value where a value stands, escaped text within a string.
 */
import { limits } from '../contract/limits.ts'
import { nearest } from '../contract/nearest.ts'

/** A placeholder of a template. */
export interface Placeholder {
  readonly name: string
  /** For `event.…`: keys and indexes from the event down. */
  readonly path: readonly string[]
  /** Whether it stands within a JSON string. */
  readonly quoted: boolean
}
/** A template in order: JSON text as it is, and what is filled in. */
export type Pieces = readonly (string | Placeholder)[]

/** What is wrong with a template, and where in it (1-based). */
export interface TemplateProblem {
  readonly message: string
  readonly line: number
  readonly column: number
}

/** Every placeholder but `event.<path>`. */
export const placeholderNames = [
  'log_message',
  'log_message_str',
  'now',
  'now_utc',
  'now_utc_micro',
  'now_utc_nano',
  'environment',
  'workspace',
  'workspace_id',
  'name',
  'version',
  'hostname',
] as const

const literal = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const placeholder = /(\{{2,3})[ \t]*([^{}\s"]{1,512})[ \t]*(\}{2,3})/y
const space = /[ \t\r\n]*/y
/** A run of a JSON string without quotes, escapes and braces. */
const plain = /[^"\\{]+/y

class Misread extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/** Takes spaces between tokens away, so that a filled template is one line. */
class Reader {
  readonly #text: string
  #at = 0
  #literal = ''
  readonly pieces: (string | Placeholder)[] = []

  constructor(text: string) {
    this.#text = text
  }

  read(): void {
    if (this.#text.length > limits.template_chars_max)
      this.#fail(`must have at most ${limits.template_chars_max} characters, got ${this.#text.length}`)
    this.#space()
    this.#value(0)
    this.#space()
    if (this.#at < this.#text.length) this.#unexpected('the end')
    this.#flush()
    if (this.pieces.every((piece) => typeof piece === 'string'))
      throw new Misread('must hold a placeholder like {{{log_message}}}, got none', 0)
  }

  #value(depth: number): void {
    if (depth > limits.template_depth_max)
      this.#fail(`must nest at most ${limits.template_depth_max} levels deep, got more`)
    const first = this.#text[this.#at]
    if (first === '{' && this.#text[this.#at + 1] === '{') this.#placeholder(false)
    else if (first === '{') this.#list('}', () => this.#member(depth))
    else if (first === '[') this.#list(']', () => this.#value(depth + 1))
    else if (first === '"') this.#string()
    else {
      literal.lastIndex = this.#at
      const found = literal.exec(this.#text)
      if (found === null) this.#unexpected('a value')
      else this.#take(found[0].length)
    }
  }

  #list(close: string, element: () => void): void {
    this.#take(1)
    this.#space()
    while (this.#text[this.#at] !== close) {
      element()
      this.#space()
      if (this.#text[this.#at] === close) break
      this.#expect(',', `a comma or ${close}`)
      this.#space()
      if (this.#text[this.#at] === close) this.#unexpected('another element')
    }
    this.#take(1)
  }

  #member(depth: number): void {
    if (this.#text[this.#at] !== '"') this.#unexpected('a key in quotes')
    this.#string()
    this.#space()
    this.#expect(':', 'a colon')
    this.#space()
    this.#value(depth + 1)
  }

  #string(): void {
    this.#take(1)
    for (;;) {
      const character = this.#text[this.#at]
      if (character === undefined) this.#unexpected('the end of the string')
      if (character === '"') return this.#take(1)
      if (character === '{' && this.#text[this.#at + 1] === '{') this.#placeholder(true)
      else if (character === '\\') this.#checked(this.#text[this.#at + 1] === 'u' ? 6 : 2)
      else if (character === '{') this.#take(1)
      else {
        plain.lastIndex = this.#at
        this.#checked(plain.exec(this.#text)?.[0].length ?? 1)
      }
    }
  }

  /** Takes a part of a string that holds no placeholder. */
  #checked(chars: number): void {
    const part = this.#text.slice(this.#at, this.#at + chars)
    try {
      JSON.parse(`"${part}"`)
    } catch {
      const control = Array.from(part).findIndex((character) => character < ' ')
      if (control !== -1) this.#at += Array.from(part).slice(0, control).join('').length
      this.#unexpected('text that JSON allows in a string')
    }
    this.#take(chars)
  }

  #placeholder(quoted: boolean): void {
    placeholder.lastIndex = this.#at
    const found = placeholder.exec(this.#text)
    const [whole = '', open = '', name = '', close = ''] = found ?? []
    if (found === null) this.#unexpected('a placeholder like {{{log_message}}}')
    if (close.length < open.length)
      this.#fail(`must close ${open} with as many braces, got ${JSON.stringify(whole)}`)
    const path = name.startsWith('event.') ? name.slice('event.'.length).split('.') : []
    const known = (placeholderNames as readonly string[]).includes(name)
    if (!known && (path.length === 0 || path.includes(''))) this.#unknown(name)
    this.#flush()
    this.pieces.push({ name: known ? name : 'event', path, quoted })
    // What closes an object may stand right behind it.
    this.#at += whole.length - (close.length - open.length)
  }

  #unknown(name: string): never {
    const guess = nearest(name, placeholderNames)
    const hint = guess === undefined ? '' : `, did you mean ${guess}?`
    const known = `${placeholderNames.join(', ')} or event.<path>`
    return this.#fail(`must use placeholders ${known}, got ${JSON.stringify(name)}${hint}`)
  }

  #space(): void {
    space.lastIndex = this.#at
    this.#at += space.exec(this.#text)?.[0].length ?? 0
  }

  #expect(character: string, what: string): void {
    if (this.#text[this.#at] === character) this.#take(1)
    else this.#unexpected(what)
  }

  #take(chars: number): void {
    this.#literal += this.#text.slice(this.#at, this.#at + chars)
    this.#at += chars
  }

  #flush(): void {
    if (this.#literal !== '') this.pieces.push(this.#literal)
    this.#literal = ''
  }

  #unexpected(what: string): never {
    const got = this.#at < this.#text.length ? JSON.stringify(this.#text[this.#at]) : 'the end'
    return this.#fail(`must be valid JSON with ${what} here, got ${got}`)
  }

  #fail(message: string): never {
    throw new Misread(message, this.#at)
  }
}

export function readTemplate(text: string): { readonly pieces: Pieces } | TemplateProblem {
  const reader = new Reader(text)
  try {
    reader.read()
    return { pieces: reader.pieces }
  } catch (error) {
    if (!(error instanceof Misread)) throw error
    const before = text.slice(0, error.at).split('\n')
    return {
      message: error.message,
      line: before.length,
      column: (before.at(-1) as string).length + 1,
    }
  }
}
