/**
 * Finds and replaces parts of a JSON text without parsing it: an event of many megabytes is walked over, and
 * numbers that no double can hold stay what they are.
 */
import { skipString, skipValue } from './json-text.ts'

/** Places in the text: `value` to `end` is the value. */
export interface Place {
  readonly value: number
  readonly end: number
}

export interface Member extends Place {
  readonly key: string
}

/** What stands at `start` to `end` in place of what was there. */
export interface Replacement {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** Members of the object whose brace stands at `from`, in order; empty when there is no object. */
export function membersOf(text: string, from: number): Member[] {
  return [...eachMember(text, from)]
}

/** The same one by one: millions of them need no memory of their own. */
export function* eachMember(text: string, from: number): Generator<Member, void, void> {
  if (text[from] !== '{') return
  let at = skipSpace(text, from + 1)
  while (text[at] === '"') {
    const keyEnd = skipString(text, at)
    const key = keyOf(text.slice(at, keyEnd))
    const colon = skipSpace(text, keyEnd)
    if (text[colon] !== ':') return
    const place = placeAt(text, skipSpace(text, colon + 1))
    yield { key, ...place }
    at = behind(text, place.end)
  }
}

/** Elements of the array whose bracket stands at `from`, in order; empty when there is no array. */
export function elementsOf(text: string, from: number): Place[] {
  if (text[from] !== '[') return []
  const elements: Place[] = []
  let at = skipSpace(text, from + 1)
  while (at < text.length && text[at] !== ']') {
    const place = placeAt(text, at)
    if (place.end === at) return elements
    elements.push(place)
    at = behind(text, place.end)
  }
  return elements
}

/** The JSON text of what stands at a path of keys and indexes; null when nothing does. */
export function textAt(text: string, path: readonly string[]): string | null {
  let place: Place = placeAt(text, skipSpace(text, 0))
  for (const key of path) {
    const next = step(text, place.value, key)
    if (next === undefined) return null
    place = next
  }
  return text.slice(place.value, place.end)
}

/** `replacements` do not overlap. */
export function replaced(text: string, replacements: readonly Replacement[]): string {
  if (replacements.length === 0) return text
  let out = ''
  let from = 0
  for (const { start, end, text: instead } of [...replacements].sort((a, b) => a.start - b.start)) {
    out += text.slice(from, start) + instead
    from = end
  }
  return out + text.slice(from)
}

function step(text: string, from: number, key: string): Place | undefined {
  if (text[from] === '[') return /^\d{1,9}$/.test(key) ? elementsOf(text, from)[Number(key)] : undefined
  return membersOf(text, from).find((member) => member.key === key)
}

function placeAt(text: string, value: number): Place {
  let end = skipValue(text, value)
  while (end > value && isSpace(text.charCodeAt(end - 1))) end--
  return { value, end }
}

/** Where the next member or element begins, or the closing bracket stands. */
function behind(text: string, end: number): number {
  const at = skipSpace(text, end)
  return text[at] === ',' ? skipSpace(text, at + 1) : at
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d
}

function keyOf(quoted: string): string {
  if (!quoted.includes('\\')) return quoted.slice(1, -1)
  try {
    return JSON.parse(quoted) as string
  } catch {
    return quoted
  }
}
