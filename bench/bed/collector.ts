/**
 * Collector that counts what it gets, and beside it one that hangs: it accepts, reads and never answers.
 * It reads HTTP/1.1 with Content-Length itself, because a rival that posts every item alone would otherwise
 * be limited by node:http here. Prints both ports. `GET /stats` says what came since `GET /stats?reset`.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** Start of the latest body per path that is kept as proof of what arrives. */
const SAMPLE_BYTES = 65_536

const headEnd = Buffer.from('\r\n\r\n')
const accepted = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
)

interface Sample {
  readonly path: string
  readonly chunks: Buffer[]
  bytes: number
}

let requests = 0
let items = 0
let bytes = 0
let samples = new Map<string, Sample>()

function statistics(reset: boolean): Buffer {
  const texts = [...samples].map(([path, { chunks }]) => [
    path,
    Buffer.concat(chunks).toString('latin1', 0, SAMPLE_BYTES),
  ])
  const body = JSON.stringify({ requests, items, bytes, samples: Object.fromEntries(texts) })
  if (reset) {
    requests = items = bytes = 0
    samples = new Map()
  }
  const length = Buffer.byteLength(body)
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`,
  )
}

/** One connection: a head, then its body, again and again (RFC 9112 §2.1). */
class Conversation {
  readonly #socket: Socket
  #head: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  #bodyLeft = 0
  #sample: Sample = { path: '', chunks: [], bytes: 0 }

  constructor(socket: Socket) {
    this.#socket = socket
  }

  take(chunk: Buffer): void {
    let rest: Buffer<ArrayBufferLike> = chunk
    while (rest.length > 0) rest = this.#bodyLeft > 0 ? this.#takeBody(rest) : this.#takeHead(rest)
  }

  #takeBody(rest: Buffer<ArrayBufferLike>): Buffer<ArrayBufferLike> {
    const part = rest.subarray(0, this.#bodyLeft)
    this.#bodyLeft -= part.length
    bytes += part.length
    if (this.#sample.bytes < SAMPLE_BYTES) {
      this.#sample.bytes += part.length
      this.#sample.chunks.push(part)
    }
    if (this.#bodyLeft === 0) {
      samples.set(this.#sample.path, this.#sample)
      this.#socket.write(accepted)
    }
    return rest.subarray(part.length)
  }

  #takeHead(rest: Buffer<ArrayBufferLike>): Buffer<ArrayBufferLike> {
    const seen = this.#head.length === 0 ? rest : Buffer.concat([this.#head, rest])
    const at = seen.indexOf(headEnd)
    if (at < 0) {
      this.#head = seen
      return seen.subarray(seen.length)
    }
    this.#head = Buffer.alloc(0)
    this.#begin(seen.toString('latin1', 0, at))
    return seen.subarray(at + 4)
  }

  #begin(head: string): void {
    const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/'))
    if (path.startsWith('/stats')) {
      this.#socket.write(statistics(path.endsWith('?reset')))
      return
    }
    requests += 1
    items += Number(/\r\nx-(?:mirrorgate-)?items: *(\d+)/i.exec(head)?.[1] ?? 1)
    this.#sample = { path, chunks: [], bytes: 0 }
    if (/\r\ntransfer-encoding:/i.test(head)) {
      this.#socket.end('HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      return
    }
    if (/\r\nexpect: *100-continue/i.test(head)) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n')
    this.#bodyLeft = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
    if (this.#bodyLeft === 0) this.#socket.write(accepted)
  }
}

const server = createServer({ noDelay: true }, (socket) => {
  const conversation = new Conversation(socket)
  socket.on('data', (chunk: Buffer) => conversation.take(chunk))
  socket.on('error', () => socket.destroy())
})
const hung = createServer((socket) => {
  socket.resume()
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => {
  hung.listen(0, '127.0.0.1', () => {
    const [port, hungPort] = [server, hung].map((each) => (each.address() as AddressInfo).port)
    process.stdout.write(`${JSON.stringify({ port, hungPort })}\n`)
  })
})
