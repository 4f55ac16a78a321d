/** A collector that misbehaves on demand, over real sockets; keeps what it was sent. */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

/** One delivery as it arrived, its content-encoding undone. */
export interface Delivery {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

/** Answers one delivery; the connection stays open until it does. */
export type Behaviour = (response: http.ServerResponse, delivery: Delivery) => void

export interface Collector {
  readonly url: string
  readonly deliveries: Delivery[]
  /** Sockets that were accepted so far. */
  connections(): number
  /** What happens to the next deliveries; `accept` unless told. */
  behave(behaviour: Behaviour): void
  /** Ends every connection; once more is fine. */
  close(): Promise<void>
}

export const accept: Behaviour = (response) => response.end('ok')

export const answer =
  (status: number, headers: http.OutgoingHttpHeaders = {}, body = ''): Behaviour =>
  (response) =>
    response.writeHead(status, headers).end(body)

export const hang: Behaviour = () => undefined

export const hangAfterHead: Behaviour = (response) => {
  response.writeHead(200, { 'content-length': 100 })
  response.flushHeaders()
}

export const resetBeforeHead: Behaviour = (response) => {
  response.socket?.resetAndDestroy()
}

export const resetInBody: Behaviour = (response) => {
  response.writeHead(200, { 'content-length': 100 })
  response.write('half', () => response.socket?.resetAndDestroy())
}

/** Writes without end, as fast as it is read. */
export const answerWithoutEnd: Behaviour = (response) => {
  const chunk = Buffer.alloc(64 * 1024, 0x61)
  const pump = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', pump)
  response.on('error', () => undefined)
  pump()
}

/** One byte every few milliseconds, for ever. */
export const answerByteByByte: Behaviour = (response) => {
  response.writeHead(200)
  const timer = setInterval(() => response.write('.'), 5)
  response.on('close', () => clearInterval(timer))
}

export async function startCollector(): Promise<Collector> {
  const deliveries: Delivery[] = []
  let behaviour = accept
  let connections = 0
  let closed: Promise<void> | null = null
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    const { headers, rawHeaders, url: path = '' } = request
    const delivery = {
      path,
      headers,
      rawHeaders,
      body: decode(Buffer.concat(chunks), headers['content-encoding']),
    }
    deliveries.push(delivery)
    behaviour(response, delivery)
  })
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    deliveries,
    connections: () => connections,
    behave(next) {
      behaviour = next
    },
    close() {
      closed ??= once(server, 'close').then(() => undefined)
      server.close()
      server.closeAllConnections()
      return closed
    },
  }
}

function decode(body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === 'gzip') return gunzipSync(body)
  if (encoding === 'zstd') return zstdDecompressSync(body)
  return body
}
