/** Reads clients' requests, one after the other: the body of each waits until somebody wants it. */
import { limits } from '../contract/limits.ts'
import type { Line } from './message-head.ts'
import { MessageParser, type ParserBounds, state } from './message-parser.ts'
import { RequestHead } from './request-head.ts'
import { isClean, isTokenChar, SPACE } from './syntax.ts'

/** What a reader of requests has to know of its connection. */
export interface RequestSource {
  /** Whether the client is a proxy that is believed, now. */
  trusted(): boolean
}

export class RequestParser extends MessageParser {
  /** What the last feed brought; then its body waits for `proceed`. */
  head: RequestHead | null = null
  protected readonly emptyLinesFirst = true
  readonly #source: RequestSource
  #reading: RequestHead | null = null

  constructor(bounds: ParserBounds, source: RequestSource) {
    super(bounds)
    this.#source = source
  }

  /** Expects the next request. */
  begin(): void {
    this.reset()
  }

  /** Reads up to the end of a head, or of a message. Returns where it ended; see `read`. */
  feed(bytes: Buffer, from: number, length: number): number {
    this.head = null
    return this.read(bytes, from, length)
  }

  /** Goes on behind a head that has a body. */
  proceed(): void {
    const head = this.#reading as RequestHead
    this.state = this.expectBody(head.chunked, head.contentLength)
  }

  protected mayBeFirst(text: string): boolean {
    let at = 0
    while (at < text.length && isTokenChar[text.charCodeAt(at)] === 1) at++
    if (at === text.length) return at <= limits.method_chars_max
    return at > 0 && text.charCodeAt(at) === SPACE
  }

  /** RFC 9112 §3: one space on each side of the target, none in it; what it means is for admission. */
  protected firstLine(text: string, from: number, to: number): boolean {
    let at = from
    while (isTokenChar[text.charCodeAt(at)] === 1) at++
    const version = to - 8
    if (at === from || text.charCodeAt(at) !== SPACE || version <= at + 2) return false
    if (text.indexOf(' ', at + 1) !== version - 1 || !text.startsWith('HTTP/1.', version)) return false
    const minor = text.charCodeAt(to - 1) - 0x30
    if (minor !== 0 && minor !== 1) return false
    if (!isClean(text, at + 1, version - 1)) return false
    const target = text.slice(at + 1, version - 1)
    this.#reading = new RequestHead(text.slice(from, at), target, minor === 0, this.#source.trusted())
    return true
  }

  protected field(text: string, line: Line): boolean {
    return (this.#reading as RequestHead).take(text, line)
  }

  protected fieldsRead(text: string, from: number, to: number): void {
    const head = this.#reading as RequestHead
    head.raw += text.slice(from, to)
    head.textEnds(text)
  }

  protected headEnds(): number {
    const head = this.#reading as RequestHead
    if (!head.complete()) return state.broken
    this.head = head
    return head.hasBody ? state.waiting : state.done
  }
}
