/** Takes the secrets of a target out of texts that people read: errors and kept answers. */
import type { Target } from './tasks.ts'

/** Shorter values are no secrets, and replacing them would make texts unreadable. */
const secretCharsMin = 4

/** A function that replaces every secret of a target by `***`. */
export function scrubber(
  target: Pick<Target, 'connection' | 'options' | 'secretOptions'>,
): (text: string) => string {
  const secrets = new Set<string>()
  for (const value of Object.values(target.connection.headers)) addHeader(secrets, value)
  const { proxyUrl } = target.connection
  if (proxyUrl !== null && URL.canParse(proxyUrl)) secrets.add(unescaped(new URL(proxyUrl).password))
  for (const value of target.connection.secretValues) addValue(secrets, value)
  for (const key of target.secretOptions) {
    const value = target.options[key]
    if (typeof value === 'string') addValue(secrets, value)
  }
  // Longest first: a value before the token that is part of it.
  const found = [...secrets]
    .filter((secret) => secret.length >= secretCharsMin)
    .sort((a, b) => b.length - a.length)
  return (text) => found.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
}

/** The value itself; of a URL also its parts, since errors name hosts; and as URLs and JSON write it. */
function addValue(secrets: Set<string>, value: string): void {
  secrets.add(value).add(encodeURIComponent(value.toWellFormed())).add(JSON.stringify(value).slice(1, -1))
  // Host names are written in lower case (RFC 3986 §6.2.2.1).
  secrets.add(value.toLowerCase())
  const url = URL.parse(value)
  if (url === null) return
  secrets.add(url.host).add(url.hostname).add(url.pathname).add(url.password).add(unescaped(url.password))
}

/** RFC 3986 §2.4; a text that is no valid encoding stands for itself. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The value itself; `Scheme token` also without the scheme; Basic also decoded (RFC 7617 §2). */
function addHeader(secrets: Set<string>, value: string): void {
  secrets.add(value)
  const [scheme, token] = value.split(/ +(.*)/s)
  if (token === undefined || token === '') return
  secrets.add(token)
  if (scheme?.toLowerCase() !== 'basic') return
  const decoded = Buffer.from(token, 'base64').toString()
  secrets.add(decoded)
  secrets.add(decoded.slice(decoded.indexOf(':') + 1))
}
