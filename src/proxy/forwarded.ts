/** Who the client is, where proxies stand before the gateway: what they claim, and what goes on from it. */
import { isIP } from 'node:net'
import type { RequestHead } from './request-head.ts'

export type Scheme = 'http' | 'https'

/** The client of a request, and how it came to the outermost trusted proxy. */
export interface Origin {
  address: string
  scheme: Scheme
}

/** Without the `::ffff:` of an IPv4 address on an IPv6 socket. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** An address without the brackets and the port that some proxies add; empty when it is none. */
function claimedAddress(text: string): string {
  let bare = text
  if (text.startsWith('[')) bare = text.slice(1, Math.max(1, text.indexOf(']')))
  else {
    const colon = text.indexOf(':')
    if (colon !== -1 && colon === text.lastIndexOf(':')) bare = text.slice(0, colon)
  }
  const address = plainAddress(bare)
  return isIP(address) === 0 ? '' : address
}

/**
 * The first address from the right that is no trusted proxy; the leftmost valid one when all are. `peer` is
 * a trusted proxy. X-Forwarded-* stands above Forwarded: a proxy that writes the one may pass the other on.
 */
export function claimedOrigin(head: RequestHead, peer: string, trusts: (address: string) => boolean): Origin {
  const origin: Origin = { address: peer, scheme: 'http' }
  if (head.forwardedFor !== '') walkForwardedFor(head.forwardedFor, trusts, origin)
  else if (head.forwarded !== '') walkForwarded(head.forwarded, trusts, origin)
  if (head.forwardedProto !== '') origin.scheme = schemeOf(head.forwardedProto)
  return origin
}

function schemeOf(text: string): Scheme {
  return text.toLowerCase() === 'https' ? 'https' : 'http'
}

function walkForwardedFor(list: string, trusts: (address: string) => boolean, into: Origin): void {
  for (let end = list.length; end > 0; ) {
    const comma = list.lastIndexOf(',', end - 1)
    const address = claimedAddress(list.slice(comma + 1, end).trim())
    if (address === '') return
    into.address = address
    if (!trusts(address)) return
    end = comma
  }
}

/** RFC 7239 §4: each proxy has appended an element, so that only those from the right can be believed. */
function walkForwarded(list: string, trusts: (address: string) => boolean, into: Origin): void {
  for (let end = list.length; end > 0; ) {
    const comma = elementBorder(list, end)
    const text = list.slice(comma + 1, end).trim()
    end = comma
    // RFC 9110 §5.6.1: empty elements of a list mean nothing.
    if (text === '') continue
    const element = readElement(text)
    if (element === null) return
    // The proxy that says this is trusted, even when it hides or does not know the node before it.
    if (element.proto !== '') into.scheme = schemeOf(element.proto)
    const address = claimedAddress(element.node)
    if (address === '') return
    into.address = address
    if (!trusts(address)) return
  }
}

/** From the right, so that a quote left open by whoever wrote the first elements spoils only those. */
function elementBorder(list: string, end: number): number {
  let quoted = false
  for (let i = end - 1; i >= 0; i--) {
    const char = list.charCodeAt(i)
    if (char === 0x22) quoted = !quoted
    else if (char === 0x2c && !quoted) return i
  }
  return -1
}

/** RFC 7239 §4: `token=value`; no value that matters here needs a backslash. */
const pairForm = /\s*([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w-]+)|"([^"\\]*)")\s*(?:;|$)/y

/** `for` and `proto` of one element; null when it is malformed or says one of them twice. */
function readElement(text: string): { node: string; proto: string } | null {
  const element = { node: '', proto: '' }
  pairForm.lastIndex = 0
  while (pairForm.lastIndex < text.length) {
    const pair = pairForm.exec(text)
    if (pair === null) return null
    const name = (pair[1] as string).toLowerCase()
    const key = name === 'for' ? 'node' : name === 'proto' ? 'proto' : null
    if (key === null) continue
    if (element[key] !== '') return null
    element[key] = pair[2] ?? (pair[3] as string)
  }
  return element
}

const plainValue = /^[!#$%&'*+.^_`|~\w-]+$/

/** RFC 7239 §6: the gateway's own element; `host` holds neither quotes nor backslashes. */
export function forwardedElement(peer: string, host: string): string {
  const node = isIP(peer) === 6 ? `"[${peer}]"` : peer
  if (host === '') return `for=${node};proto=http`
  return `for=${node};proto=http;host=${plainValue.test(host) ? host : `"${host}"`}`
}
