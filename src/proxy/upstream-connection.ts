/** One connection to an upstream: its socket, the parser of its answers, and the attempt that has it. */
import { Socket } from 'node:net'
import { clock } from './clock.ts'
import type { Attempt } from './forward.ts'
import type { ResponseHead } from './response-head.ts'
import type { ParserBounds } from './message-parser.ts'
import { readBuffer } from './read-buffer.ts'
import { ResponseParser } from './response-parser.ts'
import type { UpstreamAddress } from './upstream-address.ts'

/** What a connection tells the pool that it belongs to. */
export interface ConnectionOwner {
  readonly bounds: ParserBounds
  readonly address: UpstreamAddress
  onOpen(connection: UpstreamConnection): void
  /** TLS failed: a certificate that is not trusted, ours that is not taken, files that cannot be used. */
  onUntrusted(error: Error): void
  /** It may take the next attempt. */
  onFree(connection: UpstreamConnection): void
  /** Its attempt is over; whether the connection is free or gone comes after it. */
  onLeft(): void
  /** It is no more; comes once. */
  onGone(connection: UpstreamConnection): void
}

interface UpstreamSocket extends Socket {
  upstreamConnection?: UpstreamConnection
}

/**
 * An idle connection is kept this long unless the upstream's Keep-Alive says otherwise (trap C3: below the
 * common 5 s).
 */
const IDLE_MS = 4000
/** So much earlier than the upstream says, for what is under way. */
const IDLE_MARGIN_MS = 1000
const IDLE_MS_MAX = 600_000

/**
 * After a write failed the kernel has all that will ever come: one whole turn of the event loop reports it.
 * The first one may be half over.
 */
const LAST_TURNS = 2

export class UpstreamConnection {
  readonly socket: UpstreamSocket
  readonly parser: ResponseParser
  /** When a connection that is not open yet is given up, or an idle one is closed. Monotonic milliseconds. */
  until: number
  /** It has answered before. */
  reused = false
  readonly #owner: ConnectionOwner
  readonly #bytes = readBuffer()
  #attempt: Attempt | null
  #open = false
  #gone = false
  #persistent = false
  #idleMs = IDLE_MS
  /** A write failed: what the upstream said before is still read. */
  #last = false
  /** Turns of the event loop without a word that are left to it. */
  #lastTurns = 0
  #turning = false
  /** Reading was stopped. TLS goes on reporting what it has decrypted, so an answer may end meanwhile. */
  #paused = false

  constructor(owner: ConnectionOwner, attempt: Attempt, connectMs: number) {
    this.#owner = owner
    this.#attempt = attempt
    attempt.attach(this)
    this.parser = new ResponseParser(owner.bounds)
    this.until = performance.now() + connectMs
    const onread = { buffer: this.#bytes, callback: (length: number) => this.#read(length) }
    this.socket = owner.address.connect(onread)
    this.socket.upstreamConnection = this
    this.socket.destroy = destroyOrRead
    this.socket.on(owner.address.secure ? 'secureConnect' : 'connect', onReady)
    this.socket.on('end', onEnd)
    this.socket.on('error', onError)
    this.socket.on('close', onClose)
    this.socket.on('drain', onDrain)
  }

  get connecting(): boolean {
    return !this.#open
  }

  /** Whether the next attempt may have it. */
  usable(now: number): boolean {
    return !this.#gone && now < this.until && this.socket.writable
  }

  ready(): void {
    if (this.#gone) return
    this.#open = true
    this.#owner.onOpen(this)
    if (this.#attempt === null) this.#free()
    else this.#serve(this.#attempt)
  }

  /** Takes the next attempt. */
  take(attempt: Attempt): void {
    this.#attempt = attempt
    attempt.attach(this)
    this.#serve(attempt)
  }

  #serve(attempt: Attempt): void {
    this.#persistent = false
    this.parser.begin(attempt.request.method)
    attempt.begin()
  }

  #read(length: number): boolean {
    const attempt = this.#attempt
    if (attempt === null || !attempt.sent) {
      // RFC 9112 §9.2: an answer without a request.
      this.destroy()
      return true
    }
    this.parser.feed(this.#bytes, length)
    this.#lastTurns = LAST_TURNS
    const more = attempt.read(this.parser, this.#bytes)
    if (!more) this.#paused = true
    return more
  }

  resume(): void {
    this.#paused = false
    this.socket.resume()
    if (this.#last) this.#readLast()
  }

  /** An upload could not be written on. Whether an answer is waited for, as far as it has come. */
  writeFailed(): boolean {
    if (this.#gone || this.#attempt?.begunWell !== true) return false
    this.#last = true
    this.#readLast()
    return true
  }

  #readLast(): void {
    this.#lastTurns = LAST_TURNS
    if (this.#turning || this.#paused) return
    this.#turning = true
    setImmediate(endTurn, this)
  }

  /** Node reports no end of a socket whose write failed. */
  endTurn(): void {
    this.#turning = !this.#gone && !this.#paused && this.#lastTurns-- > 0
    if (this.#turning) setImmediate(endTurn, this)
    else if (!this.#paused) this.failed()
  }

  /** The head of the answer is here: whether another one may follow on this connection. */
  answered(head: ResponseHead): void {
    this.#persistent = head.persistent
    if (!this.#persistent) return
    const seconds = head.idleSeconds
    this.#idleMs = seconds === -1 ? IDLE_MS : Math.min(seconds * 1000 - IDLE_MARGIN_MS, IDLE_MS_MAX)
  }

  /** The attempt is over. `whole`: request and answer were, or nothing of the request was sent. */
  leave(whole: boolean): void {
    const untouched = this.#attempt?.sent === false
    this.#attempt = null
    this.#owner.onLeft()
    // It goes on opening, for whoever comes next.
    if (whole && this.connecting) return
    const reusable = whole && (untouched || (this.#persistent && this.#idleMs > 0))
    if (!reusable || this.socket.writableLength > 0 || !this.socket.writable) return this.destroy()
    this.reused ||= !untouched
    if (this.#paused) this.resume()
    this.#free()
  }

  #free(): void {
    this.until = clock.now + this.#idleMs
    this.#owner.onFree(this)
  }

  drained(): void {
    this.#attempt?.drained()
  }

  ended(): void {
    this.#attempt?.ended(this.parser)
    this.destroy()
  }

  onError(error: Error): void {
    if (this.#owner.address.secure && isTlsError(error, this.connecting)) this.#owner.onUntrusted(error)
    this.failed()
  }

  /** The socket failed, was closed, or took too long to open. */
  failed(): void {
    this.#attempt?.broke()
    this.destroy()
  }

  destroy(): void {
    if (this.#gone) return
    this.#gone = true
    this.socket.destroy()
    this.#owner.onGone(this)
  }
}

/** While it opens, what the network says has a system call. RFC 8446 §4.4.2.4: some refusals come later. */
function isTlsError(error: NodeJS.ErrnoException, connecting: boolean): boolean {
  if (error.code?.startsWith('ERR_SSL_') === true) return true
  return connecting && error.syscall === undefined && !(error instanceof AggregateError)
}

// Shared listeners: one function each for all sockets.

/**
 * Instead of `destroy`. An upstream that refuses an upload may answer, and close without having read the
 * rest: its reset then fails our next write, while the answer is still unread (RFC 9112 §9.5).
 */
function destroyOrRead(this: UpstreamSocket, error?: NodeJS.ErrnoException): UpstreamSocket {
  if (error?.syscall === 'write' && this.upstreamConnection?.writeFailed() === true) return this
  return Socket.prototype.destroy.call(this, error) as UpstreamSocket
}
function endTurn(connection: UpstreamConnection): void {
  connection.endTurn()
}

function onReady(this: UpstreamSocket): void {
  this.upstreamConnection?.ready()
}
function onEnd(this: UpstreamSocket): void {
  this.upstreamConnection?.ended()
}
function onError(this: UpstreamSocket, error: Error): void {
  this.upstreamConnection?.onError(error)
}
function onClose(this: UpstreamSocket): void {
  this.upstreamConnection?.failed()
}
function onDrain(this: UpstreamSocket): void {
  this.upstreamConnection?.drained()
}
