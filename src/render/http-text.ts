/** What formats of exchanges have in common: a version, a reason, and the pairs of a query or a cookie. */
import { reasonPhrase } from '../contract/node-http.ts'

export interface NamedValue {
  readonly name: string
  readonly value: string
}

/** `1.1` → `HTTP/1.1`. */
export function httpVersion(version: string): string {
  return version === '' ? 'HTTP/1.1' : `HTTP/${version}`
}

/** The reason phrase that belongs to a status; upstreams' own ones are not kept (RFC 9112 §4: no meaning). */
export function statusText(status: number | null): string {
  return status === null ? '' : reasonPhrase(status)
}

/** `a=1&b` as pairs, decoded where they can be. */
export function queryPairs(query: string): NamedValue[] {
  if (query === '') return []
  return query.split('&').map((pair) => {
    const equals = pair.indexOf('=')
    const [name, value] = equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    return { name: decoded(name), value: decoded(value) }
  })
}

/** `a=1; b=2` (RFC 6265 §4.2.1) as pairs; a value that was redacted as a whole has none. */
export function cookiePairs(header: string): NamedValue[] {
  return header.split(';').flatMap((pair) => {
    const equals = pair.indexOf('=')
    return equals === -1 ? [] : [{ name: pair.slice(0, equals).trim(), value: pair.slice(equals + 1).trim() }]
  })
}

function decoded(text: string): string {
  const spaced = text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}
