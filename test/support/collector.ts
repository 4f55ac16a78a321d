/** The demo's collector with faults that a test switches on and off. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import {
  answerJson,
  Collector,
  type CollectorLeg,
  type CollectorOptions,
  type Delivery,
  type Pair,
  type Verdict,
} from '../../demo/collector.ts'
import type { RequestItem, ResponseItem } from '../../src/contract/exchange.ts'
import { onEnd } from './cleanup.ts'
import { until } from './wait.ts'

/** How a collector misbehaves. To refuse connections, `stop()` it. */
export interface Fault {
  /** Before the body is read: true takes the request over. */
  onHead?(request: IncomingMessage, response: ServerResponse): boolean
  onDelivery?(delivery: Delivery, request: IncomingMessage, response: ServerResponse): Verdict
}

export class TestCollector extends Collector {
  fault: Fault | null = null
  /** Everything that arrived whole, in order, accepted or not. */
  readonly deliveries: Delivery[] = []
  /** POSTs begun. */
  posts = 0

  protected override onHead(request: IncomingMessage, response: ServerResponse): boolean {
    this.posts += 1
    return this.fault?.onHead?.(request, response) ?? false
  }

  protected override onDelivery(
    delivery: Delivery,
    request: IncomingMessage,
    response: ServerResponse,
  ): Verdict {
    this.deliveries.push(delivery)
    return this.fault?.onDelivery?.(delivery, request, response) ?? 'normal'
  }

  accepted(leg: CollectorLeg): Delivery[] {
    return this.deliveries.filter((delivery) => delivery.accepted && delivery.leg === leg)
  }

  /** Both halves of the exchange whose request has this path, once they are here. */
  async pairOf(path: string): Promise<{ request: RequestItem; response: ResponseItem }> {
    const found = await until(() => this.#find(path), {
      what: `both halves of ${path} arrive at the collector`,
    })
    return found as { request: RequestItem; response: ResponseItem }
  }

  #find(path: string): Pair | null {
    for (const [, pair] of this.kept()) {
      if (pair.request?.request.path === path && pair.response !== null) return pair
    }
    return null
  }
}

export async function startCollector(options: CollectorOptions = {}): Promise<TestCollector> {
  const collector = new TestCollector(options)
  await collector.start()
  onEnd(() => collector.stop())
  return collector
}

/** Never reads the body, never answers. */
const hangBeforeBody: Fault = { onHead: () => true }

/** Reads everything, never answers. */
const hangBeforeHead: Fault = { onDelivery: () => 'refused' }

/** Says 200 and the length of a body that never comes. */
const hangAfterHead: Fault = {
  onDelivery: (_delivery, _request, response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.write('{')
    return 'accepted'
  },
}

/** Resets the connection when the first bytes of the body arrive. */
const resetMidRequest: Fault = {
  onHead: (request) => {
    request.once('data', () => request.socket.resetAndDestroy())
    return true
  },
}

/** Says 200, then resets the connection in the middle of its answer. */
const resetMidAnswer: Fault = {
  onDelivery: (_delivery, request, response) => {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('{')
    // A reset that comes at once may overtake the head.
    setTimeout(() => request.socket.resetAndDestroy(), 50)
    return 'accepted'
  },
}

/** Answers 200 one byte at a time, head included, then closes. */
const byteByByte: Fault = {
  onDelivery: (_delivery, request) => {
    const answer =
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}'
    const { socket } = request
    socket.setNoDelay(true)
    const send = async () => {
      for (const byte of answer) {
        if (socket.destroyed) return
        socket.write(byte)
        await delay(1)
      }
      socket.end()
    }
    void send()
    return 'accepted'
  },
}

/** Announces that each connection closes after its answer. */
const closeConnections: Fault = {
  onDelivery: (delivery, _request, response) => {
    response.setHeader('connection', 'close')
    answerJson(response, 200, { accepted: delivery.items.length })
    return 'accepted'
  },
}

/** Closes each connection after its answer, without a word. */
const closeSilently: Fault = {
  onDelivery: (delivery, request, response) => {
    response.once('finish', () => request.socket.destroySoon())
    answerJson(response, 200, { accepted: delivery.items.length })
    return 'accepted'
  },
}

/** Answers with a status; the items are not accepted. */
function status(code: number, headers: Readonly<Record<string, string>> = {}): Fault {
  return {
    onDelivery: (_delivery, _request, response) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      answerJson(response, code, { message: `fault: ${code}` })
      return 'refused'
    },
  }
}

/** 400 to every batch that holds such an item. */
function poison(isPoison: (item: RequestItem | ResponseItem) => boolean): Fault {
  const refuse = status(400)
  return {
    onDelivery: (delivery, request, response) =>
      delivery.items.some(isPoison)
        ? (refuse.onDelivery?.(delivery, request, response) ?? 'normal')
        : 'normal',
  }
}

/** 413 to every batch above so many bytes. */
function tooLarge(bytes_max: number): Fault {
  const refuse = status(413)
  return {
    onDelivery: (delivery, request, response) =>
      delivery.bytes > bytes_max ? (refuse.onDelivery?.(delivery, request, response) ?? 'normal') : 'normal',
  }
}

/** 200 with a body of that size; `sent()` says how many bytes of it were taken, over all answers. */
function hugeAnswer(bytes = 100 * 1024 * 1024): Fault & { sent(): number } {
  const chunk = Buffer.alloc(64 * 1024, 0x20)
  let sent = 0
  return {
    sent: () => sent,
    onDelivery: (_delivery, _request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': bytes })
      let left = bytes
      const pump = () => {
        while (left > 0 && !response.destroyed) {
          const piece = chunk.subarray(0, Math.min(left, chunk.length))
          left -= piece.length
          sent += piece.length
          if (!response.write(piece)) return
        }
        if (left === 0) response.end()
      }
      response.on('drain', pump)
      pump()
      return 'accepted'
    },
  }
}

/** The fault for the first so many deliveries only. */
function times(count: number, fault: Fault): Fault {
  let left = count
  return {
    onHead: (request, response) => {
      if (left <= 0 || fault.onHead === undefined) return false
      left -= 1
      return fault.onHead(request, response)
    },
    onDelivery: (delivery, request, response) => {
      if (left <= 0 || fault.onDelivery === undefined) return 'normal'
      left -= 1
      return fault.onDelivery(delivery, request, response)
    },
  }
}

/** The fault on one leg only. */
function onLeg(leg: CollectorLeg, fault: Fault): Fault {
  return {
    onHead: (request, response) => request.url === `/${leg}` && (fault.onHead?.(request, response) ?? false),
    onDelivery: (delivery, request, response) =>
      delivery.leg === leg ? (fault.onDelivery?.(delivery, request, response) ?? 'normal') : 'normal',
  }
}

export const faults = Object.freeze({
  hangBeforeBody,
  hangBeforeHead,
  hangAfterHead,
  resetMidRequest,
  resetMidAnswer,
  byteByByte,
  closeConnections,
  closeSilently,
  status,
  tooManyRequests: (retryAfter_seconds: number) => status(429, { 'retry-after': String(retryAfter_seconds) }),
  redirect: (location: string, code = 307) => status(code, { location }),
  poison,
  tooLarge,
  hugeAnswer,
  times,
  onLeg,
})
