/** Reads upstreams' answers: interim ones, then one, whose end is the end of what may be read. */
import { limits } from '../contract/limits.ts'
import type { Line } from './message-head.ts'
import { MessageParser, state } from './message-parser.ts'
import { ResponseHead } from './response-head.ts'
import { isClean, SPACE } from './syntax.ts'

const NO_HEADS: ResponseHead[] = []

export class ResponseParser extends MessageParser {
  /** What the last feed brought: interim heads, the head of the answer, a piece of its body. */
  interim = NO_HEADS
  head: ResponseHead | null = null
  protected readonly emptyLinesFirst = false
  /** The request was a HEAD. */
  #bodyless = false
  /** The head that is being read. */
  #reading: ResponseHead | null = null
  #interims = 0

  /** Expects the next answer. */
  begin(method: string): void {
    this.reset()
    this.#bodyless = method === 'HEAD'
    this.#interims = 0
  }

  /** Reads the first `length` bytes, and may move body bytes among them. */
  feed(bytes: Buffer, length: number): void {
    this.head = null
    this.interim = NO_HEADS
    // Bytes after the end: whose answer they are is anybody's guess (RFC 9112 §9.2).
    if (this.read(bytes, 0, length) < length) this.state = state.broken
  }

  /** The upstream has ended the connection. Whether the answer is whole with it (RFC 9112 §6.3, case 8). */
  end(): boolean {
    return this.state === state.untilClose || this.state === state.done
  }

  protected mayBeFirst(text: string): boolean {
    return 'HTTP/1.'.startsWith(text.slice(0, 7))
  }

  /** RFC 9112 §4; the space after the status is often left out where there is no reason. */
  protected firstLine(text: string, from: number, to: number): boolean {
    const minor = text.charCodeAt(from + 7) - 0x30
    if (!text.startsWith('HTTP/1.', from) || (minor !== 0 && minor !== 1)) return false
    let status = 0
    for (let i = from + 9; i < from + 12; i++) {
      const digit = text.charCodeAt(i) - 0x30
      // NaN beyond the end of the text.
      if (!(digit >= 0 && digit <= 9)) return false
      status = status * 10 + digit
    }
    if (status < 100 || text.charCodeAt(from + 8) !== SPACE || to < from + 12) return false
    if (to > from + 12 && text.charCodeAt(from + 12) !== SPACE) return false
    if (!isClean(text, from + 12, to)) return false
    this.#reading = new ResponseHead(status, text.slice(from + 13, to), minor === 0)
    return true
  }

  protected field(text: string, line: Line): boolean {
    return (this.#reading as ResponseHead).take(text, line)
  }

  protected fieldsRead(text: string): void {
    ;(this.#reading as ResponseHead).textEnds(text)
  }

  protected headEnds(): number {
    const head = this.#reading as ResponseHead
    // RFC 9110 §15.2.2: no upgrade was asked for.
    if (!head.complete() || head.status === 101) return state.broken
    if (head.status < 200) {
      if (this.interim === NO_HEADS) this.interim = []
      this.interim.push(head)
      return ++this.#interims > limits.interim_answers_max ? state.broken : state.head
    }
    this.head = head
    // RFC 9112 §6.3.
    if (this.#bodyless || head.status === 204 || head.status === 304) return state.done
    return this.expectBody(head.chunked, head.contentLength)
  }
}
