/** The head of an upstream's answer: what it says of framing and connection, and the lines that go on. */
import { initialsOf, type Line, MessageHead, namedBy, type Taken } from './message-head.ts'

/** Which fields need more than being kept: see `#take`. */
const initials = initialsOf([
  ...['te', 'upgrade', 'trailer', 'connection', 'keep-alive', 'content-length'],
  ...['proxy-connection', 'transfer-encoding', 'proxy-authenticate'],
])
const timeoutForm = /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,9})/i

export class ResponseHead extends MessageHead {
  readonly status: number
  readonly reason: string
  keepAlive = ''

  constructor(status: number, reason: string, old: boolean) {
    super(old)
    this.status = status
    this.reason = reason
  }

  take(text: string, line: Line): boolean {
    const name = namedBy(initials, text, line)
    if (name !== '') {
      const taken = this.#take(name, text.slice(line.valueFrom, line.valueTo))
      if (taken !== 'kept') return taken === 'dropped'
    }
    this.keep(text, line)
    return true
  }

  #take(lower: string, value: string): Taken {
    if (lower === 'proxy-authenticate') return 'dropped'
    if (lower === 'keep-alive') this.keepAlive = value
    return this.takeCommon(lower, value)
  }

  /** All fields are here. False: together they leave the borders of the answer in doubt. */
  complete(): boolean {
    if (!this.framed()) return false
    if (this.status >= 200 && this.status !== 204) return true
    // RFC 9112 §6.1, RFC 9110 §8.6: an answer that cannot have a body must not announce one.
    if (this.chunked || this.contentLength > 0) return false
    if (this.contentLength === 0) this.drop('content-length')
    return true
  }

  /** For how long the upstream says it keeps an idle connection (RFC 2068 §19.7.1.1); -1 = nothing. */
  get idleSeconds(): number {
    if (this.keepAlive === '') return -1
    const found = timeoutForm.exec(this.keepAlive)
    return found === null ? -1 : Number(found[1])
  }
}
