/** Clients for tests: raw HTTP/1.1 over a socket, and plain requests over keep-alive connections. */
import { Agent, request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { onEnd } from './cleanup.ts'
import { until } from './wait.ts'

export interface RawHead {
  readonly status: number
  readonly version: string
  readonly reason: string
  /** Flat: name, value, name, value; case, order and duplicates as they came. */
  readonly rawHeaders: string[]
  /** First value of a name, in any case. */
  header(name: string): string | null
}

export interface RawResponse extends RawHead {
  readonly body: Buffer
  readonly rawTrailers: string[]
  /** 1xx answers before it. */
  readonly interim: RawHead[]
  /** Whether the body ended as its framing says. */
  readonly complete: boolean
}

const waitMs = 15_000

/** One connection, byte for byte. */
export class RawClient {
  readonly socket: Socket
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>
  /** Doubles when full, so that large bodies cost no time. */
  #buffer = Buffer.alloc(64 * 1024)
  #filled = 0
  /** Bytes that were taken as responses. */
  #taken = 0
  #ended = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      if (this.#filled + chunk.length > this.#buffer.length) {
        this.#buffer = Buffer.concat([this.received, chunk], (this.#filled + chunk.length) * 2)
      } else {
        chunk.copy(this.#buffer, this.#filled)
      }
      this.#filled += chunk.length
      this.#wake()
    })
    const over = () => {
      this.#ended = true
      this.#wake()
    }
    socket.on('end', over)
    socket.on('error', over)
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        over()
        resolve()
      })
    })
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect({ port, host })
    const client = new RawClient(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    onEnd(() => socket.destroy())
    return client
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Every byte that arrived. */
  get received(): Buffer {
    return this.#buffer.subarray(0, this.#filled)
  }

  /** Bytes that arrived and were not taken yet. */
  get rest(): Buffer {
    return this.received.subarray(this.#taken)
  }

  /** Whether the peer has ended its side. */
  get ended(): boolean {
    return this.#ended
  }

  /** Waits until what is not taken yet holds this text. */
  async arrives(text: string): Promise<void> {
    while (!this.rest.includes(text)) await this.#more(`the text ${JSON.stringify(text)}`)
  }

  /** The next head, interim or final; its body is not taken. */
  async head(): Promise<RawHead> {
    let end = this.rest.indexOf('\r\n\r\n')
    for (; end === -1; end = this.rest.indexOf('\r\n\r\n')) await this.#more('a response head')
    return parseHead(this.#take(end + 4).toString('latin1'))
  }

  /** The next final response, whole. */
  async response(method = 'GET'): Promise<RawResponse> {
    const interim: RawHead[] = []
    let head = await this.head()
    for (; head.status >= 100 && head.status < 200 && head.status !== 101; head = await this.head())
      interim.push(head)
    return { ...head, interim, ...(await this.#body(head, method)) }
  }

  /** Sends one request with these bytes and resolves with its response. */
  request(bytes: string | Buffer, method = 'GET'): Promise<RawResponse> {
    this.send(bytes)
    return this.response(method)
  }

  /** RFC 9112 §6.3: where the body ends. */
  async #body(
    head: RawHead,
    method: string,
  ): Promise<Pick<RawResponse, 'body' | 'rawTrailers' | 'complete'>> {
    const none = { body: Buffer.alloc(0), rawTrailers: [], complete: true }
    if (method === 'HEAD' || head.status === 204 || head.status === 304 || head.status === 101) return none
    if (/chunked/i.test(head.header('transfer-encoding') ?? '')) return this.#chunked()
    const length = head.header('content-length')
    if (length !== null) {
      const whole = await this.#reach(Number(length))
      return {
        body: this.#take(Math.min(this.rest.length, Number(length))),
        rawTrailers: [],
        complete: whole,
      }
    }
    while (!this.#ended) await this.#more('the end of the connection')
    return { body: this.#take(this.rest.length), rawTrailers: [], complete: true }
  }

  async #chunked(): Promise<Pick<RawResponse, 'body' | 'rawTrailers' | 'complete'>> {
    const pieces: Buffer[] = []
    const cut = () => ({ body: Buffer.concat(pieces), rawTrailers: [], complete: false })
    for (;;) {
      const line = await this.#line()
      if (line === null) return cut()
      const size = Number.parseInt(line, 16)
      if (size === 0) break
      const whole = await this.#reach(size + 2)
      pieces.push(this.#take(Math.min(this.rest.length, size)))
      if (!whole) return cut()
      this.#take(2)
    }
    const rawTrailers: string[] = []
    for (;;) {
      const line = await this.#line()
      if (line === null) return cut()
      if (line === '') return { body: Buffer.concat(pieces), rawTrailers, complete: true }
      rawTrailers.push(...splitField(line))
    }
  }

  /** The next line without its end, or null when the connection ends first. */
  async #line(): Promise<string | null> {
    let end = this.rest.indexOf('\r\n')
    for (; end === -1; end = this.rest.indexOf('\r\n')) {
      if (this.#ended) return null
      await this.#more('the end of a line')
    }
    return this.#take(end + 2)
      .toString('latin1')
      .slice(0, -2)
  }

  /** Whether so many bytes came before the connection ended. */
  async #reach(bytes: number): Promise<boolean> {
    while (this.rest.length < bytes) {
      if (this.#ended) return false
      await this.#more(`${bytes} bytes`)
    }
    return true
  }

  #take(bytes: number): Buffer {
    const taken = this.received.subarray(this.#taken, this.#taken + bytes)
    this.#taken += bytes
    return taken
  }

  async #more(what: string): Promise<void> {
    const so_far = () => JSON.stringify(this.rest.toString('latin1').slice(0, 500))
    if (this.#ended) throw new Error(`waiting for ${what}: the connection ended after ${so_far()}`)
    let timer: NodeJS.Timeout | undefined
    const came = await new Promise<boolean>((resolve) => {
      this.#wake = () => resolve(true)
      timer = setTimeout(() => resolve(false), waitMs)
    })
    clearTimeout(timer)
    if (!came) throw new Error(`waiting for ${what}: nothing within ${waitMs} ms after ${so_far()}`)
  }
}

function parseHead(text: string): RawHead {
  const [first = '', ...lines] = text.split('\r\n')
  const found = /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(first)
  if (found === null) throw new Error(`must be a status line, got ${JSON.stringify(first)}`)
  const rawHeaders = lines.filter((line) => line !== '').flatMap(splitField)
  return {
    version: found[1] as string,
    status: Number(found[2]),
    reason: found[3] as string,
    rawHeaders,
    header: (name) => valuesOf(rawHeaders, name)[0] ?? null,
  }
}

function splitField(line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}

/** All values of a name in a flat header list, in any case. */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name.toLowerCase(),
  )
}

export interface SimpleRequest {
  method?: string
  path?: string
  /** Flat list: goes out as it is. */
  headers?: readonly string[]
  body?: string | Buffer
}

export interface SimpleResponse {
  readonly status: number
  readonly rawHeaders: string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly text: string
  /** Local port of the connection: the same for requests that shared one. */
  readonly localPort: number
}

/** Plain requests to one port over keep-alive connections; gone at the end of the test. */
export class Client {
  readonly #port: number
  readonly #agent: Agent

  constructor(port: number, connections = 1) {
    this.#port = port
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections })
    onEnd(() => this.#agent.destroy())
  }

  send({ method = 'GET', path = '/', headers = [], body }: SimpleRequest = {}): Promise<SimpleResponse> {
    const bytes = body === undefined ? null : Buffer.from(body)
    const fields = ['Host', `127.0.0.1:${this.#port}`, ...headers]
    if (bytes !== null) fields.push('Content-Length', String(bytes.length))
    return new Promise((resolve, reject) => {
      const call = httpRequest(
        {
          host: '127.0.0.1',
          port: this.#port,
          method,
          path,
          agent: this.#agent,
          headers: fields,
          timeout: waitMs,
        },
        (response) => {
          const chunks: Buffer[] = []
          const localPort = response.socket.localPort as number
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            const whole = Buffer.concat(chunks)
            resolve({
              status: response.statusCode as number,
              rawHeaders: response.rawHeaders,
              headers: response.headers,
              body: whole,
              text: whole.toString('utf8'),
              localPort,
            })
          })
        },
      )
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer within ${waitMs} ms`)))
      call.on('error', reject)
      call.end(bytes)
    })
  }
}

/** Waits until nobody listens there any more. */
export function untilRefused(port: number): Promise<boolean> {
  const refused = () =>
    RawClient.connect(port).then(
      () => false,
      () => true,
    )
  return until(refused, { what: `connections to port ${port} are refused` })
}
