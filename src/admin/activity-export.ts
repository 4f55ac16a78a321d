/** Exports of the activity log: a stream that reads on only when its client has taken what came before. */
import { Readable } from 'node:stream'
import type { ActivityFilter, ActivityLog, ChainedActivity, Json } from '../contract/activity.ts'

export type ExportFormat = 'ndjson' | 'csv'

export const contentTypes: Readonly<Record<ExportFormat, string>> = {
  ndjson: 'application/x-ndjson; charset=utf-8',
  // RFC 4180 §3: whether the first line is a header.
  csv: 'text/csv; charset=utf-8; header=present',
}

/** Characters of one piece: small enough to be forgotten soon, large enough for few writes. */
const PIECE_CHARS = 65_536

/** Joins texts into pieces, none of them larger than needed. */
async function* pieces(texts: AsyncIterable<string>): AsyncGenerator<string> {
  let waiting = ''
  for await (const text of texts) {
    waiting += text
    if (waiting.length < PIECE_CHARS) continue
    yield waiting
    waiting = ''
  }
  if (waiting !== '') yield waiting
}

const columns = [
  'id',
  'timestamp',
  'event_type',
  'workspace_id',
  'workspace_name',
  'workspace_email',
  'workspace_environment',
  'user_id',
  'user_name',
  'user_email',
  'ip_address',
  'user_agent',
  'activity',
  'details',
  'resource_id',
  'resource_name',
  'resource_type',
  'resource',
  'prev_hash',
  'hash',
] as const

/** What no column holds, as JSON; empty where nothing is left. */
const rest = (fields: Readonly<Record<string, Json | undefined>>): string =>
  Object.keys(fields).length === 0 ? '' : JSON.stringify(fields)

function row({ timestamp, workspace, user, details, resource, ...entry }: ChainedActivity) {
  const { request, activity = '', ...otherDetails } = details
  const { id, name, type, ...otherFields } = resource
  return [
    entry.id,
    new Date(timestamp).toISOString(),
    entry.event_type,
    workspace.id,
    workspace.name,
    workspace.email,
    workspace.environment,
    user.id,
    user.name,
    user.email,
    request?.ip_address ?? '',
    request?.user_agent ?? '',
    activity,
    rest(otherDetails),
    id ?? '',
    name,
    type,
    rest(otherFields),
    entry.prev_hash,
    entry.hash,
  ]
}

/** Rows that are written at once: setting the writer up costs more than a row. */
const ROWS_AT_ONCE = 100

type Csv = (rows: readonly (readonly (string | number)[])[]) => string

/** A text that a spreadsheet would run as a formula gets an apostrophe (OWASP, CSV injection). */
async function csvWriter(): Promise<Csv> {
  const { stringify } = await import('csv-stringify/sync')
  return (rows) =>
    stringify([...rows], {
      escape_formulas: true,
      record_delimiter: '\r\n',
      // Some readers take either character alone for the end of a row, what follows for a cell.
      quoted_match: /[\r\n]/,
    })
}

export class ActivityExport {
  readonly stream: Readable
  /** Entries that were given out so far. */
  entries = 0

  /** A stream that is destroyed waits for the entry that was asked for: `gone` ends the search for it. */
  constructor(activity: ActivityLog, format: ExportFormat, filter: ActivityFilter, gone: AbortSignal) {
    const texts =
      format === 'csv'
        ? this.#csv(activity.entries(filter, gone))
        : this.#ndjson(activity.lines(filter, gone))
    // One piece ahead of what the socket takes.
    this.stream = Readable.from(pieces(texts), { highWaterMark: 1 })
  }

  /** Lines of the log as they are: entries, and checkpoints that cover them. */
  async *#ndjson(lines: AsyncIterable<string>): AsyncGenerator<string> {
    for await (const line of lines) {
      if (line.startsWith('{"id":')) this.entries += 1
      yield `${line}\n`
    }
  }

  /** RFC 4180, with a header line. */
  async *#csv(entries: AsyncIterable<ChainedActivity>): AsyncGenerator<string> {
    const csv = await csvWriter()
    yield csv([columns])
    let rows: (string | number)[][] = []
    for await (const entry of entries) {
      this.entries += 1
      rows.push(row(entry))
      if (rows.length < ROWS_AT_ONCE) continue
      yield csv(rows)
      rows = []
    }
    if (rows.length > 0) yield csv(rows)
  }
}
