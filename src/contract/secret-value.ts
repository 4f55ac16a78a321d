/** How a value is taken out of what a place of secrets holds: as text, whole or one key of a JSON object. */
import { SecretError, type SecretName } from './secrets.ts'

/** RFC 3629: bytes that are no UTF-8 are not guessed at, since a wrong character is a wrong password. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bytes of a secret as text; a `SecretError` when they are none. */
export function secretText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new SecretError('not_found', 'the secret must be UTF-8 text, got other bytes')
  }
}

/**
 * What a name selects in the text of a secret: all of it, or one key of the JSON object that it is. Throws a
 * `SecretError` of kind `not_found`; no message quotes the text.
 */
export function secretValue(text: string, { key }: SecretName): string {
  if (key === null) return text
  const fields = secretObject(text)
  if (fields === null)
    throw new SecretError('not_found', `the secret must be a JSON object to have the key "${key}"`)
  const value = Object.hasOwn(fields, key) ? fields[key] : null
  if (value === null || value === undefined)
    throw new SecretError('not_found', `the secret has no key "${key}"`)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** The JSON object in a text, its numbers kept as they are written; null when it holds none. */
export function secretObject(text: string): Record<string, unknown> | null {
  try {
    // Numbers as they are written: a long one, rounded, would be another password.
    const value: unknown = JSON.parse(text, (_key, inner: unknown, about?: { source?: string }) =>
      typeof inner === 'number' && about?.source !== undefined ? rawNumber(about.source) : inner,
    )
    const object = typeof value === 'object' && value !== null && !Array.isArray(value)
    return object ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

/** ES2026 JSON.rawJSON, which the compiler's library does not know yet: written out unchanged. */
const rawNumber = (JSON as unknown as { rawJSON(source: string): unknown }).rawJSON
