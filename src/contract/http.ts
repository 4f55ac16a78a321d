/**
 * The HTTP client that sinks are given: one pool of sockets per origin, bound to the connection of a mirror.
 * It writes what the connection says, reads a bounded answer, and turns everything else into an
 * `OutcomeError`.
 */
import { readFileSync } from 'node:fs'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { gzip, zstdCompress } from 'node:zlib'
import { Agent, buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici'
import { type Answer, answerError, transportError } from './answer.ts'
import { OutcomeError } from './errors.ts'
import { limits } from './limits.ts'
import type { Batch, HttpAnswer, SinkHttp } from './plugin.ts'
import { scrubber } from './scrub.ts'
import type { Target } from './tasks.ts'

type Controller = Dispatcher.DispatchController
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
  const sockets = new Sockets(connection)
  const scrub = scrubber(target)
  return {
    http: {
      async post(url, request, signal) {
        const destination = resolveDestination(connection.baseUrl, url)
        const body = await compress(request.body, target.compression)
        const options: Dispatcher.DispatchOptions = {
          origin: destination.origin,
          path: destination.pathname + destination.search,
          method: 'POST',
          headers: headerList(target, request),
          body,
          ...(destination.protocol === 'https:' && {
            servername: serverName(connection.tls?.server_name, destination),
          }),
        }
        const answer = await sockets.send(options, destination.host, signal)
        const error = answerError(answer, scrub)
        if (error !== null) throw error
        if (request.batch !== undefined) {
          answered.set(request.batch, { status: answer.status, sent: sockets.allSent() })
        }
        return { status: answer.status, text: answer.body.toString() } satisfies HttpAnswer
      },
    },
    close: () => sockets.close(),
  }
}

/** The undici dispatcher of one connection, and the one retry that a stale socket is worth. */
class Sockets {
  readonly #dispatcher: Dispatcher
  /** Connections made so far; an error remembers the number of its connection. */
  #connections = 0
  readonly #connectionOf = new WeakMap<Error, number>()
  /** Those that are open; null behind a proxy, where they are not seen. */
  readonly #open: Set<Socket> | null
  #closed: Promise<void> | null = null

  constructor(connection: Target['connection']) {
    const tls = tlsOptions(connection.tls)
    // The caller's signal bounds every attempt, so undici's own clocks are off. HTTP/2 would lose header
    // case.
    const options = { connections: connection.sockets, headersTimeout: 0, bodyTimeout: 0, allowH2: false }
    const factory = (origin: string | URL, pool: object) => new Pool(origin, { ...pool, ...options })
    this.#open = connection.proxyUrl === null ? new Set() : null
    if (connection.proxyUrl !== null) {
      this.#dispatcher = new ProxyAgent({ uri: connection.proxyUrl, requestTls: tls, ...options, factory })
      return
    }
    const connect = buildConnector({ ...tls, allowH2: false })
    this.#dispatcher = new Agent({
      ...options,
      factory,
      connect: (request, done) =>
        connect(request, (...made) => {
          const number = ++this.#connections
          const socket = made[1]
          socket?.on('error', (error) => this.#connectionOf.set(error, number))
          if (socket) this.#watch(socket)
          done(...made)
        }),
    })
  }

  /**
   * A kept-alive socket that the collector closed while it was idle fails before any byte of an answer: that
   * says nothing about the collector, so it is tried again at once (RFC 9112 §9.3.1; the batch id makes a
   * repeat harmless).
   */
  async send(options: Dispatcher.DispatchOptions, host: string, signal: AbortSignal): Promise<Answer> {
    const before = this.#connections
    const first = new AnswerReader()
    const answer = await first.read(this.#dispatcher, options, signal)
    if (!(answer instanceof Error)) return answer
    const stale = (this.#connectionOf.get(answer) ?? Number.POSITIVE_INFINITY) <= before
    if (!stale || signal.aborted) throw transportError(answer, host, first.started)
    const second = new AnswerReader()
    const again = await second.read(this.#dispatcher, options, signal)
    if (again instanceof Error) throw transportError(again, host, second.started)
    return again
  }

  /** Whether every open socket has handed all its bytes to the system. */
  allSent(): boolean {
    if (this.#open === null) return false
    for (const socket of this.#open) if (socket.writableLength > 0) return false
    return true
  }

  #watch(socket: Socket): void {
    this.#open?.add(socket)
    socket.once('close', () => this.#open?.delete(socket))
  }

  close(): Promise<void> {
    this.#closed ??= this.#dispatcher.destroy()
    return this.#closed
  }
}

/** One answer. After it was read the socket is kept only if the answer ended by itself within the limit. */
class AnswerReader implements Dispatcher.DispatchHandler {
  /** Whether a connection was there and the request was begun. */
  started = false
  #status = 0
  #retryAfter: string | null = null
  #chunks: Buffer[] = []
  #bytes = 0
  #controller: Controller | null = null
  #settle: ((answer: Answer | Error) => void) | null = null

  /** Resolves with the answer, or with the error that came before any answer. */
  async read(
    dispatcher: Dispatcher,
    options: Dispatcher.DispatchOptions,
    signal: AbortSignal,
  ): Promise<Answer | Error> {
    const settled = Promise.withResolvers<Answer | Error>()
    this.#settle = settled.resolve
    const abort = () => {
      this.#fail(new DOMException('timed out', 'TimeoutError'))
      this.#controller?.abort(new Error('timed out'))
    }
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    else dispatcher.dispatch(options, this)
    const answer = await settled.promise
    signal.removeEventListener('abort', abort)
    return answer
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    // It waited for a connection for longer than its time: whoever asked has left.
    if (this.#settle === null) controller.abort(new Error('timed out'))
    this.started = true
  }

  onResponseStart(
    _controller: Controller,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // RFC 9110 §15.2: interim answers are not the answer.
    if (status < 200) return
    this.#status = status
    const retryAfter = headers['retry-after']
    this.#retryAfter = (Array.isArray(retryAfter) ? retryAfter[0] : retryAfter) ?? null
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#settle === null) return
    const room = limits.answer_read_bytes - this.#bytes
    this.#chunks.push(chunk.subarray(0, room))
    this.#bytes += Math.min(chunk.length, room)
    if (chunk.length <= room) return
    this.#finish()
    controller.abort(new Error('the answer is longer than what is read of it'))
  }

  onResponseEnd(): void {
    this.#finish()
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(error)
  }

  #fail(error: Error): void {
    if (this.#status !== 0) this.#finish()
    else this.#end(error)
  }

  #finish(): void {
    this.#end({ status: this.#status, retryAfter: this.#retryAfter, body: Buffer.concat(this.#chunks) })
  }

  #end(answer: Answer | Error): void {
    this.#settle?.(answer)
    this.#settle = null
    this.#chunks = []
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
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch {
      throw new OutcomeError(
        'refused',
        `connection header ${JSON.stringify(name)} holds a character that HTTP forbids`,
      )
    }
  }
}

function tlsOptions(tls: Target['connection']['tls']): buildConnector.BuildOptions {
  if (tls === null) return {}
  return {
    ...(tls.ca_file !== undefined && { ca: readTlsFile('ca_file', tls.ca_file) }),
    ...(tls.cert_file !== undefined && { cert: readTlsFile('cert_file', tls.cert_file) }),
    ...(tls.key_file !== undefined && { key: readTlsFile('key_file', tls.key_file) }),
    ...(tls.server_name !== undefined && { servername: tls.server_name }),
    rejectUnauthorized: tls.verify,
  }
}

function readTlsFile(key: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new OutcomeError('refused', `reading tls.${key}: ${code}`, { cause: error })
  }
}

/**
 * RFC 6066 §3: the server name is never an address. Set always, or undici would take it from a Host header.
 */
function serverName(configured: string | undefined, destination: URL): string | undefined {
  if (configured !== undefined) return configured
  const host = destination.hostname.replace(/^\[|\]$/g, '')
  return isIP(host) === 0 ? host : undefined
}
