/** The head of an upstream's answer: what it says of framing and connection, and the fields that go on. */
import { dropField, dropNominated } from './headers.ts'
import { isPersistent, lengthForm } from './syntax.ts'

/** Bit n is set when a name of n characters may need more than being kept. */
const lengths = [2, 7, 10, 14, 16, 17, 18].reduce((bits, length) => bits | (1 << length), 0)
const timeoutForm = /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,9})/i

export class ResponseHead {
  readonly status: number
  readonly reason: string
  /** HTTP/1.0: no chunks, and its connection ends unless it says otherwise. */
  readonly old: boolean
  chunked = false
  /** -1 = no Content-Length. */
  length = -1
  connection = ''
  keepAlive = ''
  trailer = ''
  /** What the client may see. Flat: name, value, name, value. */
  readonly keep: string[] = []

  constructor(status: number, reason: string, old: boolean) {
    this.status = status
    this.reason = reason
    this.old = old
  }

  /** Takes the next field. False: it leaves the borders of the answer in doubt. */
  take(name: string, value: string): boolean {
    const { length } = name
    if (length < 19 && (lengths & (1 << length)) !== 0) {
      const taken = this.#take(name.toLowerCase(), value)
      if (taken !== 'kept') return taken === 'dropped'
    }
    this.keep.push(name, value)
    return true
  }

  /** RFC 9110 §7.6.1: hop-by-hop fields end here; the rest of the list is that of RFC 2616 §13.5.1. */
  #take(lower: string, value: string): 'kept' | 'dropped' | 'broken' {
    switch (lower) {
      case 'content-length':
        // RFC 9112 §6.3: several of them, or a list, are refused even where they agree.
        if (this.length !== -1 || !lengthForm.test(value)) return 'broken'
        this.length = Number(value)
        return 'kept'
      case 'transfer-encoding':
        // RFC 9112 §6.1: `chunked`, once and alone, is what every parser understands alike.
        if (this.chunked || value.toLowerCase() !== 'chunked') return 'broken'
        this.chunked = true
        return 'dropped'
      case 'connection':
        this.connection = this.connection === '' ? value : `${this.connection},${value}`
        return 'dropped'
      case 'keep-alive':
        this.keepAlive = value
        return 'dropped'
      case 'trailer':
        this.trailer = this.trailer === '' ? value : `${this.trailer}, ${value}`
        return 'dropped'
      case 'te':
      case 'upgrade':
      case 'proxy-connection':
      case 'proxy-authenticate':
        return 'dropped'
      default:
        return 'kept'
    }
  }

  /** All fields are here. False: together they leave the borders of the answer in doubt. */
  complete(): boolean {
    if (this.connection !== '') dropNominated(this.keep, this.connection)
    // RFC 9112 §6.1: both framings, or chunks from a version that has none.
    if (this.chunked && (this.length !== -1 || this.old)) return false
    if (this.status >= 200 && this.status !== 204) return true
    // RFC 9112 §6.1, RFC 9110 §8.6: an answer that cannot have a body must not announce one.
    if (this.chunked || this.length > 0) return false
    if (this.length === 0) dropField(this.keep, 'content-length')
    return true
  }

  get persistent(): boolean {
    return isPersistent(this.connection, this.old)
  }

  /** For how long the upstream says it keeps an idle connection (RFC 2068 §19.7.1.1); -1 = nothing. */
  get idleSeconds(): number {
    if (this.keepAlive === '') return -1
    const found = timeoutForm.exec(this.keepAlive)
    return found === null ? -1 : Number(found[1])
  }
}
