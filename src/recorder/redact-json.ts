/** Redaction of JSON fields by name, in text that may be cut anywhere or hold many documents. */
import type { Edit } from '../render/json-text.ts'
import { skipValue } from '../render/json-text.ts'
import { FieldWatch } from './field-watch.ts'
import { PointerWalk } from './redact-pointer.ts'
import type { RedactMode, Substitute } from './substitute.ts'

/**
 * In JSON a quote, a name and a quote, followed by a colon, are a key wherever they stand: inside a string
 * the quotes would be escaped. So keys are looked for in the text itself and no state is carried along
 * that a cut, a broken document, an `data:` prefix (SSE) or a byte order mark could put out of step.
 */
export class JsonRedactor {
  readonly #keys: RegExp | null
  readonly #pointers: PointerWalk | null
  readonly #mode: RedactMode
  readonly #substitute: Substitute
  /** What most bodies are asked first, which then go on unparsed. */
  readonly watch: FieldWatch

  /** `fields`: names, or JSON pointers (RFC 6901) that begin with a slash. */
  constructor(fields: readonly string[], mode: RedactMode, substitute: Substitute) {
    const names = fields.filter((field) => !field.startsWith('/'))
    const pointers = fields.filter((field) => field.startsWith('/'))
    this.#keys = names.length === 0 ? null : keyPattern(names)
    this.#pointers = pointers.length === 0 ? null : new PointerWalk(pointers)
    this.#mode = mode
    this.#substitute = substitute
    this.watch = new FieldWatch([...names, ...(this.#pointers?.watched ?? [])])
  }

  /** Whether a field is there by its name, in bytes that are no text. */
  holdsName(latin1: string): boolean {
    if (this.#keys === null) return false
    this.#keys.lastIndex = 0
    return this.#keys.test(latin1)
  }

  /**
   * The text with its values replaced, the very same string when there are none, null when it cannot be
   * followed. `declared`: its sender calls it JSON; pointers have no meaning in prose.
   */
  redact(text: string, declared: boolean): string | null {
    const edits = this.#keys === null ? [] : keyEdits(this.#keys, text)
    const follow = this.#pointers !== null && (declared || /^(?:\s|data:)*[[{]/.test(text))
    const pointed = follow ? (this.#pointers as PointerWalk).edits(text) : []
    if (pointed === null) return null
    if (pointed.length > 0) {
      edits.push(...pointed)
      edits.sort((a, b) => a.start - b.start)
    }
    if (edits.length === 0) return text
    return this.#mode === 'remove' ? remove(text, edits) : replace(text, edits, this.#substitute)
  }
}

function keyEdits(keys: RegExp, text: string): Edit[] {
  const edits: Edit[] = []
  keys.lastIndex = 0
  for (let found = keys.exec(text); found !== null; found = keys.exec(text)) {
    const value = keys.lastIndex
    if (value === text.length) break
    const end = skipValue(text, value)
    edits.push({ start: found.index, value, end })
    keys.lastIndex = end
  }
  return edits
}

function replace(text: string, edits: readonly Edit[], substitute: Substitute): string {
  let out = ''
  let from = 0
  for (const { value, end } of edits) {
    // Inside a value that is gone already.
    if (value < from) continue
    out += `${text.slice(from, value)}"${substitute(plainValue(text.slice(value, end)))}"`
    from = end
  }
  return out + text.slice(from)
}

/** A string without quotes and escapes, so that it has the same substitute wherever it stands. */
function plainValue(json: string): string {
  if (json.startsWith('"')) {
    try {
      return JSON.parse(json) as string
    } catch {
      // Cut, or broken.
    }
  }
  return json.trim()
}

/** Takes members away with one of the commas beside them. */
function remove(text: string, edits: readonly Edit[]): string {
  let out = ''
  let from = 0
  for (const { start, end } of edits) {
    if (start < from) continue
    let before = start
    while (before > from && isSpace(text.charCodeAt(before - 1))) before--
    if (before > from && text[before - 1] === ',') {
      out += text.slice(from, before - 1)
      from = end
      continue
    }
    out += text.slice(from, start)
    let after = end
    while (after < text.length && isSpace(text.charCodeAt(after))) after++
    from = text[after] === ',' ? after + 1 : end
  }
  return out + text.slice(from)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

/** A linear pattern of our own making: no part of a name is ever read as a pattern. */
function keyPattern(names: readonly string[]): RegExp {
  const alternatives = names.map((name) => Array.from(name, characterPattern).join(''))
  return new RegExp(`"(?:${alternatives.join('|')})"\\s*:\\s*`, 'giu')
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  '\b': 'b',
  '\f': 'f',
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
}

/** One character of a name in every way in which JSON may write it (RFC 8259 §7). */
function characterPattern(character: string): string {
  const forms = new Set<string>()
  for (const variant of new Set([character, character.toLowerCase(), character.toUpperCase()])) {
    if (variant !== '"' && variant !== '\\') forms.add(literal(variant))
    const short = shortEscapes[variant]
    if (short !== undefined) forms.add(literal('\\') + literal(short))
    forms.add(
      Array.from({ length: variant.length }, (_, index) => unitEscape(variant.charCodeAt(index))).join(''),
    )
  }
  return `(?:${[...forms].join('|')})`
}

function literal(text: string): string {
  return Array.from(text, (character) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`).join('')
}

function unitEscape(unit: number): string {
  return literal(unitOf(unit))
}

function unitOf(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}
