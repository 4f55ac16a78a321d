/** Certificates of a configuration, and when they end. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'

export interface ConfiguredCertificate {
  /** Like `connections[salt].tls.cert_file`. */
  readonly place: string
  readonly file: string
}

/** Every `cert_file` of a configuration, wherever it stands. */
export function certificatesOf(value: unknown, place = ''): ConfiguredCertificate[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value))
    return value.flatMap((one: unknown, at) => certificatesOf(one, `${place}[${nameOf(one) ?? at}]`))
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = place === '' ? key : `${place}.${key}`
    return key === 'cert_file' && typeof inner === 'string'
      ? [{ place: path, file: inner }]
      : certificatesOf(inner, path)
  })
}

function nameOf(value: unknown): string | undefined {
  const name = (value as { name?: unknown } | null)?.name
  return typeof name === 'string' ? name : undefined
}

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** When the first certificate of a PEM file ends, Unix milliseconds; null when none can be read. */
export async function endOf(file: string): Promise<number | null> {
  try {
    const found = (await readFile(file, 'utf8')).match(pem) ?? []
    const ends = found.map((text) => Date.parse(new X509Certificate(text).validTo))
    return ends.length === 0 ? null : Math.min(...ends)
  } catch {
    return null
  }
}
