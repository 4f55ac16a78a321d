/**
 * Header fields of a request on their way through: one pass over the client's raw list says what routing
 * needs to know and keeps what the upstream may see. Answers have theirs in `response-head.ts`.
 */
import { limits } from '../contract/limits.ts'
import { forwardedElement, type Scheme } from './forwarded.ts'

/**
 * What the client's head says, and the fields of it that go on to the upstream. Flat: name, value, name,
 * value.
 */
export class RequestHead {
  hosts = 0
  host = ''
  /** RFC 9112 §6.1: `chunked` alone is understood; anything else cannot be forwarded. */
  chunked = false
  codingUnknown = false
  /** -1 = no Content-Length. */
  contentLength = -1
  connection = ''
  requestId = ''
  requestIds = 0
  forwardedFor = ''
  forwardedProto = ''
  forwardedHost = ''
  forwarded = ''
  trailer = ''
  keep: string[] = []
  /** Where the value of Host stands in `keep`; -1 = nowhere. */
  hostAt = -1
  /** Where the name of Expect does. */
  expectAt = -1
}

const saneRequestId = new RegExp(`^[A-Za-z0-9._~:/+=-]{1,${limits.request_id_chars_max}}$`)
/** RFC 3986 §3.2.2 without userinfo: a registered name or an IP literal, and a port. */
const hostForm = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/

export function validHost(host: string): boolean {
  return host.length <= 300 && hostForm.test(host)
}

/**
 * Takes one field whose name has the length of one that is not simply kept. Returns false when it is.
 * RFC 9110 §7.6.1: hop-by-hop fields end here; the rest of the list is that of RFC 2616 §13.5.1.
 */
function takeRequestField(head: RequestHead, lower: string, value: string): boolean {
  switch (lower) {
    case 'host':
      head.hosts++
      head.host = value
      head.hostAt = head.keep.length + 1
      return false
    case 'connection':
      head.connection = head.connection === '' ? value : `${head.connection},${value}`
      return true
    case 'content-length':
      head.contentLength = Number(value)
      return false
    case 'transfer-encoding':
      if (head.chunked || value.toLowerCase() !== 'chunked') head.codingUnknown = true
      head.chunked = true
      return true
    case 'x-request-id':
      head.requestIds++
      head.requestId = value
      return true
    case 'x-forwarded-for':
      head.forwardedFor = head.forwardedFor === '' ? value : `${head.forwardedFor}, ${value}`
      return true
    case 'x-forwarded-proto':
      head.forwardedProto = value
      return true
    case 'x-forwarded-host':
      head.forwardedHost = value
      return true
    case 'forwarded':
      head.forwarded = head.forwarded === '' ? value : `${head.forwarded}, ${value}`
      return true
    case 'expect':
      if (head.expectAt !== -1) return true
      head.expectAt = head.keep.length
      return false
    case 'trailer':
      head.trailer = head.trailer === '' ? value : `${head.trailer}, ${value}`
      return true
    case 'te':
    case 'upgrade':
    case 'keep-alive':
    case 'proxy-connection':
    case 'proxy-authorization':
      return true
    default:
      return false
  }
}

/** Bit n is set when a name of n characters may need more than being kept: see `takeRequestField`. */
const requestLengths = [2, 4, 6, 7, 9, 10, 12, 14, 15, 16, 17, 19].reduce(
  (bits, length) => bits | (1 << length),
  0,
)

/** What proxies say of the client besides: X-Forwarded-Port, -Ssl, -Prefix …, X-Real-IP. */
function claims(name: string): boolean {
  if ((name.charCodeAt(0) | 0x20) !== 0x78) return false
  if (name.length === 9) return name.toLowerCase() === 'x-real-ip'
  return name.charCodeAt(11) === 0x2d && name.slice(0, 11).toLowerCase() === 'x-forwarded'
}

/**
 * `trusted`: the fields come from a proxy that is believed. `expects`: the client waits for a 100 before it
 * sends its body.
 */
export function readRequestHead(raw: readonly string[], trusted: boolean, expects: boolean): RequestHead {
  const head = new RequestHead()
  const { keep } = head
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    const length = name.length
    if (
      length < 20 &&
      (requestLengths & (1 << length)) !== 0 &&
      takeRequestField(head, name.toLowerCase(), value)
    )
      continue
    if (!trusted && length > 8 && claims(name)) continue
    keep.push(name, value)
  }
  const { length } = keep
  if (head.connection !== '') dropNominated(keep, head.connection)
  // RFC 9110 §10.1.1: nothing is expected without a body, or by HTTP/1.0.
  const bodyless = !head.chunked && head.contentLength <= 0
  if (head.expectAt !== -1 && (!expects || bodyless)) dropField(keep, 'expect')
  if (keep.length !== length) locate(head)
  return head
}

/** Finds Host and Expect again in a list that has changed. */
function locate(head: RequestHead): void {
  head.hostAt = head.expectAt = -1
  for (let i = 0; i < head.keep.length; i += 2) {
    const name = (head.keep[i] as string).toLowerCase()
    if (name === 'host') head.hostAt = i + 1
    else if (name === 'expect') head.expectAt = i
  }
}

/** Fields that a Connection header may not take away: without them the message would have other borders. */
const framing = new Set(['close', 'keep-alive', 'content-length', 'transfer-encoding', 'host', ''])

/** What nearly every message says. */
const plainConnection = /^(?:keep-alive|close)$/i

/**
 * RFC 9110 §7.6.1: fields that the sender's Connection header names are for this hop only. Runs on the
 * sender's own fields alone, before the gateway adds its own: otherwise a client could take those away
 * (trap C9).
 */
export function dropNominated(list: string[], connection: string): void {
  if (connection.length <= 10 && plainConnection.test(connection)) return
  const names = new Set<string>()
  for (const option of connection.split(',')) {
    const name = option.trim().toLowerCase()
    if (!framing.has(name)) names.add(name)
  }
  if (names.size === 0) return
  let to = 0
  for (let i = 0; i < list.length; i += 2) {
    if (names.has((list[i] as string).toLowerCase())) continue
    list[to++] = list[i] as string
    list[to++] = list[i + 1] as string
  }
  list.length = to
}

export function idForUpstream(head: RequestHead, exchangeId: string): string {
  return head.requestIds === 1 && saneRequestId.test(head.requestId) ? head.requestId : exchangeId
}

export interface Hop {
  readonly peer: string
  readonly trusted: boolean
  readonly clientIp: string
  readonly scheme: Scheme
  readonly host: string
  readonly requestId: string
  readonly httpVersion: string
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
  const host = hop.trusted && head.forwardedHost !== '' ? head.forwardedHost : hop.host
  if (host !== '') keep.push('x-forwarded-host', host)
  if (hop.trusted && head.forwarded !== '')
    keep.push('forwarded', `${head.forwarded}, ${forwardedElement(hop.peer, hop.host)}`)
  keep.push('via', hop.httpVersion === '1.0' ? '1.0 mirrorgate' : '1.1 mirrorgate')
  return keep
}

/** An upstream that reads only this field learns the client of a proxy that writes only Forwarded, too. */
function forwardedFor(head: RequestHead, { trusted, clientIp, peer }: Hop): string {
  if (!trusted) return peer
  const before = head.forwardedFor || (clientIp === peer ? '' : clientIp)
  return before === '' ? peer : `${before}, ${peer}`
}

/** Removes a field by its lower-case name. */
export function dropField(list: string[], lower: string): void {
  let to = 0
  for (let i = 0; i < list.length; i += 2) {
    if ((list[i] as string).toLowerCase() === lower) continue
    list[to++] = list[i] as string
    list[to++] = list[i + 1] as string
  }
  list.length = to
}

/** The value of a field in a raw list, by its lower-case name; empty when it is missing. */
export function fieldValue(list: readonly string[], lower: string): string {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string
    if (name.length === lower.length && name.toLowerCase() === lower) return list[i + 1] as string
  }
  return ''
}

/** RFC 9110 §6.5.1: fields that change framing, routing or authentication do not belong in trailers. */
const forbiddenTrailers = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'trailer',
  'connection',
  'keep-alive',
  'te',
  'upgrade',
  'content-encoding',
  'content-type',
  'content-range',
  'authorization',
  'proxy-authorization',
  'proxy-authenticate',
  'www-authenticate',
  'set-cookie',
  'cookie',
  'cache-control',
  'expect',
  'max-forwards',
  'location',
  'date',
  'age',
  'expires',
  'vary',
])

/** Trailers that may go on, as pairs for `addTrailers`. */
export function trailerPairs(trailers: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string
    if (!forbiddenTrailers.has(name.toLowerCase())) pairs.push([name, trailers[i + 1] as string])
  }
  return pairs
}
