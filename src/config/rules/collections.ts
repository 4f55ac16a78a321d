/** Rules about collections: every request belongs to exactly one, and its upstreams are what they seem. */
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Draft, Entry } from '../draft.ts'
import { pointerTo } from '../places.ts'
import type { CollectionConfig } from '../schema.ts'
import type { ClientTlsConfig } from '../schema-tls.ts'
import { checkTls, tlsFiles } from './connections.ts'
import { isWildcard } from './listen.ts'

export async function checkCollections(draft: Draft): Promise<void> {
  for (const entry of draft.collections()) {
    prefix(draft, entry)
    hosts(draft, entry)
    upstreams(draft, entry)
    if (draft.sound(`${entry.pointer}/tls`)) await tls(draft, entry)
  }
  overlaps(draft)
}

/** `/orders/` and `/orders` are the same prefix: both end on a segment border. */
export function normalPrefix(prefix: string): string {
  return prefix.length > 1 && prefix.endsWith('/') ? prefix.slice(0, -1) : prefix
}

/** Names of hosts are compared without case and without the root's dot (RFC 3986 §3.2.2). */
export function normalHost(host: string): string {
  return host.toLowerCase().replace(/\.$/, '')
}

const UNIX = 'unix:'

/** One spelling of each upstream: the origin of a URL, or the path of a socket. */
export function normalUpstream(url: string): string {
  return /^unix:/i.test(url) ? UNIX + url.slice(UNIX.length) : new URL(url).origin
}

function prefix(draft: Draft, { value, pointer }: Entry<CollectionConfig>): void {
  const at = `${pointer}/prefix`
  if (!draft.sound(at)) return
  const rule = prefixRule(value.prefix)
  if (rule !== null) draft.problem(at, `${rule}, got ${draft.shown(at, value.prefix)}`)
}

/** Requests are matched on their path as it was sent: a prefix that another spelling escapes is refused. */
function prefixRule(prefix: string): string | null {
  if (prefix.includes('//')) return 'must be a path in normal form, without //'
  if (/\/\.{1,2}(\/|$)/.test(prefix)) return 'must be a path in normal form, without . and .. segments'
  if (/%(2f|5c|2e|00)/i.test(prefix)) return 'must be a path in normal form, without encoded slashes and dots'
  if (/%(?![0-9a-f]{2})/i.test(prefix)) return 'must be a path with two hexadecimal digits after every %'
  // RFC 3986 §3.3: what a path segment may hold.
  if (/[^\w\-.~!$&'()*+,;=:@%/]/.test(prefix))
    return 'must be a path whose other characters are percent-encoded'
  return null
}

function hosts(draft: Draft, { value, pointer }: Entry<CollectionConfig>): void {
  const at = `${pointer}/hosts`
  if (!draft.sound(at)) return
  const seen = new Set<string>()
  for (const [index, host] of value.hosts.entries()) {
    const here = pointerTo(at, index)
    if (seen.has(normalHost(host))) {
      draft.problem(here, `must not stand twice in the list, got ${draft.shown(here, host)} again`)
    }
    seen.add(normalHost(host))
  }
}

function overlaps(draft: Draft): void {
  const taken = new Map<string, string>()
  for (const { value, pointer } of draft.collections()) {
    if (!draft.sound(`${pointer}/prefix`, `${pointer}/hosts`)) continue
    const patterns = value.hosts.length === 0 ? ['any host'] : [...new Set(value.hosts.map(normalHost))]
    for (const pattern of patterns) {
      const place = `${pattern} ${normalPrefix(value.prefix)}`
      const owner = taken.get(place)
      if (owner !== undefined) {
        const key = draft.isSet(`${pointer}/prefix`) ? `${pointer}/prefix` : pointer
        const what = `prefix ${draft.shown(`${pointer}/prefix`, value.prefix)} for ${pattern}`
        draft.problem(key, `must not overlap, got ${what}, which collection ${owner} has`)
        break
      }
      taken.set(place, value.name)
    }
  }
}

function upstreams(draft: Draft, { value, pointer }: Entry<CollectionConfig>): void {
  if (!draft.sound(`${pointer}/upstreams`)) return
  const seen = new Set<string>()
  for (const [at, upstream] of value.upstreams.entries()) {
    const here = `${pointer}/upstreams/${at}/url`
    const url = normalUpstream(upstream.url)
    if (seen.has(url)) {
      draft.problem(here, `must be unique in a collection, got ${draft.shown(here, upstream.url)} again`)
    }
    seen.add(url)
    if (!url.startsWith(UNIX) && isGatewayItself(draft, new URL(url))) {
      draft.problem(here, `must not be the gateway itself, got ${draft.shown(here, upstream.url)}`)
    }
  }
}

async function tls(draft: Draft, { value, pointer }: Entry<CollectionConfig>): Promise<void> {
  const at = `${pointer}/tls`
  await checkTls(draft, value.tls, at)
  if (value.tls === undefined || !draft.sound(`${pointer}/upstreams`)) return
  if (!value.upstreams.some(({ url }) => /^https:/i.test(url))) {
    draft.warn(at, 'changes nothing, no upstream of this collection is https')
  }
  const unusable = await pemRule(value.tls, draft.folder)
  if (unusable !== null) draft.problem(at, unusable)
}

/** Files that cannot be read are told of already. */
async function pemRule(tls: ClientTlsConfig, folder: string): Promise<string | null> {
  const [ca, cert, key] = await Promise.all(
    tlsFiles.map(async (name) => {
      const file = tls[name]
      return file === undefined ? undefined : readFile(resolve(folder, file)).catch(() => undefined)
    }),
  )
  if (ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')) {
    return 'must have a ca_file that holds certificates in PEM form'
  }
  if ((cert === undefined) !== (key === undefined)) return null
  try {
    createSecureContext({ ca, cert, key })
    return null
  } catch (error) {
    const { code = 'an error' } = error as NodeJS.ErrnoException
    return `must have PEM files that belong together, got ${code}`
  }
}

/** An upstream on the listener's own port would be an endless loop. */
function isGatewayItself(draft: Draft, url: URL): boolean {
  if (!draft.sound('/listen/host', '/listen/port')) return false
  const { host, port } = draft.file.listen
  const urlPort = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  if (port === 0 || urlPort !== port) return false
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const loopback = name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
  return name === host || isWildcard(name) || (loopback && (isWildcard(host) || host === 'localhost'))
}
