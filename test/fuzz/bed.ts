/** A gateway between raw sockets: every byte that a client sent, and every byte that an upstream got. */
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { startRawUpstream } from '../support/upstream.ts'
import { until } from '../support/wait.ts'
import { prefixes } from './path-judge.ts'
import { type Judged, readRequest } from './request-judge.ts'

/** One request as it arrived at an upstream. */
export interface Arrival {
  readonly request: Judged
  /** In order of arrival, over all upstreams. */
  readonly serial: number
  readonly collection: string
}

/** What becomes of a request that has arrived. */
export type Script = (arrival: Arrival, socket: Socket) => void

const TURNS = 8

/** A case that takes longer hangs. */
export const HANG_MS = 8000

interface Link {
  text: string
  at: number
  /** The head of the request that is arriving was seen. */
  begun: boolean
}

export class Bed {
  readonly gateway: TestGateway
  readonly arrivals: Arrival[] = []
  /** Requests of which a part had arrived when their connection ended. */
  readonly partials: Judged[] = []
  /** What upstreams saw that must not be. */
  readonly wrong: string[] = []
  script: Script = () => {}
  /** Called at the head of a request that expects a 100. */
  onExpect: (socket: Socket) => void = (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n')
  /** Called with what of a request has arrived, whenever more of it has. */
  onProgress: (request: Judged, socket: Socket) => void = () => {}
  readonly #links: Map<Socket, Link>
  readonly #agent = new Agent({ keepAlive: true })
  #serial = 0
  #canaries = 0

  private constructor(gateway: TestGateway, links: Map<Socket, Link>) {
    this.gateway = gateway
    this.#links = links
  }

  static async start(): Promise<Bed> {
    let bed: Bed | null = null
    const links = new Map<Socket, Link>()
    const accept = (collection: string) => (socket: Socket) => {
      links.set(socket, { text: '', at: 0, begun: false })
      socket.on('close', () => bed?.left(socket))
      socket.on('data', (chunk: Buffer) => bed?.receive(socket, collection, chunk))
    }
    const collections = [...Object.entries(prefixes), ['/', 'any']] as const
    const upstreams = await Promise.all(collections.map(([, name]) => startRawUpstream(accept(name))))
    const gateway = await startTestGateway({
      config: {
        collections: collections.map(([prefix, name], at) => ({
          ...{ name, prefix, strip_prefix: name === 'cut', upstreams: [{ url: upstreams[at]?.url }] },
          retry: { attempts: 0 },
        })),
        logging: { level: 'info', format: 'json' },
      },
    })
    bed = new Bed(gateway, links)
    return bed
  }

  receive(socket: Socket, collection: string, chunk: Buffer): void {
    const link = this.#links.get(socket)
    if (link === undefined) return
    link.text += chunk.toString('latin1')
    for (;;) {
      const request = readRequest(link.text, link.at)
      if (request === null) return
      if (request.state === 'bad')
        this.wrong.push(`${request.why}: ${JSON.stringify(link.text.slice(link.at))}`)
      const expects = request.inBody && request.fields.some(([name]) => /^expect$/i.test(name))
      if (expects && !link.begun) this.onExpect(socket)
      link.begun = request.inBody
      this.onProgress(request, socket)
      if (request.state !== 'whole') return
      link.at = request.end
      link.begun = false
      const arrival = { request, serial: this.#serial++, collection }
      if (request.target.startsWith('/canary/')) answerCanary(arrival, socket)
      else {
        this.arrivals.push(arrival)
        this.script(arrival, socket)
      }
    }
  }

  left(socket: Socket): void {
    const link = this.#links.get(socket)
    this.#links.delete(socket)
    const request = link === undefined ? null : readRequest(link.text, link.at)
    if (request !== null) this.partials.push(request)
  }

  /** Whether half a request stands on a connection that is open. */
  get busy(): boolean {
    return [...this.#links.values()].some(({ text, at }) => at < text.length)
  }

  /** Before a case: what was seen of the one before is forgotten. */
  reset(): void {
    this.arrivals.length = 0
    this.partials.length = 0
    this.wrong.length = 0
  }

  /** Waits until the gateway has noticed that a client has left. */
  async #noticed(): Promise<void> {
    // Connections are accepted in order: the one of the case was, when this one is answered.
    await this.#canary(false)
    const open = async () => {
      const text = await this.#get(this.gateway.adminPort, '/metrics', this.#agent)
      return Number(/^mirrorgate_connections_open (\d+)$/m.exec(text)?.[1])
    }
    await until(async () => (await open()) <= 1, {
      ...{ what: 'only the connection of the canary is left', within_ms: HANG_MS, every_ms: 2 },
    })
  }

  /**
   * After a case: nothing half-sent is left, the gateway lives, and another client is answered its own.
   * `left`: the client of the case has not waited for its answers.
   */
  async settle(left = false): Promise<void> {
    try {
      if (left) await this.#noticed()
      // What the gateway has written is in our sockets: new ones are accepted, read and closed in turns.
      for (let turn = 0; turn < TURNS; turn++) await setImmediate()
      await this.#quiet()
    } catch (error) {
      this.wrong.push(String(error))
    }
  }

  async #quiet(): Promise<void> {
    await until(() => !this.busy, {
      what: 'no upstream connection is left with half a request',
      within_ms: HANG_MS,
      every_ms: 2,
    })
    await Promise.all([this.#canary(this.#agent), this.#alive()])
  }

  async #canary(agent: Agent | false): Promise<void> {
    const name = `/canary/${this.#canaries++}`
    const answer = await this.#get(this.gateway.port, name, agent)
    if (answer !== `200 ${name}`) throw new Error(`the canary must be answered ${name}, got ${answer}`)
  }

  async #alive(): Promise<void> {
    const answer = await this.#get(this.gateway.adminPort, '/healthz', this.#agent)
    if (!answer.startsWith('200 ')) throw new Error(`/healthz must be 200, got ${answer}`)
  }

  #get(port: number, path: string, agent: Agent | false): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = get({ host: '127.0.0.1', port, path, agent, timeout: HANG_MS }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1')
        })
        response.on('end', () => resolve(`${response.statusCode} ${text}`))
        response.on('error', reject)
      })
      call.on('timeout', () => call.destroy(new Error(`${path} was not answered`)))
      call.on('error', reject)
    })
  }

  /** Closes what it has opened itself; what the gateway still holds open then is a leak. */
  async finish(): Promise<string[]> {
    this.#agent.destroy()
    const metrics = async () => (await this.gateway.admin.call('GET', '/metrics')).text
    await until(async () => /^mirrorgate_connections_open 0$/m.test(await metrics()), {
      what: 'no client connection is left open in the gateway',
    })
    const level = (line: { level?: number | string }) => line.level
    return this.gateway
      .logs()
      .filter((line) => level(line) === 'error' || level(line) === 'fatal' || Number(level(line)) >= 50)
      .map((line) => JSON.stringify(line))
  }
}

function answerCanary({ request }: Arrival, socket: Socket): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${request.target.length}\r\n\r\n${request.target}`)
}

/** One client connection, byte for byte; never throws for what the gateway does with it. */
export class Wire {
  readonly socket: Socket
  text = ''
  /** The gateway has ended its side: in order, or by a reset. */
  ended: 'no' | 'order' | 'reset' = 'no'
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1')
      this.#wake()
    })
    socket.on('end', () => this.#over('order'))
    socket.on('error', () => this.#over('reset'))
    socket.on('close', () => this.#over('order'))
  }

  static async open(port: number): Promise<Wire> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    await once(socket, 'connect')
    return new Wire(socket)
  }

  #over(how: 'order' | 'reset'): void {
    if (this.ended === 'no') this.ended = how
    this.#wake()
  }

  /** Writes pieces so that each has the chance of a packet of its own. */
  async send(pieces: readonly string[]): Promise<void> {
    for (const piece of pieces) {
      if (this.socket.destroyed || !this.socket.writable) return
      await new Promise<void>((resolve) => {
        this.socket.write(piece, 'latin1', () => resolve())
      })
      await setImmediate()
    }
  }

  /** Waits until `enough` of what has arrived, or the end. False: neither came in time. */
  async reach(enough: (text: string) => boolean): Promise<boolean> {
    const deadline = performance.now() + HANG_MS
    while (this.ended === 'no' && !enough(this.text)) {
      const left = deadline - performance.now()
      if (left <= 0) return false
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        timer = setTimeout(resolve, left)
      })
      clearTimeout(timer)
    }
    return true
  }
}
