/** Rules about connections: headers that can be sent as they are, and files that can be read. */
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Draft, Entry } from '../draft.ts'
import { pointerTo } from '../places.ts'
import type { ConnectionConfig } from '../schema.ts'
import type { ClientTlsConfig } from '../schema-tls.ts'
import { plural } from '../wording.ts'

/** Fields of one connection or of the framing (RFC 9110 §7.6.1, §8.6), and those that deliveries set. */
const ownHeaders = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['content-length', 'content-encoding', 'content-type', 'expect'],
  ...['x-mirrorgate-batch-id', 'x-mirrorgate-items'],
])

/** RFC 9110 §5.6.2. */
const tokenPattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const credentialName = /auth|token|secret|passw|api-?key|cookie|signature|credential/i

export const tlsFiles = ['ca_file', 'cert_file', 'key_file'] as const

export async function checkConnections(draft: Draft): Promise<void> {
  for (const entry of draft.connections()) {
    if (draft.usable(`${entry.pointer}/headers`)) checkHeaders(draft, entry)
    if (draft.sound(`${entry.pointer}/tls`)) await checkTls(draft, entry.value.tls, `${entry.pointer}/tls`)
  }
}

/** Headers that go out as they are written. */
export function checkHeaders(
  draft: Draft,
  { value, pointer }: Entry<Pick<ConnectionConfig, 'headers'>>,
): void {
  const seen = new Set<string>()
  for (const [name, content] of Object.entries(value.headers)) {
    const at = pointerTo(`${pointer}/headers`, name)
    if (!tokenPattern.test(name)) {
      // Such a name may be a whole header line with its secret: neither it nor its path is shown.
      draft.problemAt(
        at,
        `${pointer}/headers`,
        `names must be HTTP header names, got ${plural(name.length, 'character')} of other text`,
      )
      continue
    }
    const lower = name.toLowerCase()
    if (ownHeaders.has(lower)) draft.problemAtKey(at, 'must be left out, deliveries set it themselves')
    else if (seen.has(lower)) draft.problemAtKey(at, 'must stand only once, whatever its case')
    seen.add(lower)
    if (!draft.sound(at)) continue
    const rule = headerValueRule(content)
    if (rule !== null) draft.problem(at, `${rule}, got ${plural(content.length, 'character')}`)
    if (credentialName.test(name) && content !== '' && draft.isClear(at)) {
      draft.warn(at, 'holds a credential in clear text, use ${env:NAME}')
    }
  }
}

/** RFC 9110 §5.5: visible characters, spaces and tabs between them; other bytes as Latin-1. */
function headerValueRule(value: string): string | null {
  if (/[\r\n]/.test(value)) return 'must not hold line breaks'
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) return 'must not hold control characters'
  if (/[^\u0000-\u00ff]/.test(value)) return 'must hold only characters that HTTP can carry (ISO 8859-1)'
  return value === value.trim() ? null : 'must not begin or end with a space'
}

/** TLS options towards a server. */
export async function checkTls(
  draft: Draft,
  options: ClientTlsConfig | undefined,
  at: string,
): Promise<void> {
  if (options === undefined) return
  if (!options.verify) draft.warn(`${at}/verify`, 'certificates are not verified: for tests only')
  for (const [key, other] of [
    ['cert_file', 'key_file'],
    ['key_file', 'cert_file'],
  ] as const) {
    if (options[key] !== undefined && options[other] === undefined) {
      draft.problem(`${at}/${key}`, `must stand together with ${other}`)
    }
  }
  for (const key of tlsFiles) {
    const file = options[key]
    if (file !== undefined) await checkReadable(draft, `${at}/${key}`, file)
  }
}

export async function checkReadable(draft: Draft, at: string, file: string): Promise<void> {
  const readable = await access(resolve(draft.folder, file), constants.R_OK).then(
    () => true,
    () => false,
  )
  if (!readable) draft.problem(at, `must be a file that can be read, got ${draft.shown(at, file)}`)
}
