/**
 * A SALT-style collector over real sockets: takes JSON arrays of request and response items, pairs them by id
 * and keeps its own count of what arrived, so that the gateway's account can be held against it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { RequestItem, ResponseItem } from '../src/contract/exchange.ts'

export const collectorLegs = ['requests', 'responses'] as const
export type CollectorLeg = (typeof collectorLegs)[number]

export interface CollectorOptions {
  /** Exact value of `Authorization` that is asked for; anything else is answered 401. */
  authorization?: string
  /** Items kept for reading; the oldest give way. Ids and counts are kept apart from it. */
  items_max?: number
  /** Ids kept for pairing; the oldest give way and are counted as forgotten. */
  ids_max?: number
  /** Texts that must not arrive: deliveries that hold one are counted as leaks. */
  watch_for?: readonly string[]
}

/** One POST as it arrived, whether it was accepted or not. */
export interface Delivery {
  readonly leg: CollectorLeg
  readonly batchId: string
  readonly items: readonly (RequestItem | ResponseItem)[]
  readonly rawHeaders: readonly string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Bytes on the wire. */
  readonly bytes: number
  /** Order of arrival at this collector, from 1. */
  readonly sequence: number
  accepted: boolean
}

export interface LegTotals {
  /** Items in accepted batches, duplicates included. */
  items: number
  /** Distinct item ids. */
  distinct: number
  batches: number
  duplicate_batches: number
}

export interface Pair {
  request: RequestItem | null
  response: ResponseItem | null
}

/** Where the body of a POST stops being read. */
const bodyBytesMax = 128 * 1024 * 1024
const seenRequest = 1
const seenResponse = 2

export class Collector {
  /** The address in use; 0 before the first start. A restart takes the same one. */
  port = 0
  /** Answers other than 2xx that it gave. */
  refusals = 0
  /** POSTs that arrived, accepted or not. */
  sequence = 0
  /** Ids that gave way to `ids_max`. */
  forgotten = 0
  /** Deliveries that held a text of `watch_for`. */
  leaks = 0
  readonly #options: Required<CollectorOptions>
  readonly #sockets = new Set<Socket>()
  readonly #seen = new Map<string, number>()
  readonly #pairs = new Map<string, Pair>()
  readonly #batches: Record<CollectorLeg, Set<string>> = { requests: new Set(), responses: new Set() }
  readonly #totals: Record<CollectorLeg, LegTotals> = { requests: noTotals(), responses: noTotals() }
  #complete = 0
  #server: Server | null = null

  constructor(options: CollectorOptions = {}) {
    this.#options = {
      authorization: options.authorization ?? '',
      items_max: options.items_max ?? Number.POSITIVE_INFINITY,
      ids_max: options.ids_max ?? 1_000_000,
      watch_for: options.watch_for ?? [],
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Listens; resolves with the port. */
  async start(port: number = this.port): Promise<number> {
    const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => this.#sockets.delete(socket))
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    return this.port
  }

  /** Gone: open connections are destroyed, new ones are refused. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  totals(leg: CollectorLeg): Readonly<LegTotals> {
    return this.#totals[leg]
  }

  /** Exchanges of which both halves arrived. */
  get pairs(): number {
    return this.#complete
  }

  /** Exchanges of which anything arrived. */
  get ids(): number {
    return this.#seen.size
  }

  /** The two halves of one exchange, as far as they are kept. */
  pair(id: string): Pair {
    return this.#pairs.get(id) ?? { request: null, response: null }
  }

  /** Kept exchanges, oldest first. */
  kept(): IterableIterator<[id: string, pair: Pair]> {
    return this.#pairs.entries()
  }

  /** The latest kept exchange with both halves that matches. */
  latest(
    matches: (pair: { request: RequestItem; response: ResponseItem }) => boolean = () => true,
  ): Pair | null {
    let found: Pair | null = null
    for (const { request, response } of this.#pairs.values()) {
      if (request !== null && response !== null && matches({ request, response }))
        found = { request, response }
    }
    return found
  }

  /** For collectors that misbehave: true when it took the request over before its body was read. */
  protected onHead(_request: IncomingMessage, _response: ServerResponse): boolean {
    return false
  }

  /** For collectors that misbehave: who answers, and whether the items count as accepted. */
  protected onDelivery(_delivery: Delivery, _request: IncomingMessage, _response: ServerResponse): Verdict {
    return 'normal'
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') return this.#show(request, response)
    const leg = collectorLegs.find((name) => request.url === `/${name}`)
    if (leg === undefined) return this.#refuse(response, 404, 'no such endpoint')
    if (request.method !== 'POST') return this.#refuse(response, 405, 'use POST')
    if (this.onHead(request, response)) return
    const body = await readBody(request)
    if (body === null) return
    const { authorization } = this.#options
    if (authorization !== '' && request.headers.authorization !== authorization) {
      return this.#refuse(response, 401, 'wrong credentials')
    }
    const text = decode(body, request.headers['content-encoding'])
    const items = text === null ? null : parseItems(text)
    if (text === null || items === null) return this.#refuse(response, 400, 'must be a JSON array of items')
    if (this.#options.watch_for.some((secret) => text.includes(secret))) this.leaks += 1
    this.sequence += 1
    const delivery: Delivery = {
      leg,
      batchId: String(request.headers['x-mirrorgate-batch-id'] ?? ''),
      items,
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      bytes: body.length,
      sequence: this.sequence,
      accepted: false,
    }
    const verdict = this.onDelivery(delivery, request, response)
    if (verdict === 'refused') {
      this.refusals += 1
      return
    }
    this.#accept(delivery)
    if (verdict === 'normal') answerJson(response, 200, { accepted: items.length })
  }

  #accept(delivery: Delivery): void {
    delivery.accepted = true
    const totals = this.#totals[delivery.leg]
    totals.batches += 1
    const batches = this.#batches[delivery.leg]
    if (delivery.batchId !== '' && batches.has(delivery.batchId)) totals.duplicate_batches += 1
    batches.add(delivery.batchId)
    if (batches.size > this.#options.ids_max) batches.delete(batches.values().next().value as string)
    for (const item of delivery.items) {
      totals.items += 1
      this.#see(item.id, delivery.leg === 'requests' ? seenRequest : seenResponse, totals)
      this.#keep(item)
    }
  }

  #see(id: string, half: number, totals: LegTotals): void {
    const before = this.#seen.get(id) ?? 0
    if ((before & half) !== 0) return
    totals.distinct += 1
    const after = before | half
    if (after === (seenRequest | seenResponse)) this.#complete += 1
    this.#seen.set(id, after)
    if (this.#seen.size > this.#options.ids_max) {
      this.#seen.delete(this.#seen.keys().next().value as string)
      this.forgotten += 1
    }
  }

  #keep(item: RequestItem | ResponseItem): void {
    const pair = this.#pairs.get(item.id) ?? { request: null, response: null }
    if ('request' in item) pair.request = item
    else pair.response = item
    this.#pairs.set(item.id, pair)
    if (this.#pairs.size > this.#options.items_max)
      this.#pairs.delete(this.#pairs.keys().next().value as string)
  }

  #show(request: IncomingMessage, response: ServerResponse): void {
    if (request.url === '/pairs/latest') return answerJson(response, 200, this.latest())
    const [requests, responses] = [this.totals('requests'), this.totals('responses')]
    answerJson(response, 200, { requests, responses, pairs: this.pairs })
  }

  #refuse(response: ServerResponse, status: number, message: string): void {
    this.refusals += 1
    response.req.resume()
    answerJson(response, status, { message })
  }
}

/** `normal`: accept, answer 200 · `accepted`: answered, accept · `refused`: answered, do not accept. */
export type Verdict = 'normal' | 'accepted' | 'refused'

function noTotals(): LegTotals {
  return { items: 0, distinct: 0, batches: 0, duplicate_batches: 0 }
}

export function answerJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(value, null, 2)}\n`)
}

/** The whole body, or null when the sender left before its end. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > bodyBytesMax) return null
      chunks.push(chunk)
    }
  } catch {
    return null
  }
  return Buffer.concat(chunks)
}

function parseItems(text: Buffer): (RequestItem | ResponseItem)[] | null {
  try {
    const value: unknown = JSON.parse(text.toString('utf8'))
    if (!Array.isArray(value)) return null
    return value.every((item) => typeof item?.id === 'string') ? value : null
  } catch {
    return null
  }
}

/** The body without its content-encoding; null when it does not decode. */
function decode(body: Buffer, encoding: string | undefined): Buffer | null {
  try {
    if (encoding === 'gzip') return gunzipSync(body, { maxOutputLength: bodyBytesMax })
    if (encoding === 'zstd') return zstdDecompressSync(body, { maxOutputLength: bodyBytesMax })
    return body
  } catch {
    return null
  }
}
