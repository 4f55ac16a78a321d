/** Times in items. */
import type { SlabReader } from '../queue/slab-reader.ts'
import { literal, type ItemBuffer } from './item-buffer.ts'

const SECOND_CHARS = 20
const Z = literal('Z')

let second = -1
let prefix = literal('')

/** When the head of the answer was seen, or the exchange ended without one; Unix milliseconds. */
export function answeredAt(record: SlabReader): number {
  const { answeredAt: seen } = record
  return seen > 0 ? seen : record.startedAt + Math.round(record.durationMs)
}

/** ISO 8601 with milliseconds; exchanges of one second share the text before them. */
export function writeTime(unixMs: number, out: ItemBuffer): void {
  const whole = Math.floor(unixMs)
  const at = Math.floor(whole / 1000)
  if (at !== second) {
    prefix = literal(new Date(at * 1000).toISOString().slice(0, SECOND_CHARS))
    second = at
  }
  out.literal(prefix)
  out.thousandths(whole - at * 1000)
  out.literal(Z)
}
