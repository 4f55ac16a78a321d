/** Reads events of any kind: the audit log's, the capture path's, and those from elsewhere. */
import { nestsDeeper } from '../contract/json-depth.ts'
import { limits } from '../contract/limits.ts'

export type Fields = Readonly<Record<string, unknown>>

/** What is no JSON object is a message, and what nests too deep. */
export function fieldsOf(event: string): Fields {
  if (nestsDeeper(event, limits.event_depth_max)) return { message: event }
  try {
    const value: unknown = JSON.parse(event)
    if (isFields(value)) return value
  } catch {
    // Text of whoever posted it.
  }
  return { message: event }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What stands at a path like `details.request.ip_address`. */
export function fieldAt(fields: Fields, path: string): unknown {
  let value: unknown = fields
  for (const key of path.split('.')) {
    if (!isFields(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}

/** The first of several paths with something other than a section, as text. */
export function textOf(fields: Fields, ...paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const value = fieldAt(fields, path)
    if (typeof value === 'string') return value
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  }
  return undefined
}

export function typeOf(fields: Fields): string {
  return textOf(fields, 'event_type', 'type') ?? 'event'
}

/** When it happened, Unix milliseconds; now where it does not say. */
export function timeOf(fields: Fields): number {
  for (const path of ['timestamp', 'ts', 'date', 'completed_at', 'started_at', 'time']) {
    const value = fieldAt(fields, path)
    const at = typeof value === 'number' ? value : typeof value === 'string' ? Date.parse(value) : Number.NaN
    if (Number.isFinite(at) && Math.abs(at) < 8.64e15) return Math.floor(at)
  }
  return Date.now()
}

/** Status of an HTTP answer that the event is about. */
export function httpStatusOf(fields: Fields): number | undefined {
  for (const path of ['response.status', 'status', 'code', 'status_code']) {
    const status = Number(textOf(fields, path))
    if (Number.isInteger(status) && status >= 100 && status <= 599) return status
  }
  return undefined
}

/** RFC 3339 to the second. */
export function secondsText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`
}
