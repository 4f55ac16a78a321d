/** Lists of header fields, flat: name, value, name, value; what both directions do with them. */

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

/** As they are written; names and values come from a strict parser, or are the gateway's own. */
export function fieldLines(list: readonly string[]): string {
  let lines = ''
  for (let i = 0; i < list.length; i += 2) lines += `${list[i] as string}: ${list[i + 1] as string}\r\n`
  return lines
}
