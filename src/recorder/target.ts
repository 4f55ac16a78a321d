/** The request line of an item: method, scheme and host, and the target as path and query, redacted. */
import { stringAt } from '../queue/slab-format.ts'
import type { SlabReader } from '../queue/slab-reader.ts'
import { literal, type ItemBuffer } from './item-buffer.ts'
import type { Redactor } from './redact.ts'

const QUERY_MARK = 0x3f
const SCHEME = literal('","scheme":"')
const HOST = literal('","host":"')
const PATH = literal('","path":"')
const QUERY = literal('","query":"')

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
function writeQuery(record: SlabReader, redactor: Redactor, out: ItemBuffer): boolean {
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

/** Appends method to query, inside a string that is open before and after; returns the same. */
export function writeRequestLine(record: SlabReader, redactor: Redactor, out: ItemBuffer): boolean {
  out.string(record, stringAt.method)
  out.literal(SCHEME)
  out.string(record, stringAt.scheme)
  out.literal(HOST)
  out.string(record, stringAt.host)
  out.literal(PATH)
  const path = writePath(record, redactor, out)
  out.literal(QUERY)
  return writeQuery(record, redactor, out) || path
}
