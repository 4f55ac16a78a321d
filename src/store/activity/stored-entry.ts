/** One stored entry as a filter looks at it: its head is found in the bytes, the rest parsed when asked. */
import type { EntryFilter } from '../../contract/activity.ts'
import { folded, HEAD_BYTES, parseEntry } from './format.ts'

const timestampKey = Buffer.from('"timestamp":"')
const typeKey = Buffer.from(',"event_type":"')
const environmentKey = Buffer.from('"environment":"')
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Bytes of a stored entry, valid as long as who gave them says. */
export class StoredEntry {
  readonly id: number
  readonly value: Buffer
  /** Unix milliseconds. */
  readonly timestamp: number
  /** Folded, as filters are. */
  readonly eventType: string
  readonly environment: string
  #resourceType: string | null = null

  constructor(id: number, value: Buffer) {
    this.id = id
    this.value = value
    // A quote within a text is escaped, so these keys with their quotes stand nowhere but at their place.
    const time = after(value, timestampKey, HEAD_BYTES)
    this.timestamp = Date.parse(value.toString('latin1', time, time + 24))
    const type = after(value, typeKey, time)
    this.eventType = folded(textAt(value, type) ?? parseEntry(value).event_type)
    const environment = after(value, environmentKey, type)
    this.environment = textAt(value, environment) ?? ''
  }

  /** The portal that it was told by; null for all else. */
  get portal(): string | null {
    const { portal_id: portal } = parseEntry(this.value).details
    return typeof portal === 'string' ? portal.toLowerCase() : null
  }

  get resourceType(): string {
    this.#resourceType ??= folded(parseEntry(this.value).resource.type)
    return this.#resourceType
  }
}

function after(value: Buffer, key: Buffer, from: number): number {
  return value.indexOf(key, from) + key.length
}

/** A JSON text without escapes, from behind its first quote on; null when it has any. */
function textAt(value: Buffer, from: number): string | null {
  for (let at = from; at < value.length; at += 1) {
    if (value[at] === QUOTE) return value.toString('utf8', from, at)
    if (value[at] === BACKSLASH) return null
  }
  return null
}

/** Tells whether an entry passes a filter; the same answer for the same entry, whenever it is asked. */
export function entryTest(filter: EntryFilter): (entry: StoredEntry) => boolean {
  const { environment, from = -Infinity, to = Infinity } = filter
  const inTypes = foldedSet(filter.includeEventTypes)
  const outTypes = foldedSet(filter.excludeEventTypes)
  const inResources = foldedSet(filter.includeResourceTypes)
  const outResources = foldedSet(filter.excludeResourceTypes)
  const portals = foldedSet(filter.portals)
  return (entry) =>
    entry.environment === environment &&
    entry.timestamp >= from &&
    entry.timestamp <= to &&
    inTypes?.has(entry.eventType) !== false &&
    outTypes?.has(entry.eventType) !== true &&
    (inResources === null || inResources.has(entry.resourceType)) &&
    (outResources === null || !outResources.has(entry.resourceType)) &&
    (portals === null || portals.has(entry.portal ?? ''))
}

function foldedSet(types: readonly string[] | undefined): ReadonlySet<string> | null {
  return types === undefined ? null : new Set(types.map(folded))
}
