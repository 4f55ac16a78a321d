/** A client of the gateway's admin port: JSON in and out, one connection per call. */
import { request } from 'node:http'
import type { DeliveryView, StatusView } from '../src/admin/commands.ts'

export interface AdminAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** An answer other than 2xx where one was needed. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly status: number

  constructor(call: string, { status, text }: AdminAnswer) {
    super(`${call}: status must be 2xx, got ${status}: ${text.slice(0, 500)}`)
    this.status = status
  }
}

const timeoutMs = 10_000
const answerBytesMax = 16 * 1024 * 1024

export class AdminClient {
  readonly port: number
  readonly #token: string

  constructor(port: number, token: string) {
    this.port = port
    this.#token = token
  }

  /** Any call, any status. */
  call(method: string, path: string, body?: unknown): Promise<AdminAnswer> {
    const text = body === undefined ? '' : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port: this.port,
          method,
          path,
          agent: false,
          timeout: timeoutMs,
          headers: {
            ...(this.#token === '' ? {} : { authorization: `Bearer ${this.#token}` }),
            ...(text === ''
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          },
        },
        (response) => {
          const chunks: Buffer[] = []
          let size = 0
          response.on('data', (chunk: Buffer) => {
            size += chunk.length
            if (size > answerBytesMax)
              response.destroy(new Error(`answer must be at most ${answerBytesMax} bytes`))
            else chunks.push(chunk)
          })
          response.on('end', () =>
            resolve({
              status: response.statusCode as number,
              headers: response.headers,
              text: Buffer.concat(chunks).toString('utf8'),
            }),
          )
          response.on('error', reject)
        },
      )
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer within ${timeoutMs} ms`)))
      call.on('error', reject)
      call.end(text)
    })
  }

  /** A call that must be answered 2xx with JSON. */
  async json<Value>(method: string, path: string, body?: unknown): Promise<Value> {
    const answer = await this.call(method, path, body)
    if (answer.status < 200 || answer.status > 299) throw new AdminError(`${method} ${path}`, answer)
    return JSON.parse(answer.text) as Value
  }

  mirror(name: string): Promise<DeliveryView> {
    return this.json('GET', `/api/mirrors/${encodeURIComponent(name)}`)
  }
  pause(name: string): Promise<DeliveryView> {
    return this.json('POST', `/api/mirrors/${encodeURIComponent(name)}/pause`)
  }
  resume(name: string): Promise<DeliveryView> {
    return this.json('POST', `/api/mirrors/${encodeURIComponent(name)}/resume`)
  }
  replay(name: string): Promise<DeliveryView> {
    return this.json('POST', `/api/mirrors/${encodeURIComponent(name)}/replay`)
  }
  status(): Promise<StatusView> {
    return this.json('GET', '/api/status')
  }
  async metrics(): Promise<Metrics> {
    const answer = await this.call('GET', '/metrics')
    if (answer.status !== 200) throw new AdminError('GET /metrics', answer)
    return parseMetrics(answer.text)
  }
}

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Prometheus text, parsed. */
export class Metrics {
  readonly samples: readonly Sample[]

  constructor(samples: readonly Sample[]) {
    this.samples = samples
  }

  /** Values of all series with this name (with or without the prefix) that carry these labels. */
  values(name: string, labels: Readonly<Record<string, string>> = {}): number[] {
    const full = name.startsWith('mirrorgate_') ? name : `mirrorgate_${name}`
    const wanted = Object.entries(labels)
    return this.samples
      .filter(
        (sample) => sample.name === full && wanted.every(([key, value]) => sample.labels[key] === value),
      )
      .map(({ value }) => value)
  }

  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.values(name, labels).reduce((total, value) => total + value, 0)
  }
}

export function parseMetrics(text: string): Metrics {
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line)
    if (found === null) continue
    const [, name = '', labelText = '', value = ''] = found
    const labels: Record<string, string> = {}
    for (const [, key = '', raw = ''] of labelText.matchAll(/([\w]+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = raw.replaceAll('\\"', '"').replaceAll('\\n', '\n').replaceAll('\\\\', '\\')
    }
    samples.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) })
  }
  return new Metrics(samples)
}
