/** Events as sinks read them from the lines of a batch: their fields, their time, a stable name of each. */
import { nestsDeeper } from './json-depth.ts'
import { limits } from './limits.ts'
import type { Batch } from './plugin.ts'

export type Fields = Readonly<Record<string, unknown>>

/** One line of a batch. */
export interface EventLine {
  readonly line: Buffer
  /** Null for what is no JSON object, such as CEF, or nests so deep that it is better sent as text. */
  readonly event: Fields | null
  /** The same on every try of this event, also after its batch was split: its batch and its place in it. */
  readonly id: string
}

/** The lines of a batch, in order. */
export function* eventLines(batch: Pick<Batch, 'id' | 'ndjson'>): Generator<EventLine> {
  const { name, first } = batchPlace(batch.id)
  let index = first
  for (const line of lines(batch.ndjson)) {
    yield { line, event: parsed(line), id: `${name}-${index}` }
    index += 1
  }
}

/** The host names what is left of a split batch `ID.FROM-TO`: its events keep their places in the whole. */
export function batchPlace(id: string): { readonly name: string; readonly first: number } {
  const [, name = id, from = '0'] = /^(.+)\.(\d+)-\d+$/.exec(id) ?? []
  return { name, first: Number(from) }
}

function* lines(ndjson: Buffer): Generator<Buffer> {
  for (let at = 0; at < ndjson.length; ) {
    const newline = ndjson.indexOf(0x0a, at)
    const end = newline === -1 ? ndjson.length : newline
    if (end > at) yield ndjson.subarray(at, end)
    at = end + 1
  }
}

function parsed(line: Buffer): Fields | null {
  const text = line.toString()
  if (nestsDeeper(text, limits.event_depth_max)) return null
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return null
  }
}

function objectOf(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null
}

/** Where the time of an event may stand: when it ended before when it began. */
const timeFields = ['completed_at', 'timestamp', 'ts', 'created_at', 'event_ts', 'started_at', 'date', 'time']

/**
 * When an event happened, Unix milliseconds: by its own fields, or by those of the object inside a custom
 * message; null where it does not say.
 */
export function eventTime(event: Fields | null): number | null {
  if (event === null) return null
  const own = ownTime(event)
  if (own !== null) return own
  for (const inner of Object.values(event)) {
    const fields = objectOf(inner)
    const time = fields === null ? null : ownTime(fields)
    if (time !== null) return time
  }
  return null
}

/** The same by its own fields alone. */
export function ownTime(event: Fields): number | null {
  for (const field of timeFields) {
    const value = event[field]
    if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d/.test(value)) continue
    // As the activity log prints its times: `2024-06-18 19:17:31 UTC`.
    const time = Date.parse(value.replace(/ UTC$/, 'Z'))
    if (!Number.isNaN(time)) return time
  }
  return null
}

/** The HTTP status that an event tells of; null where it tells of none. */
export function eventStatus(event: Fields | null): number | null {
  const status = event?.['status'] ?? event?.['code'] ?? objectOf(event?.['response'])?.['status']
  return typeof status === 'number' ? status : null
}
