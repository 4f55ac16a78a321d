/** A small JSON API for the demo, behind the gateway: orders, a login, events, a slow answer, an error. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

interface Order {
  id: number
  customer: string
  item: string
  quantity: number
  card_number?: string
}

/** Orders kept; the oldest give way. */
const ordersMax = 500
const bodyBytesMax = 64 * 1024
const slowMs = 250
const events = 5
const eventEveryMs = 50

/** Secrets that the API answers with: none of them may reach the collector. */
export const apiSecrets = Object.freeze({
  access_token: 'demo-access-token-4711',
  session: 'demo-session-4711',
})

type Handler = (call: Call) => void | Promise<void>
interface Call {
  request: IncomingMessage
  response: ServerResponse
  url: URL
  id: number
  body: Record<string, unknown>
}

export class SampleApi {
  port = 0
  requests = 0
  readonly #orders = new Map<number, Order>()
  readonly #server: Server
  #nextId = 1

  constructor() {
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      this.requests += 1
      this.#serve(request, response).catch(() => response.destroy())
    })
    for (let at = 0; at < 20; at += 1) this.#add({ customer: `customer-${at}`, item: 'book', quantity: 1 })
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', resolve)
    })
    this.port = (this.#server.address() as AddressInfo).port
    return this.port
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  readonly #routes: Record<string, Handler> = {
    'GET /orders': ({ response, url }) => {
      const page = Math.max(1, Number(url.searchParams.get('page')) || 1)
      const data = [...this.#orders.values()].slice((page - 1) * 5, page * 5)
      json(response, 200, { page, total: this.#orders.size, data })
    },
    'POST /orders': ({ response, body }) => {
      const order = this.#add({
        customer: String(body.customer ?? 'unknown'),
        item: String(body.item ?? 'book'),
        quantity: Number(body.quantity ?? 1),
      })
      json(response, 201, order, { location: `/orders/${order.id}` })
    },
    'GET /orders/:id': ({ response, id }) => {
      const order = this.#orders.get(id)
      json(response, order === undefined ? 404 : 200, order ?? { message: 'no such order' })
    },
    'PUT /orders/:id': ({ response, id, body }) => {
      const order = this.#orders.get(id)
      if (order === undefined) return json(response, 404, { message: 'no such order' })
      order.quantity = Number(body.quantity ?? order.quantity)
      json(response, 200, order)
    },
    'DELETE /orders/:id': ({ response, id }) => {
      this.#orders.delete(id)
      response.writeHead(204)
      response.end()
    },
    'POST /login': ({ response, body }) => {
      const answer = { user: String(body.user ?? 'nobody'), access_token: apiSecrets.access_token }
      json(response, 200, answer, { 'set-cookie': `session=${apiSecrets.session}; HttpOnly` })
    },
    'GET /events': ({ response }) => streamEvents(response),
    'GET /slow': async ({ response }) => {
      await delay(slowMs)
      json(response, 200, { slept_ms: slowMs })
    },
    'GET /error': ({ response }) => json(response, 500, { message: 'this endpoint always fails' }),
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://sample')
    const [, resource = '', id] = url.pathname.split('/')
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const handler = this.#routes[`${method} /${resource}${id === undefined ? '' : '/:id'}`]
    const body = await readJson(request)
    if (handler === undefined) return json(response, 404, { message: 'no such endpoint' })
    await handler({ request, response, url, id: Number(id), body })
  }

  #add(order: Omit<Order, 'id'>): Order {
    const added = { id: this.#nextId, ...order }
    this.#nextId += 1
    this.#orders.set(added.id, added)
    if (this.#orders.size > ordersMax) this.#orders.delete(this.#orders.keys().next().value as number)
    return added
  }
}

function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

async function streamEvents(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  for (let at = 1; at <= events && !response.destroyed; at += 1) {
    response.write(`event: order\nid: ${at}\ndata: {"order":${at}}\n\n`)
    await delay(eventEveryMs)
  }
  response.end()
}

/** The body as an object; empty when it is none. */
async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= bodyBytesMax) chunks.push(chunk)
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
