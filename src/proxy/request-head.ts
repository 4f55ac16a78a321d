/**
 * The head of a client's request: what routing and framing need to know of it, and the fields of it that the
 * upstream may see. Answers have theirs in `response-head.ts`.
 */
import { limits } from '../contract/limits.ts'
import { forwardedElement, type Scheme } from './forwarded.ts'
import { claims, dropField, dropNominated } from './headers.ts'
import { isPersistent, lengthForm } from './syntax.ts'

const saneRequestId = new RegExp(`^[A-Za-z0-9._~:/+=-]{1,${limits.request_id_chars_max}}$`)
/** RFC 3986 §3.2.2 without userinfo: a registered name or an IP literal, and a port. */
const hostForm = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/

export function validHost(host: string): boolean {
  return host.length <= 300 && hostForm.test(host)
}

/** Bit n is set when a name of n characters may need more than being kept: see `#take`. */
const lengths = [2, 4, 6, 7, 9, 10, 12, 14, 15, 16, 17, 19].reduce((bits, length) => bits | (1 << length), 0)

export class RequestHead {
  readonly method: string
  /** As the client sent it. */
  readonly target: string
  /** HTTP/1.0: no chunks, no interim answers, and its connection ends unless it says otherwise. */
  readonly old: boolean
  /** Whether the fields come from a proxy that is believed. */
  readonly trusted: boolean
  /** All fields as they came. Flat: name, value. */
  readonly raw: string[] = []
  /** What the upstream may see of them. */
  readonly keep: string[] = []
  hosts = 0
  host = ''
  chunked = false
  /** -1 = no Content-Length. */
  contentLength = -1
  /** What Expect asks for: nothing, `100-continue`, or something else. */
  expects: 'nothing' | 'continue' | 'unknown' = 'nothing'
  connection = ''
  requestId = ''
  requestIds = 0
  forwardedFor = ''
  forwardedProto = ''
  forwardedHost = ''
  forwarded = ''
  trailer = ''
  /** Where the value of Host stands in `keep`; -1 = nowhere. */
  hostAt = -1
  /** Where the name of Expect does. */
  expectAt = -1

  constructor(method: string, target: string, old: boolean, trusted: boolean) {
    this.method = method
    this.target = target
    this.old = old
    this.trusted = trusted
  }

  get version(): '1.0' | '1.1' {
    return this.old ? '1.0' : '1.1'
  }

  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0
  }

  get persistent(): boolean {
    return isPersistent(this.connection, this.old)
  }

  /** Takes the next field. False: it leaves the borders of the request in doubt. */
  take(name: string, value: string): boolean {
    this.raw.push(name, value)
    const { length } = name
    if (length < 20 && (lengths & (1 << length)) !== 0) {
      const taken = this.#take(name.toLowerCase(), value)
      if (taken !== 'kept') return taken === 'dropped'
    }
    if (this.trusted || length <= 8 || !claims(name)) this.keep.push(name, value)
    return true
  }

  /** RFC 9110 §7.6.1: hop-by-hop fields end here; the rest of the list is that of RFC 2616 §13.5.1. */
  #take(lower: string, value: string): 'kept' | 'dropped' | 'broken' {
    switch (lower) {
      case 'host':
        this.hosts++
        this.host = value
        this.hostAt = this.keep.length + 1
        return 'kept'
      case 'connection':
        this.connection = this.connection === '' ? value : `${this.connection},${value}`
        return 'dropped'
      case 'content-length':
        // RFC 9112 §6.3: several of them, or a list, are refused even where they agree.
        if (this.contentLength !== -1 || !lengthForm.test(value)) return 'broken'
        this.contentLength = Number(value)
        return 'kept'
      case 'transfer-encoding':
        // RFC 9112 §6.1: `chunked`, once and alone, is what every parser understands alike.
        if (this.chunked || value.toLowerCase() !== 'chunked') return 'broken'
        this.chunked = true
        return 'dropped'
      case 'x-request-id':
        this.requestIds++
        this.requestId = value
        return 'dropped'
      case 'expect':
        return this.#expect(value)
      case 'trailer':
        this.trailer = this.trailer === '' ? value : `${this.trailer}, ${value}`
        return 'dropped'
      case 'te':
      case 'upgrade':
      case 'keep-alive':
      case 'proxy-connection':
      case 'proxy-authorization':
        return 'dropped'
      default:
        return this.#takeClaim(lower, value)
    }
  }

  #expect(value: string): 'kept' | 'dropped' {
    if (value.toLowerCase() !== '100-continue') this.expects = 'unknown'
    if (this.expectAt !== -1) return 'dropped'
    if (this.expects === 'nothing') this.expects = 'continue'
    this.expectAt = this.keep.length
    return 'kept'
  }

  /** What proxies before the gateway say of the client. */
  #takeClaim(lower: string, value: string): 'kept' | 'dropped' {
    switch (lower) {
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
        return 'kept'
    }
  }

  /** All fields are here. False: together they leave the borders of the request in doubt. */
  complete(): boolean {
    // RFC 9112 §6.1: both framings, or chunks from a version that has none.
    if (this.chunked && (this.contentLength !== -1 || this.old)) return false
    const { keep } = this
    const { length } = keep
    if (this.connection !== '') dropNominated(keep, this.connection)
    // RFC 9110 §10.1.1: nothing is expected by HTTP/1.0, or 100 without a body.
    if (this.old || (this.expects === 'continue' && !this.hasBody)) this.expects = 'nothing'
    if (this.expectAt !== -1 && this.expects !== 'continue') dropField(keep, 'expect')
    if (keep.length !== length) this.#locate()
    return true
  }

  /** Finds Host and Expect again in a list that has changed. */
  #locate(): void {
    const { keep } = this
    this.hostAt = this.expectAt = -1
    for (let i = 0; i < keep.length; i += 2) {
      const name = (keep[i] as string).toLowerCase()
      if (name === 'host') this.hostAt = i + 1
      else if (name === 'expect') this.expectAt = i
    }
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

/** Completes the kept fields with the gateway's own; the list then is what the upstream gets. */
export function addGatewayFields(head: RequestHead, hop: Hop): string[] {
  const { keep } = head
  if (hop.hostFromClient && hop.host !== '') {
    // RFC 9112 §3.2.2: an absolute target's authority stands above Host.
    if (head.hostAt === -1) head.hostAt = keep.push('host', hop.host) - 1
    else keep[head.hostAt] = hop.host
  }
  keep.push('x-request-id', hop.requestId)
  keep.push('x-forwarded-for', forwardedFor(head, hop))
  keep.push('x-forwarded-proto', hop.scheme)
  const host = head.trusted && head.forwardedHost !== '' ? head.forwardedHost : hop.host
  if (host !== '') keep.push('x-forwarded-host', host)
  if (head.trusted && head.forwarded !== '')
    keep.push('forwarded', `${head.forwarded}, ${forwardedElement(hop.peer, hop.host)}`)
  keep.push('via', `${head.version} mirrorgate`)
  return keep
}

/** An upstream that reads only this field learns the client of a proxy that writes only Forwarded, too. */
function forwardedFor(head: RequestHead, { clientIp, peer }: Hop): string {
  if (!head.trusted) return peer
  const before = head.forwardedFor || (clientIp === peer ? '' : clientIp)
  return before === '' ? peer : `${before}, ${peer}`
}
