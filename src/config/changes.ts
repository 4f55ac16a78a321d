/**
 * What differs between two configurations, for people: by name instead of by place in a list, and without a
 * value wherever one may be a secret. Values are compared as they are; what is shown is chosen by a list of
 * keys, so that a new key shows nothing until someone says that it may.
 */
import type { Json } from '../contract/activity.ts'
import { keysOf } from './places.ts'

export interface Change {
  /** Like `mirrors[salt].batch.max_items`. */
  readonly path: string
  /** Left out where there was, or is, nothing. */
  readonly from?: Json
  readonly to?: Json
}

type Tree = Readonly<Record<string, unknown>>

const ofSink = 'legs item_format item_bytes_max secret_options secret_fields'
/** What the gateway works out itself from the rest, by its place: a stream's `message` is the user's. */
const derived: Readonly<Record<string, ReadonlySet<string>>> = Object.freeze({
  '': new Set(['generation', 'hash', 'api']),
  connections: new Set(['secret_fields']),
  mirrors: new Set([...ofSink.split(' '), 'message']),
  streams: new Set(ofSink.split(' ')),
  notifications: new Set(['secret_fields']),
})

/** Keys whose texts are shown. Numbers and switches are, everywhere but in sections of secrets. */
const shownKeys = new Set(
  `name sink connection environment host hosts prefix mirrors tags balance hash_key host_header level
  format mode when_full compression websocket methods paths exclude_paths statuses content_types role
  events start event_types exclude_event_types resource_types exclude_resource_types collections
  time_zone email trusted_proxies key client_auth data_dir provider`.split(/\s+/),
)
/** Sections of which only the names of what changed are shown: any key in them may hold a credential. */
const secretKeys = new Set(['headers', 'token', 'secrets', 'tls', 'template'])
const TEXT_CHARS_MAX = 120
const ITEMS_MAX = 20
/** A shorter text is found in others by chance. */
const REFERENCED_CHARS_MIN = 4

const MASK = '***'

const isMap = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Of two configurations, or of the same thing of a `section` in both. `referenced`: texts that stand for
 * references, before and after; they are never shown.
 */
export function changesBetween(
  before: object,
  after: object,
  referenced: ReadonlySet<string> = new Set(),
  section?: string,
): Change[] {
  const changes: Change[] = []
  const walk = (from: unknown, to: unknown, at: readonly string[], path: string): void => {
    if (JSON.stringify(from) === JSON.stringify(to)) return
    const [left, right] = [byName(from), byName(to)]
    if (left === null || right === null) {
      changes.push(changeOf(path, from, to, (value) => shown(value, at, referenced)))
      return
    }
    const isList = Array.isArray(from)
    const hidden = isList ? undefined : derived[at.join('.')]
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      if (hidden?.has(key) === true) continue
      // The sink's own keys stand beside the common ones in the file.
      const step = isList ? `[${key}]` : key === 'options' ? '' : `.${key}`
      walk(left[key], right[key], isList ? at : [...at, key], path + step)
    }
  }
  walk(before, after, section === undefined ? [] : [section], '')
  return changes.map((change) => ({ ...change, path: change.path.replace(/^\./, '') }))
}

function changeOf(path: string, from: unknown, to: unknown, show: (value: unknown) => Json): Change {
  return {
    path,
    ...(from === undefined ? {} : { from: isNamed(from) ? true : show(from) }),
    ...(to === undefined ? {} : { to: isNamed(to) ? true : show(to) }),
  }
}

/** A whole thing that came or went: its path says which. */
function isNamed(value: unknown): boolean {
  return isMap(value) && typeof value['name'] === 'string'
}

/** What can be looked into: a section, or a list of things with names. */
function byName(value: unknown): Tree | null {
  if (isMap(value)) return value
  if (!Array.isArray(value) || !value.every(isNamed)) return null
  return Object.fromEntries(value.map((one: Tree) => [one['name'], one]))
}

function shown(value: unknown, at: readonly string[], referenced: ReadonlySet<string>): Json {
  if (at.some((key) => secretKeys.has(key))) return MASK
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((one) => shown(one, at, referenced))
  if (isMap(value)) {
    const entries = Object.entries(value).slice(0, ITEMS_MAX)
    return Object.fromEntries(entries.map(([name, one]) => [name, shown(one, [...at, name], referenced)]))
  }
  if (typeof value !== 'string') return value === undefined ? null : (value as Json)
  const text = shownText(value, at)
  return isReferenced(text, referenced) ? MASK : text
}

/** Of a URL, where it leads: its path and query may be what lets people in. */
function shownText(text: string, at: readonly string[]): string {
  const key = at.at(-1) ?? ''
  if (/(^|_)url$/.test(key) && URL.canParse(text)) {
    const { origin, protocol } = new URL(text)
    return protocol === 'unix:' ? text.slice(0, TEXT_CHARS_MAX) : origin
  }
  // What a plugin calls its own keys is its own affair.
  const isKnown = shownKeys.has(key) && (key === 'format' || !at.includes('options'))
  return isKnown ? text.slice(0, TEXT_CHARS_MAX) : MASK
}

function isReferenced(text: string, referenced: ReadonlySet<string>): boolean {
  if (referenced.has(text)) return true
  return [...referenced].some((secret) => secret.length >= REFERENCED_CHARS_MIN && text.includes(secret))
}

/** Texts of a configuration that stand for references: what they hold may be a secret. */
export function referencedTexts(source: {
  readonly effective: unknown
  readonly raw: ReadonlyMap<string, string>
}): Set<string> {
  const texts = new Set<string>()
  for (const pointer of source.raw.keys()) {
    let value = source.effective
    for (const key of keysOf(pointer)) value = (value as Tree | undefined)?.[key]
    if (typeof value === 'string' && value !== '') texts.add(value)
  }
  return texts
}
