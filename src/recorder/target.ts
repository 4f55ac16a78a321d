/** The target of a request as the path and the query of an item, redacted. */
import { stringAt } from '../queue/slab-format.ts'
import type { SlabReader } from '../queue/slab-reader.ts'
import type { ItemBuffer } from './item-buffer.ts'
import type { Redactor } from './redact.ts'

const QUERY_MARK = 0x3f

function pathEnd(record: SlabReader): number {
  const { bytes } = record
  const to = record.to(stringAt.target)
  let at = record.from(stringAt.target)
  while (at < to && bytes[at] !== QUERY_MARK) at++
  return at
}

/** Appends it as the inside of a JSON string; returns whether something of it was redacted. */
export function writePath(record: SlabReader, redactor: Redactor, out: ItemBuffer): boolean {
  const from = record.from(stringAt.target)
  const to = pathEnd(record)
  if (!redactor.detects) {
    out.latin1(record.bytes, from, to)
    return false
  }
  const sent = record.bytes.toString('latin1', from, to)
  const shown = redactor.path(sent)
  out.inside(shown)
  return shown !== sent
}

/** The same of what follows the question mark, if there is one. */
export function writeQuery(record: SlabReader, redactor: Redactor, out: ItemBuffer): boolean {
  const { bytes } = record
  const to = record.to(stringAt.target)
  const from = Math.min(pathEnd(record) + 1, to)
  if (!redactor.suspectsQuery(bytes, from, to)) {
    out.latin1(bytes, from, to)
    return false
  }
  const sent = bytes.toString('latin1', from, to)
  const shown = redactor.query(sent)
  out.inside(shown)
  return shown !== sent
}
