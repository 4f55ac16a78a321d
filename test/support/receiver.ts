/** A destination of streams on a real socket: keeps what it accepted; refuses, hangs or goes when told. */
import http from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { onEnd } from './cleanup.ts'

export type Event = Readonly<Record<string, unknown>> & { readonly id?: unknown }

export interface Received {
  readonly batchId: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export class Receiver {
  readonly #port: number
  #server: http.Server | null = null
  /** Status that is answered; null never answers. */
  status: (path: string, text: string) => number | null = () => 200
  /** Accepted batches in the order of their arrival. */
  readonly batches: Received[] = []
  /** POSTs that were read whole, whatever was answered. */
  posts = 0

  constructor(port: number) {
    this.#port = port
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server?.address() as AddressInfo | null)?.port ?? this.#port}`
  }

  async start(): Promise<number> {
    const server = http.createServer((request, response) => void this.#serve(request, response))
    this.#server = server
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    this.posts += 1
    const text = Buffer.concat(chunks).toString()
    const path = request.url ?? ''
    const status = this.status(path, text)
    if (status === null) return
    if (status < 300) {
      const batchId = String(request.headers['x-mirrorgate-batch-id'])
      this.batches.push({ batchId, path, headers: request.headers, text })
    }
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
  }

  /** Refuses connections from now on. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }

  /** Accepted events, repeats included. */
  events(path?: string): Event[] {
    return this.batches
      .filter((batch) => path === undefined || batch.path === path)
      .flatMap(({ text }) => JSON.parse(text) as Event[])
  }
}

/** On a free port, which it keeps when it goes and comes back. */
export async function startReceiver(): Promise<Receiver> {
  const probe = new Receiver(0)
  const port = await probe.start()
  await probe.stop()
  const receiver = new Receiver(port)
  await receiver.start()
  onEnd(() => receiver.stop())
  return receiver
}
