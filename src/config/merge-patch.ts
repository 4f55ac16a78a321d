/** JSON Merge Patch (RFC 7396), and what differs between two definitions. */
import type { Json } from '../contract/activity.ts'
import { pointerTo } from './places.ts'

type JsonObject = { readonly [key: string]: Json }

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** RFC 7396 §2: null removes a key, sections are merged, anything else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const merged = new Map<string, Json>(isObject(target) ? Object.entries(target) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, mergePatch(merged.get(key), value))
  }
  return Object.fromEntries(merged)
}

/** Pointers of what differs: of the outermost values that only one side has, of lists as a whole. */
export function changedPointers(before: Json | undefined, after: Json | undefined, pointer = ''): string[] {
  if (isObject(before) && isObject(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...keys].flatMap((key) =>
      changedPointers(own(before, key), own(after, key), pointerTo(pointer, key)),
    )
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [pointer]
}

function own(value: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined
}
