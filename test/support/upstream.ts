/** Upstreams for tests: HTTP handlers that record what they got, and raw TCP scripts that misbehave. */
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { onEnd } from './cleanup.ts'

export interface Received {
  readonly method: string
  readonly url: string
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  /** Grow while the request arrives; the first 16 MiB of it. */
  readonly chunks: Buffer[]
  /** Bytes of the body so far, all of them. */
  bytes: number
  /** The chunks as one; null until the body ended. */
  body: Buffer | null
  rawTrailers: readonly string[]
  /** Whether the sender left before the end. */
  aborted: boolean
}

export interface TestUpstream {
  readonly port: number
  readonly url: string
  /** Open connections. */
  readonly sockets: ReadonlySet<Socket>
  /** Connections ever accepted. */
  accepted: number
  stop(): Promise<void>
  start(): Promise<void>
}

export interface HttpUpstream extends TestUpstream {
  readonly received: Received[]
  /** Answers from the next request on. */
  handler: RequestListener
}

const keptBytesMax = 16 * 1024 * 1024

const ok: RequestListener = (request, response) => {
  request.resume()
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"ok":true}')
  })
}

/** An HTTP upstream; without a handler it answers `{"ok":true}` once the body of a request has arrived. */
export async function startUpstream(handler: RequestListener = ok): Promise<HttpUpstream> {
  const received: Received[] = []
  const http = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    record(request, received)
    response.on('error', () => {})
    upstream.handler(request, response)
  })
  const upstream: HttpUpstream = Object.assign(await listen(http), { received, handler })
  return upstream
}

function record(request: IncomingMessage, received: Received[]): void {
  const entry: Received = {
    method: request.method ?? '',
    url: request.url ?? '',
    httpVersion: request.httpVersion,
    rawHeaders: request.rawHeaders,
    headers: request.headers,
    chunks: [],
    bytes: 0,
    body: null,
    rawTrailers: [],
    aborted: false,
  }
  received.push(entry)
  // Not a `data` listener: that would start the flow, and a handler may want to hold it back.
  const emit = request.emit.bind(request)
  request.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === 'data') {
      const chunk = args[0] as Buffer
      if (entry.bytes < keptBytesMax) entry.chunks.push(chunk)
      entry.bytes += chunk.length
    }
    if (event === 'end') {
      entry.body = Buffer.concat(entry.chunks)
      entry.rawTrailers = request.rawTrailers
    }
    if (event === 'close' && !request.complete) entry.aborted = true
    return emit(event as string, ...args)
  }
}

/** A raw TCP upstream: the script gets every connection, with its number from 1. */
export async function startRawUpstream(
  script: (socket: Socket, connection: number) => void,
): Promise<TestUpstream> {
  let connections = 0
  const server = createTcpServer({ noDelay: true }, (socket) => {
    connections += 1
    script(socket, connections)
  })
  return listen(server)
}

/**
 * Script for a raw upstream: the same bytes for every request head that arrives, whatever it says; a body in
 * chunks is waited for.
 */
export function answering(bytes: string | Buffer): (socket: Socket) => void {
  return (socket) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (let end = endOf(text); end !== -1; end = endOf(text)) {
        text = text.slice(end)
        socket.write(bytes)
      }
    })
  }
}

/** Where the first request ends; -1 = not yet. */
function endOf(text: string): number {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1 || !/transfer-encoding: *chunked/i.test(text.slice(0, head)))
    return head === -1 ? -1 : head + 4
  const last = text.indexOf('0\r\n\r\n', head + 4)
  return last === -1 ? -1 : last + 5
}

/** Resolves with the first request head on a socket, as text. */
export function readHead(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end === -1) return
      socket.off('data', onData)
      resolve(text.slice(0, end + 4))
    }
    socket.on('data', onData)
    socket.once('close', () => reject(new Error(`closed before a whole head, got: ${text.slice(0, 200)}`)))
  })
}

async function listen(server: Server): Promise<TestUpstream> {
  const sockets = new Set<Socket>()
  let port = 0
  const upstream = {
    get port() {
      return port
    },
    get url() {
      return `http://127.0.0.1:${port}`
    },
    sockets,
    accepted: 0,
    start: async () => {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, '127.0.0.1', resolve)
      })
      port = (server.address() as AddressInfo).port
    },
    stop: async () => {
      if (!server.listening) return
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
  server.on('connection', (socket: Socket) => {
    upstream.accepted += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  })
  await upstream.start()
  onEnd(upstream.stop)
  return upstream
}
