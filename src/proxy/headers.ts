/** Field lines, as they stand on the wire, and what both directions do with them. */
import { COLON } from './syntax.ts'

/** Fields that a Connection header may not take away: without them the message would have other borders. */
const framing = new Set(['close', 'keep-alive', 'content-length', 'transfer-encoding', 'host', ''])

/** What nearly every message says. */
const plainConnection = /^(?:keep-alive|close)$/i

/** The lines without those of the names, in small letters, that are to go. */
export function dropLines(lines: string, goes: (lower: string) => boolean): string {
  let kept = ''
  for (let at = 0; at < lines.length; ) {
    const next = lineEnd(lines, at)
    if (!goes(lines.slice(at, lines.indexOf(':', at)).toLowerCase())) kept += lines.slice(at, next)
    at = next
  }
  return kept
}

/**
 * RFC 9110 §7.6.1: fields that the sender's Connection header names are for this hop only. Runs on the
 * sender's own lines alone, before the gateway adds its own: otherwise a client could take those away
 * (trap C9).
 */
export function dropNominated(lines: string, connection: string): string {
  if (connection.length <= 10 && plainConnection.test(connection)) return lines
  const names = new Set<string>()
  for (const option of connection.split(',')) {
    const name = option.trim().toLowerCase()
    if (!framing.has(name)) names.add(name)
  }
  return names.size === 0 ? lines : dropLines(lines, (name) => names.has(name))
}

/** Where the first line of a field begins, by its lower-case name; -1 = there is none. */
export function lineOf(lines: string, lower: string): number {
  for (let at = 0; at < lines.length; at = lineEnd(lines, at)) {
    const colon = at + lower.length
    if (lines.charCodeAt(colon) === COLON && lines.slice(at, colon).toLowerCase() === lower) return at
  }
  return -1
}

/** Where the line ends that begins there: behind its CRLF. */
export function lineEnd(lines: string, at: number): number {
  return lines.indexOf('\r\n', at) + 2
}

/** The value of a field, by its lower-case name; empty when it is missing. */
export function fieldValue(lines: string, lower: string): string {
  const at = lineOf(lines, lower)
  return at === -1 ? '' : lines.slice(at + lower.length + 1, lineEnd(lines, at)).trim()
}

/** What proxies say of the client besides: X-Forwarded-Port, -Ssl, -Prefix …, X-Real-IP. */
export function claims(name: string): boolean {
  if ((name.charCodeAt(0) | 0x20) !== 0x78) return false
  if (name.length === 9) return name.toLowerCase() === 'x-real-ip'
  return name.charCodeAt(11) === 0x2d && name.slice(0, 11).toLowerCase() === 'x-forwarded'
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
  // What only the gateway may say.
  'forwarded',
  'via',
  'x-request-id',
])

/** Trailers that may go on. */
export function allowedTrailers(trailers: readonly string[]): string[] {
  const allowed: string[] = []
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string
    if (forbiddenTrailers.has(name.toLowerCase()) || claims(name)) continue
    allowed.push(name, trailers[i + 1] as string)
  }
  return allowed
}

/** A flat list (name, value) as it is written; both come from a strict parser, or are the gateway’s own. */
export function fieldLines(list: readonly string[]): string {
  let lines = ''
  for (let i = 0; i < list.length; i += 2) lines += `${list[i] as string}: ${list[i + 1] as string}\r\n`
  return lines
}
