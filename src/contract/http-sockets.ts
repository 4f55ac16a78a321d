/**
 * The sockets of one connection: undici under the rules of the host. One answer is read, and bounded; no
 * redirect is followed, nothing is tried again but a stale socket.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { buildConnector, Dispatcher } from 'undici'
import { type Answer, transportError } from './answer.ts'
import { OutcomeError } from './errors.ts'
import { limits } from './limits.ts'
import type { Target } from './tasks.ts'

type Undici = typeof import('undici')

const require = createRequire(import.meta.url)
// The whole of undici, `fetch` and all, is 109 modules: 45 ms more in each thread that delivers.
const Agent = require('undici/lib/dispatcher/agent.js') as Undici['Agent']
const Pool = require('undici/lib/dispatcher/pool.js') as Undici['Pool']
const connector = require('undici/lib/core/connect.js') as Undici['buildConnector']

type Controller = Dispatcher.DispatchController

/** The undici dispatcher of one connection, and the one retry that a stale socket is worth. */
export class Sockets {
  readonly #dispatcher: Dispatcher
  /** Connections made so far; an error remembers the number of its connection. */
  #connections = 0
  readonly #connectionOf = new WeakMap<Error, number>()
  /** Those that are open; null behind a proxy, where they are not seen. */
  readonly #open: Set<Socket> | null
  #closed: Promise<void> | null = null

  /** `sockets`: at most so many to one origin. */
  constructor(connection: Target['connection'], sockets: number) {
    const tls = tlsOptions(connection.tls)
    // The caller's signal bounds every attempt, so undici's own clocks are off. HTTP/2 would lose header
    // case.
    const options = { connections: sockets, headersTimeout: 0, bodyTimeout: 0, allowH2: false }
    const factory = (origin: string | URL, pool: object) => new Pool(origin, { ...pool, ...options })
    this.#open = connection.proxyUrl === null ? new Set() : null
    if (connection.proxyUrl !== null) {
      // Its tunnels are made with parts that only the whole has.
      const { ProxyAgent } = require('undici') as Undici
      this.#dispatcher = new ProxyAgent({ uri: connection.proxyUrl, requestTls: tls, ...options, factory })
      return
    }
    const connect = connector({ ...tls, allowH2: false })
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
  #headers: Answer['headers'] = {}
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

  onResponseStart(_controller: Controller, status: number, headers: Answer['headers']): void {
    // RFC 9110 §15.2: interim answers are not the answer.
    if (status < 200) return
    this.#status = status
    this.#headers = headers
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
    this.#end({ status: this.#status, headers: this.#headers, body: Buffer.concat(this.#chunks) })
  }

  #end(answer: Answer | Error): void {
    this.#settle?.(answer)
    this.#settle = null
    this.#chunks = []
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
