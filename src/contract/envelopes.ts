/**
 * What makes one JSON document of a batch: its items are put between two texts, nothing is parsed. All of it
 * is lent as long as the batch is.
 */
import { batchBuffers } from './buffers.ts'
import { version } from './version.ts'

const NEWLINE = 0x0a
const COMMA = 0x2c

const harHead = `{"log":{"version":"1.2","creator":{"name":"mirrorgate","version":"${version}"},"entries":[`
const harTail = ']}}'

/** A JSON array of a batch's items: its newlines become commas between brackets. */
export function jsonArray(ndjson: Buffer): Buffer {
  return between(ndjson, '[', ']')
}

/** The same in the batch's own memory, where that may be: what was given is no NDJSON then any more. */
export function intoJsonArray(ndjson: Buffer): Buffer {
  const body = batchBuffers.spend(ndjson, 1, 0)
  return body === null ? jsonArray(ndjson) : joined(body, '[', ']')
}

/** A HAR 1.2 log with the items of a batch of format `har` as its entries. */
export function harLog(ndjson: Buffer): Buffer {
  return between(ndjson, harHead, harTail)
}

/** The same as a log on a line of its own for each item. */
export function harLines(ndjson: Buffer): Buffer {
  const lines = ndjson.toString().trimEnd().split('\n')
  return Buffer.from(lines.map((line) => `${harHead}${line}${harTail}\n`).join(''))
}

/** What Akto's data ingestion takes, of a batch of format `akto`. */
export function aktoBatch(ndjson: Buffer): Buffer {
  return between(ndjson, '{"batchData":[', ']}')
}

/** `head` and `tail` are ASCII. */
function between(ndjson: Buffer, head: string, tail: string): Buffer {
  // The last newline gives way to the tail.
  const body = batchBuffers.derive(ndjson, head.length + ndjson.length - 1 + tail.length)
  ndjson.copy(body, head.length)
  return joined(body, head, tail)
}

/** `body` has the items where they belong; what else it has is written over. */
function joined(body: Buffer, head: string, tail: string): Buffer {
  body.write(head, 0, 'latin1')
  body.write(tail, body.length - tail.length, 'latin1')
  for (let at = body.indexOf(NEWLINE, head.length); at !== -1; at = body.indexOf(NEWLINE, at + 1))
    body[at] = COMMA
  return body
}
