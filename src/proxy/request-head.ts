/**
 * The head of a client's request: what routing and framing need to know of it, and the fields of it that the
 * upstream may see. Answers have theirs in `response-head.ts`.
 */
import { limits } from '../contract/limits.ts'
import { forwardedElement, type Scheme } from './forwarded.ts'
import { claims, lineOf } from './headers.ts'
import { initialsOf, type Line, MessageHead, namedBy, type Taken } from './message-head.ts'
import { withHost } from './upstream-request.ts'

const saneRequestId = new RegExp(`^[A-Za-z0-9._~:/+=-]{1,${limits.request_id_chars_max}}$`)
/** RFC 3986 §3.2.2 without userinfo: a registered name or an IP literal, and a port. */
const hostForm = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/

export function validHost(host: string): boolean {
  return host.length <= 300 && hostForm.test(host)
}

/** Which fields need more than being kept: see `#take`. */
const initials = initialsOf([
  ...['te', 'host', 'expect', 'upgrade', 'trailer', 'forwarded', 'connection', 'keep-alive'],
  ...['x-request-id', 'content-length', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'],
  ...['proxy-connection', 'transfer-encoding', 'proxy-authorization'],
])

/** Where the names begin that `claims` looks at. */
const X = 'x'.charCodeAt(0) & 31

export class RequestHead extends MessageHead {
  readonly method: string
  /** As the client sent it. */
  readonly target: string
  /** Whether the fields come from a proxy that is believed. */
  readonly trusted: boolean
  /** All field lines as they came. */
  raw = ''
  hosts = 0
  host = ''
  /** What Expect asks for: nothing, `100-continue`, or something else. */
  expects: 'nothing' | 'continue' | 'unknown' = 'nothing'
  requestId = ''
  requestIds = 0
  forwardedFor = ''
  forwardedProto = ''
  forwardedHost = ''
  forwarded = ''
  /** Where the line of Host stands in `lines`; -1 = nowhere. */
  hostAt = -1
  /** Where the line of Expect does. */
  expectAt = -1

  constructor(method: string, target: string, old: boolean, trusted: boolean) {
    super(old)
    this.method = method
    this.target = target
    this.trusted = trusted
  }

  get version(): '1.0' | '1.1' {
    return this.old ? '1.0' : '1.1'
  }

  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0
  }

  take(text: string, line: Line): boolean {
    const name = namedBy(initials, text, line)
    if (name !== '') {
      const taken = this.#take(name, text.slice(line.valueFrom, line.valueTo))
      if (taken !== 'kept') return taken === 'dropped'
    }
    const { from, colon } = line
    if (!this.trusted && (text.charCodeAt(from) & 31) === X && claims(text.slice(from, colon))) return true
    const at = this.keep(text, line)
    if (name === 'host') this.hostAt = at
    else if (name === 'expect') this.expectAt = at
    return true
  }

  #take(lower: string, value: string): Taken {
    switch (lower) {
      case 'host':
        this.hosts++
        this.host = value
        return 'kept'
      case 'x-request-id':
        this.requestIds++
        this.requestId = value
        return 'dropped'
      case 'expect':
        return this.#expect(value)
      case 'proxy-authorization':
        return 'dropped'
      case 'x-forwarded-for':
        this.forwardedFor = this.forwardedFor === '' ? value : `${this.forwardedFor}, ${value}`
        return 'dropped'
      case 'x-forwarded-proto':
        this.forwardedProto = value
        return 'dropped'
      case 'x-forwarded-host':
        this.forwardedHost = value
        return 'dropped'
      case 'forwarded':
        this.forwarded = this.forwarded === '' ? value : `${this.forwarded}, ${value}`
        return 'dropped'
      default:
        return this.takeCommon(lower, value)
    }
  }

  #expect(value: string): Taken {
    if (value.toLowerCase() !== '100-continue') this.expects = 'unknown'
    if (this.expectAt !== -1) return 'dropped'
    if (this.expects === 'nothing') this.expects = 'continue'
    return 'kept'
  }

  /** All fields are here. False: together they leave the borders of the request in doubt. */
  complete(): boolean {
    const { length } = this.lines
    if (!this.framed()) return false
    // RFC 9110 §10.1.1: nothing is expected by HTTP/1.0, or 100 without a body.
    if (this.old || (this.expects === 'continue' && !this.hasBody)) this.expects = 'nothing'
    if (this.expectAt !== -1 && this.expects !== 'continue') this.drop('expect')
    if (this.lines.length !== length) {
      this.hostAt = lineOf(this.lines, 'host')
      this.expectAt = lineOf(this.lines, 'expect')
    }
    return true
  }
}

export function idForUpstream(head: RequestHead, exchangeId: string): string {
  return head.requestIds === 1 && saneRequestId.test(head.requestId) ? head.requestId : exchangeId
}

export interface Hop {
  readonly peer: string
  readonly clientIp: string
  readonly scheme: Scheme
  readonly host: string
  readonly requestId: string
  /** Whether the upstream sees that host; otherwise it sees its own name. */
  readonly hostFromClient: boolean
}

/** The lines that the upstream gets: those that go on, and the gateway's own. */
export function withGatewayLines(head: RequestHead, hop: Hop): string {
  let { lines } = head
  if (hop.hostFromClient && hop.host !== '') {
    // RFC 9112 §3.2.2: an absolute target's authority stands above Host.
    if (head.hostAt === -1) {
      head.hostAt = lines.length
      lines += `host: ${hop.host}\r\n`
    } else if (hop.host !== head.host) lines = withHost(lines, head.hostAt, hop.host)
  }
  const host = head.trusted && head.forwardedHost !== '' ? head.forwardedHost : hop.host
  const hostLine = host === '' ? '' : `x-forwarded-host: ${host}\r\n`
  const forwarded =
    head.trusted && head.forwarded !== ''
      ? `forwarded: ${head.forwarded}, ${forwardedElement(hop.peer, hop.host)}\r\n`
      : ''
  return (
    `${lines}x-request-id: ${hop.requestId}\r\nx-forwarded-for: ${forwardedFor(head, hop)}\r\n` +
    `x-forwarded-proto: ${hop.scheme}\r\n${hostLine}${forwarded}via: ${head.version} mirrorgate\r\n`
  )
}

/** An upstream that reads only this field learns the client of a proxy that writes only Forwarded, too. */
function forwardedFor(head: RequestHead, { clientIp, peer }: Hop): string {
  if (!head.trusted) return peer
  const before = head.forwardedFor || (clientIp === peer ? '' : clientIp)
  return before === '' ? peer : `${before}, ${peer}`
}
