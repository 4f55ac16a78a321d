/** Formats of texts: each says what is wrong, or null. */
import { isIP } from 'node:net'

type Check = (text: string) => string | null

/** RFC 4632 §3.1, RFC 4291 §2.3; a single address stands for itself. */
function checkCidr(text: string): string | null {
  const rule = 'must be an address or a network like 10.0.0.0/8'
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return rule
  if (prefix === undefined) return null
  const bits = version === 4 ? 32 : 128
  if (!/^\d{1,3}$/.test(prefix)) return rule
  return Number(prefix) <= bits ? null : `must have a prefix length of at most ${bits}`
}

/** A URL without anything that could carry a secret or be lost on the way; null rule when fine. */
export function checkHttpUrl(text: string): string | null {
  if (!/^https?:\/\//i.test(text)) return 'must be an absolute http or https URL'
  if (/[\s\\]/.test(text)) return 'must be a URL without spaces and backslashes'
  const url = URL.parse(text)
  if (url === null) return 'must be a valid URL'
  if (url.username !== '' || url.password !== '')
    return 'must not hold credentials, use headers of the connection'
  if (url.hash !== '' || text.includes('#')) return 'must not have a fragment'
  return null
}

function checkBaseUrl(text: string): string | null {
  return checkHttpUrl(text) ?? (text.includes('?') ? 'must not have a query' : null)
}

function checkProxyUrl(text: string): string | null {
  const rule = checkHttpUrl(text)
  if (rule !== null) return rule
  const url = new URL(text)
  if (url.protocol !== 'http:') return 'must be an http URL'
  return url.pathname === '/' && !text.includes('?') ? null : 'must be scheme, host and port alone'
}

/** What fits `sun_path` of unix(7), less the final zero. */
const SOCKET_PATH_BYTES_MAX = 107

function checkUpstreamUrl(text: string): string | null {
  if (/^unix:/i.test(text)) {
    const bytes = Buffer.byteLength(text) - 'unix:'.length
    if (!text.startsWith('/', 5) || text.includes('\0')) return 'must be an absolute path after unix:'
    return bytes <= SOCKET_PATH_BYTES_MAX ? null : `must be a path of at most ${SOCKET_PATH_BYTES_MAX} bytes`
  }
  if (!/^https?:\/\//i.test(text)) return 'must be a URL like http://127.0.0.1:3000 or unix:/run/api.sock'
  const rule = checkHttpUrl(text)
  if (rule !== null) return rule.replace(', use headers of the connection', '')
  const url = new URL(text)
  if (url.port === '0') return 'must have a port of at least 1'
  return url.pathname === '/' && !text.includes('?') ? null : 'must be scheme, host and port alone'
}

/** RFC 1123 §2.1 names, addresses, and a wildcard for the leftmost labels. */
function checkHostPattern(text: string): string | null {
  const rule = 'must be a host name like api.example.com, or *.example.com'
  if (text.length > 255) return 'must be at most 255 characters'
  if (/:\d+$/.test(text) && isIP(text) === 0 && !text.endsWith(']')) return 'must be a host without a port'
  if (/^\[.*\]$/.test(text)) return isIP(text.slice(1, -1)) === 6 ? null : rule
  if (isIP(text) === 6) return 'must be an IPv6 address in brackets'
  const name = text.startsWith('*.') ? text.slice(2) : text
  const labels = name.replace(/\.$/, '').split('.')
  return labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label)) ? null : rule
}

function checkTimeZone(text: string): string | null {
  // The default: asking costs the zone data of ICU, 15 ms of every start.
  if (text === 'UTC') return null
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return null
  } catch {
    return 'must be an IANA time zone like Europe/Berlin'
  }
}

/** A word, or a time with its zone (RFC 3339 §5.6). */
function checkStreamStart(text: string): string | null {
  if (text === 'now' || text === 'beginning') return null
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text)
  if (isTime && !Number.isNaN(Date.parse(text))) return null
  return 'must be now, beginning or a time like 2026-11-21T08:00:00Z'
}

function checkHost(text: string): string | null {
  if (isIP(text) !== 0) return null
  if (text.startsWith('*') || text.startsWith('[')) return 'must be a host name or an address'
  return checkHostPattern(text)
}

/** RFC 5321 §4.5.3.1, without quoted names and addresses in brackets: nobody has them. */
function checkMailAddress(text: string): string | null {
  const rule = 'must be a mail address like ops@example.com'
  if (text.length > 254) return 'must be at most 254 characters'
  const [local = '', domain = '', ...rest] = text.split('@')
  if (rest.length > 0 || local.length > 64) return rule
  const isLocal = /^[^\s"(),:;<>[\\\]\u0000-\u001f\u007f]+$/.test(local)
  return isLocal && !domain.startsWith('*') && checkHostPattern(domain) === null ? null : rule
}

export const formats: Readonly<Record<string, Check>> = Object.freeze({
  cidr: checkCidr,
  'http-url': checkHttpUrl,
  'base-url': checkBaseUrl,
  'proxy-url': checkProxyUrl,
  'upstream-url': checkUpstreamUrl,
  'host-pattern': checkHostPattern,
  'time-zone': checkTimeZone,
  'stream-start': checkStreamStart,
  host: checkHost,
  'mail-address': checkMailAddress,
})
