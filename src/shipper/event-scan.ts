/**
 * Cuts a body into its events while it arrives, without parsing it: one JSON object, an array of them, or
 * one on each line. An event comes out as bytes on one line, with the line of the body that it began on.
 */
import { limits } from '../contract/limits.ts'

/** What is wrong with a body, and where. */
export class EventProblem extends Error {
  override readonly name = 'EventProblem'
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

export interface ScannedEvent {
  readonly line: number
  readonly bytes: Buffer
}

const [QUOTE, BACKSLASH, NEWLINE, SPACE, COMMA] = [0x22, 0x5c, 0x0a, 0x20, 0x2c]
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [0x7b, 0x7d, 0x5b, 0x5d]
/** RFC 8259 §2: what may stand between tokens. */
const isSpace = (byte: number): boolean =>
  byte === SPACE || byte === NEWLINE || byte === 0x0d || byte === 0x09

type Expected = 'first' | 'event' | 'separator' | 'end'

/** A JSON body: an object, or an array of them. */
class JsonScanner {
  #line = 1
  #expected: Expected = 'first'
  #inArray = false
  /** Of the event under way. */
  #depth = 0
  #inString = false
  #escaped = false
  #began = 1
  #pieces: Buffer[] = []
  #bytes = 0

  end(): void {
    if (this.#depth > 0) throw new EventProblem(this.#began, 'must be a whole JSON object')
    if (this.#expected !== 'end') throw new EventProblem(this.#line, `must go on with ${this.#wanted()}`)
  }

  *feed(chunk: Buffer): Generator<ScannedEvent> {
    let start = 0
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] as number
      if (byte === NEWLINE) this.#line += 1
      if (this.#depth === 0) {
        if (this.#between(byte)) start = at
        continue
      }
      if (!this.#within(byte, chunk, at)) continue
      yield { line: this.#began, bytes: this.#take(chunk.subarray(start, at + 1)) }
      this.#expected = this.#inArray ? 'separator' : 'end'
    }
    if (this.#depth > 0) this.#keep(chunk.subarray(start))
  }

  /** A byte between events; true when one begins with it. */
  #between(byte: number): boolean {
    if (isSpace(byte)) return false
    if (byte === OPEN_OBJECT && (this.#expected === 'first' || this.#expected === 'event')) {
      this.#depth = 1
      this.#began = this.#line
      return true
    }
    if (byte === OPEN_ARRAY && this.#expected === 'first') {
      this.#inArray = true
      this.#expected = 'event'
    } else if (byte === COMMA && this.#expected === 'separator') this.#expected = 'event'
    else if (byte === CLOSE_ARRAY && this.#expected === 'separator') this.#expected = 'end'
    else throw new EventProblem(this.#line, `must be ${this.#wanted()}, got ${shown(byte)}`)
    return false
  }

  #wanted(): string {
    if (this.#expected === 'end') return 'at its end'
    return this.#expected === 'separator' ? 'a comma or the end of the array' : 'a JSON object'
  }

  /** A byte within an event; true when it ends with it. */
  #within(byte: number, chunk: Buffer, at: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (byte === BACKSLASH) this.#escaped = true
      else if (byte === QUOTE) this.#inString = false
      return false
    }
    if (byte === QUOTE) this.#inString = true
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth += 1
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#depth -= 1
    // An event is one line; the chunk is the scanner's own.
    else if (byte === NEWLINE || byte === 0x0d) chunk[at] = SPACE
    return this.#depth === 0
  }

  #keep(piece: Buffer): void {
    this.#bytes += piece.length
    assertSize(this.#bytes, this.#began)
    // The memory behind it may be used again by whoever reads the body.
    this.#pieces.push(Buffer.from(piece))
  }

  #take(last: Buffer): Buffer {
    this.#bytes += last.length
    assertSize(this.#bytes, this.#began)
    const bytes = Buffer.concat([...this.#pieces, last])
    this.#pieces = []
    this.#bytes = 0
    return bytes
  }
}

/** One object on each line; empty lines count for nothing. */
class LineScanner {
  #line = 1
  #pieces: Buffer[] = []
  #bytes = 0

  #keep(piece: Buffer): void {
    this.#bytes += piece.length
    assertSize(this.#bytes, this.#line)
    if (piece.length > 0) this.#pieces.push(Buffer.from(piece))
  }

  *feed(chunk: Buffer): Generator<ScannedEvent> {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      yield* this.#take(chunk.subarray(start, end))
      this.#line += 1
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
  }

  *#take(last: Buffer): Generator<ScannedEvent> {
    this.#bytes += last.length
    assertSize(this.#bytes, this.#line)
    const bytes = Buffer.concat([...this.#pieces, last])
    this.#pieces = []
    this.#bytes = 0
    if (!bytes.every(isSpace)) yield { line: this.#line, bytes }
  }

  *end(): Generator<ScannedEvent> {
    yield* this.#take(Buffer.alloc(0))
  }
}

function assertSize(bytes: number, line: number): void {
  const most = limits.posted_event_bytes_max
  if (bytes > most) throw new EventProblem(line, `must be at most ${most} bytes`)
}

function shown(byte: number): string {
  return byte > SPACE && byte < 0x7f ? JSON.stringify(String.fromCharCode(byte)) : `byte ${byte}`
}

/** Events of a body that comes in chunks, which are written over. Throws an EventProblem. */
export async function* scanEvents(
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  lines: boolean,
): AsyncGenerator<ScannedEvent> {
  if (lines) {
    const scanner = new LineScanner()
    for await (const chunk of chunks) yield* scanner.feed(chunk)
    yield* scanner.end()
    return
  }
  const scanner = new JsonScanner()
  for await (const chunk of chunks) yield* scanner.feed(chunk)
  scanner.end()
}
