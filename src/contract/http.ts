/**
 * The HTTP client that sinks are given: one pool of sockets per origin, bound to the connection of a mirror.
 * It writes what the connection says, reads a bounded answer, and turns everything else into an
 * `OutcomeError`.
 */
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import { gzip, zstdCompress } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { answerError } from './answer.ts'
import { batchBuffers } from './buffers.ts'
import { OutcomeError } from './errors.ts'
import { Sockets } from './http-sockets.ts'
import { limits } from './limits.ts'
import { nodeHttp } from './node-http.ts'
import type { Batch, HttpAnswer, SinkHttp } from './plugin.ts'
import { scrubber } from './scrub.ts'
import type { Target } from './tasks.ts'

type PostRequest = Parameters<SinkHttp['post']>[1]

/**
 * Fields that frame the message: the host writes them itself, a connection that sets one would break
 * delivery.
 */
const framingHeaders = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export interface Acknowledgement {
  readonly status: number
  /** Whether no byte of the batch waits in a socket any more: a collector may answer before it has read. */
  readonly sent: boolean
}

/** Of one target. Most have one or two, which need not be read again for each batch. */
const DESTINATIONS_KEPT = 8

/** What acknowledged a batch, as long as somebody holds the batch. */
const answered = new WeakMap<Batch, Acknowledgement>()

/** How an HTTP destination accepted a batch; undefined for other destinations. */
export function acknowledgementOf(batch: Batch): Acknowledgement | undefined {
  return answered.get(batch)
}

const compressors = { gzip: promisify(gzip), zstd: promisify(zstdCompress) }

/**
 * Opens the client of one target; sockets are opened on demand and closed by `close`.
 * Throws an `OutcomeError` of kind `refused` when the connection cannot work as configured.
 */
export function createSinkHttp(target: Target): { readonly http: SinkHttp; close(): Promise<void> } {
  const { connection } = target
  assertUrls(connection)
  assertHeaders(connection.headers, connection.proxyUrl !== null)
  const sockets = new Sockets(connection, connection.sockets)
  // An SDK sends the files of a batch side by side; what only posts batches opens none of these.
  let many: Sockets | null = null
  const scrub = scrubber(target)
  const destinations = new Map<string, URL>()
  const destinationOf = (url: string): URL => {
    const known = destinations.get(url)
    if (known !== undefined) return known
    const destination = resolveDestination(connection.baseUrl, url)
    if (destinations.size < DESTINATIONS_KEPT) destinations.set(url, destination)
    return destination
  }
  return {
    http: {
      async post(url, request, signal) {
        const destination = destinationOf(url)
        const body = await compress(request.body, target.compression)
        const options: Dispatcher.DispatchOptions = {
          origin: destination.origin,
          path: destination.pathname + destination.search,
          method: 'POST',
          headers: headerList(target, request),
          body,
          ...serverName(connection, destination),
        }
        const answer = await sockets.send(options, destination.host, signal)
        const error = answerError(answer, scrub)
        if (error !== null) throw error
        if (request.batch !== undefined) {
          answered.set(request.batch, { status: answer.status, sent: sockets.allSent() })
        }
        return { status: answer.status, text: answer.body.toString() } satisfies HttpAnswer
      },
      async send({ url, method, headers, body }, signal) {
        const destination = new URL(url)
        const options = {
          origin: destination.origin,
          path: destination.pathname + destination.search,
          method: method as Dispatcher.HttpMethod,
          headers,
          body,
          ...serverName(connection, destination),
        }
        many ??= new Sockets(connection, connection.sockets * limits.uploads_per_batch_max)
        try {
          return await many.send(options, destination.host, signal)
        } finally {
          // It may be a part of a batch, which counts as sent when the last of its parts was answered.
          if (Buffer.isBuffer(body) && !many.allSent()) batchBuffers.hold(body)
        }
      },
    },
    close: async () => {
      await Promise.all([sockets.close(), many?.close()])
    },
  }
}

/**
 * Where a post goes: an absolute URL, or a path under the connection's base URL. A destination outside the
 * base URL is refused, because the connection's secrets travel with it.
 */
export function resolveDestination(baseUrl: string | null, url: string): URL {
  const absolute = /^https?:\/\//i.test(url)
  if (!absolute && baseUrl === null)
    throw new OutcomeError('refused', 'the URL is a path, and the connection has no base_url')
  const joined =
    absolute || baseUrl === null ? url : `${baseUrl.replace(/(?<!\/)\/+$/, '')}/${url.replace(/^\/+/, '')}`
  if (!URL.canParse(joined)) throw new OutcomeError('refused', 'the URL is not valid')
  const destination = new URL(joined)
  if (baseUrl === null) return destination
  const base = new URL(baseUrl)
  const folder = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`
  const inside = destination.pathname === base.pathname || destination.pathname.startsWith(folder)
  if (destination.origin === base.origin && inside) return destination
  throw new OutcomeError('refused', 'the URL is outside the base_url of its connection')
}

/** Names and values as they go on the wire; a connection header replaces a field of the same name. */
function headerList(target: Target, request: PostRequest): string[] {
  const { connection, compression } = target
  const fields = new Map<string, [name: string, value: string]>()
  const set = (name: string, value: string) => fields.set(name.toLowerCase(), [name, value])
  set('user-agent', 'mirrorgate')
  set('accept', '*/*')
  set('content-type', 'application/json')
  for (const [name, value] of Object.entries(request.headers ?? {})) set(name, value)
  if (compression !== 'none') set('content-encoding', compression)
  if (request.batch !== undefined) {
    set('x-mirrorgate-batch-id', request.batch.id)
    set('x-mirrorgate-items', String(request.batch.items))
  }
  for (const [name, value] of Object.entries(connection.headers)) set(name, value)
  const list: string[] = []
  for (const [lower, [name, value]] of fields) list.push(connection.caseSensitive ? name : lower, value)
  return list
}

async function compress(body: Buffer, compression: Target['compression']): Promise<Buffer> {
  return compression === 'none' ? body : compressors[compression](body)
}

/** Checked when the file is read, unless they hold secrets. */
function assertUrls({ baseUrl, proxyUrl }: Target['connection']): void {
  const urls = { base_url: baseUrl, proxy_url: proxyUrl }
  for (const [key, url] of Object.entries(urls)) {
    if (url === null || (/^https?:\/\//i.test(url) && URL.canParse(url))) continue
    throw new OutcomeError('refused', `the ${key} of the connection must be an absolute http or https URL`)
  }
}

function assertHeaders(headers: Readonly<Record<string, string>>, proxied: boolean): void {
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (framingHeaders.has(lower))
      throw new OutcomeError('refused', `connection header ${name} is written by the gateway`)
    if (proxied && lower === 'proxy-authorization') {
      throw new OutcomeError('refused', 'credentials of a proxy belong into proxy_url')
    }
    try {
      nodeHttp().validateHeaderName(name)
      nodeHttp().validateHeaderValue(name, value)
    } catch {
      throw new OutcomeError(
        'refused',
        `connection header ${JSON.stringify(name)} holds a character that HTTP forbids`,
      )
    }
  }
}

/**
 * RFC 6066 §3: the server name is never an address. Set always, or undici would take it from a Host header.
 */
function serverName({ tls }: Target['connection'], destination: URL): { servername?: string } {
  if (destination.protocol !== 'https:') return {}
  if (tls?.server_name !== undefined) return { servername: tls.server_name }
  const host = destination.hostname.replace(/^\[|\]$/g, '')
  return isIP(host) === 0 ? { servername: host } : {}
}
