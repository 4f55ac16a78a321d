/** Ways to a syslog server: datagrams, or one connection of counted messages. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, isIP, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { OutcomeError } from 'mirrorgate/plugin'

export interface Transport {
  /** Resolves when the system has taken all messages, in order. */
  send(messages: readonly Buffer[], signal: AbortSignal): Promise<void>
  close(): void
}

export interface Reach {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  readonly ca_file?: string
  readonly cert_file?: string
  readonly key_file?: string
  readonly server_name?: string
  readonly verify: boolean
}

type Found = { readonly address: string; readonly family: number }

/** An IPv4 address before all: of a name with both, nobody says which one the server reads. */
const findHost = (host: string): Promise<Found> => lookup(host, { order: 'ipv4first' })

/** RFC 5426: one message a datagram; nobody says whether it arrived. `find`: asked once for each `send`. */
export function openUdp({ host, port }: Pick<Reach, 'host' | 'port'>, find = findHost): Transport {
  const sockets = new Map<number, DatagramSocket>()
  let closed = false
  const socketOf = (family: number): DatagramSocket => {
    const socket = sockets.get(family) ?? createSocket(family === 6 ? 'udp6' : 'udp4')
    if (sockets.has(family)) return socket
    sockets.set(family, socket)
    // Errors come by the callback of a send.
    socket.on('error', () => undefined)
    return socket.unref()
  }
  return {
    async send(messages, signal) {
      const { address, family } = await unlessAborted(find(host), signal).catch((error: unknown) => {
        if (signal.aborted) throw error
        fail(`looking up ${host}`, error, true)
      })
      for (const message of messages) {
        signal.throwIfAborted()
        if (closed) fail('sending', new Error('closed'))
        const sent = Promise.withResolvers<void>()
        const settle = (error: Error | null) => (error === null ? sent.resolve() : sent.reject(error))
        socketOf(family).send(message, port, address, settle)
        await sent.promise.catch((error: unknown) => fail('sending', error))
      }
    },
    close() {
      closed = true
      for (const socket of sockets.values()) socket.close()
      sockets.clear()
    },
  }
}

/**
 * A server that asks for a certificate refuses one only after the client has begun to write (RFC 8446
 * §4.6.1); its session ticket says that it did not. Not every server sends one.
 */
const TICKET_MS = 250

/** RFC 6587 §3.4.1, RFC 5425 §4.3: messages follow each other, each behind its length. */
export function openStream(reach: Reach): Transport {
  let current: Link | null = null
  return {
    async send(messages, signal) {
      signal.throwIfAborted()
      // Chosen without a wait in between: all that send at the same time share one.
      const link = current?.usable === true ? current : (current = new Link(reach))
      try {
        await link.write(Buffer.concat(messages.flatMap(counted)), signal)
      } catch (error) {
        if (error instanceof OutcomeError || signal.aborted) throw error
        fail(`sending to ${reach.host}:${reach.port}`, error)
      }
    },
    close() {
      current?.end()
      current = null
    },
  }
}

/** One connection, from the attempt to get it on, and those who write to it. */
class Link {
  readonly #connected: Promise<Socket>
  readonly #giveUp = new AbortController()
  #socket: Socket | null = null
  #writers = 0
  #over = false

  constructor(reach: Reach) {
    this.#connected = connected(reach, this.#giveUp.signal)
    this.#connected.then(
      (socket) => {
        this.#socket = socket
      },
      () => {
        this.#over = true
      },
    )
  }

  get usable(): boolean {
    const socket = this.#socket
    return !this.#over && (socket === null || (socket.writable && !socket.readableEnded))
  }

  async write(bytes: Buffer, signal: AbortSignal): Promise<void> {
    this.#writers += 1
    try {
      const socket = await unlessAborted(this.#connected, signal)
      try {
        await written(socket, bytes, signal)
      } catch (error) {
        // What is left of this write would stand before the next one.
        this.#over = true
        socket.destroy()
        throw error
      }
    } finally {
      this.#writers -= 1
      // One that gave up takes no attempt away from the others.
      if (this.#writers === 0 && this.#socket === null) this.#abandon()
    }
  }

  /** After what is being written. */
  end(): void {
    this.#over = true
    if (this.#writers === 0 && this.#socket === null) this.#abandon()
    this.#connected.then((socket) => socket.end()).catch(() => undefined)
  }

  #abandon(): void {
    this.#over = true
    this.#giveUp.abort()
  }
}

async function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function counted(message: Buffer): Buffer[] {
  return [Buffer.from(`${message.length} `), message]
}

async function connected(reach: Reach, signal: AbortSignal): Promise<Socket> {
  const { host, port } = reach
  const socket = reach.tls ? connectTls({ host, port, ...tlsOptions(reach) }) : connect({ host, port })
  const ticket = reach.tls ? once(socket, 'session', { signal }).catch(() => undefined) : null
  socket.setKeepAlive(true)
  try {
    await once(socket, reach.tls ? 'secureConnect' : 'connect', { signal })
    if (ticket !== null) await Promise.race([ticket, wait(TICKET_MS), ended(socket)])
  } catch (error) {
    socket.destroy()
    if (signal.aborted) throw error
    fail(`connecting to ${host}:${port}`, error, true)
  }
  // What ends it is seen by the next write; without a listener it would end the thread.
  socket.on('error', () => undefined)
  // Nothing is expected; what is read tells that the other side has closed.
  socket.resume()
  return socket
}

async function ended(socket: Socket): Promise<never> {
  await once(socket, 'close')
  throw new Error('closed')
}

/**
 * Nobody acknowledges a message. What can be known is whether the connection stood when all was handed over:
 * the answer of a server that has gone comes with the next turn of the event loop, if it came at all.
 */
async function written(socket: Socket, bytes: Buffer, signal: AbortSignal): Promise<void> {
  const done = Promise.withResolvers<void>()
  socket.write(bytes, (error) => (error ? done.reject(error) : done.resolve()))
  await unlessAborted(done.promise, signal)
  await new Promise(setImmediate)
  if (socket.destroyed || socket.readableEnded) throw new Error('closed')
}

function tlsOptions(reach: Reach) {
  const { host, server_name: name, verify } = reach
  const servername = name ?? (isIP(host) === 0 ? host : undefined)
  return {
    ...(reach.ca_file !== undefined && { ca: read('ca_file', reach.ca_file) }),
    ...(reach.cert_file !== undefined && { cert: read('cert_file', reach.cert_file) }),
    ...(reach.key_file !== undefined && { key: read('key_file', reach.key_file) }),
    ...(servername !== undefined && { servername }),
    rejectUnauthorized: verify,
  }
}

function read(key: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new OutcomeError('refused', `reading ${key}: ${code}`, { cause: error })
  }
}

/** Codes only: a message may quote what was sent. */
function fail(doing: string, error: unknown, network = false): never {
  const { code, message } = error as NodeJS.ErrnoException
  const why = code ?? (message === 'closed' ? 'the connection was closed' : 'it failed')
  throw new OutcomeError('retry', `${doing}: ${why}`, { network, cause: error })
}
