/** Events as rows of a table of Azure Monitor, within what Azure takes without cutting or refusing it. */
import { type Batch, type EventLine, eventLines, eventTime, OutcomeError } from 'mirrorgate/plugin'

/** What one of the two APIs wants of rows. */
export interface Shape {
  /** `raw`: an event is text in one column; `event`: its fields are columns. */
  readonly columns: 'raw' | 'event'
  readonly timeColumn: string
  readonly textColumn: string
  /** A longer value would be cut, and acknowledged all the same. */
  readonly valueBytesMax: number
  /** Names that Azure keeps for itself, in lower case. */
  readonly reserved: readonly string[]
}

type Row = Record<string, unknown>

/** Of one call, before and after compression (Azure Monitor, limits of the Logs Ingestion API). */
const CALL_BYTES_MAX = 1_048_576
/** Of the name of a column (Azure Monitor, create a custom table). */
const NAME_CHARS_MAX = 45

/** The body of one call; throws `too_large` where it would be refused, so that the host halves the batch. */
export function callBody(batch: Batch, shape: Shape): Buffer {
  const rows = [...eventLines(batch)].flatMap((line) => rowsOf(line, shape))
  const body = Buffer.from(JSON.stringify(rows))
  if (body.length <= CALL_BYTES_MAX) return body
  throw refusal('too_large', `a call must be at most ${CALL_BYTES_MAX} bytes, got ${body.length}`)
}

function rowsOf(one: EventLine, shape: Shape): Row[] {
  const time = new Date(eventTime(one.event) ?? Date.now()).toISOString()
  const { columns, timeColumn, textColumn, valueBytesMax } = shape
  if (columns === 'event' && one.event !== null) return [fieldsOf(one.event, time, shape)]
  const pieces = [...piecesOf(one.line, valueBytesMax)]
  return pieces.map((piece, n) => ({
    [timeColumn]: time,
    EventId: one.id,
    Part: n + 1,
    Parts: pieces.length,
    [textColumn]: piece,
  }))
}

/** A text as long as a value may be, and the next one: cut between characters (RFC 3629 §3). */
function* piecesOf(line: Buffer, bytesMax: number): Generator<string> {
  for (let from = 0; from < line.length; ) {
    let to = Math.min(from + bytesMax, line.length)
    while (to < line.length && ((line[to] ?? 0) & 0xc0) === 0x80) to -= 1
    yield line.toString('utf8', from, to)
    from = to
  }
}

function fieldsOf(event: NonNullable<EventLine['event']>, time: string, shape: Shape): Row {
  const row: Row = { [shape.timeColumn]: time }
  for (const [field, value] of Object.entries(event)) {
    const column = columnOf(field, shape)
    if (Object.hasOwn(row, column)) throw refusal('rejected', `two fields of an event are column ${column}`)
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    const bytes = Buffer.byteLength(text)
    if (bytes > shape.valueBytesMax) {
      const rule = `must be at most ${shape.valueBytesMax} bytes, got ${bytes}: set columns to raw`
      throw refusal('too_large', `column ${column} ${rule}`)
    }
    row[column] = value
  }
  return row
}

/** Letters, digits and underscores, a letter first, and no name of Azure's own. */
function columnOf(field: string, { timeColumn, textColumn, reserved }: Shape): string {
  const name = field.replaceAll(/\W/g, '_')
  const taken = [timeColumn.toLowerCase(), textColumn.toLowerCase(), ...reserved].includes(name.toLowerCase())
  return (/^[A-Za-z]/.test(name) && !taken ? name : `field_${name}`).slice(0, NAME_CHARS_MAX)
}

/** Said twice, since a dead letter keeps the answer and not the message. */
function refusal(kind: 'too_large' | 'rejected', message: string): OutcomeError {
  return new OutcomeError(kind, message, { answer: message })
}
