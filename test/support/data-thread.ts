/** One data thread alone, without the rest of the gateway: a real worker, and the slabs it hands over. */
import { Worker } from 'node:worker_threads'
import { Value } from 'typebox/value'
import { type GatewayFile, GatewaySchema } from '../../src/config/schema.ts'
import type { CapturedExchange } from '../../src/contract/exchange.ts'
import type { DataPlan, FromThread, ThreadData, ToThread } from '../../src/proxy/thread-messages.ts'
import { transferOf } from '../../src/queue/slab.ts'
import {
  Counters,
  collectionCell,
  type mirrorCell,
  threadCell,
  upstreamCell,
} from '../../src/telemetry/counters.ts'
import { onEnd } from './cleanup.ts'
import { exchangesIn } from './slab.ts'
import { until } from './wait.ts'

type Parts<T extends object> = { [K in keyof T]?: Deep<T[K]> }
type Deep<T> = T extends readonly (infer E)[] ? Deep<E>[] : T extends object ? Parts<T> : T

export interface PlanParts {
  listen?: Deep<GatewayFile['listen']>
  capture?: Deep<GatewayFile['capture']>
  collections: (Deep<GatewayFile['collections'][number]> & { name: string })[]
  mirrors?: (Deep<GatewayFile['mirrors'][number]> & { name: string })[]
  capturing?: boolean
}

const slots = new Map<string, number>()
function slotOf(kind: string, name: string): number {
  const key = `${kind} ${name}`
  const ofKind = [...slots.keys()].filter((other) => other.startsWith(`${kind} `)).length
  if (!slots.has(key)) slots.set(key, ofKind)
  return slots.get(key) as number
}

let generations = 0

/** A plan with the defaults of gateway.yaml. */
export function planOf({ capturing = true, mirrors = [], ...parts }: PlanParts): DataPlan {
  const withSinks = mirrors.map((mirror) => ({ sink: 'blackhole', ...mirror }))
  const file = Value.Default(GatewaySchema, { ...parts, mirrors: withSinks }) as GatewayFile
  return {
    generation: ++generations,
    listen: { threads: 1, ...file.listen },
    capture: file.capture,
    capturing,
    collections: file.collections.map((collection) => ({
      ...collection,
      slot: slotOf('collection', collection.name),
      upstreamSlots: collection.upstreams.map(({ url }) => slotOf('upstream', `${collection.name} ${url}`)),
    })),
    mirrors: file.mirrors.map((mirror) => ({
      ...mirror,
      slot: slotOf('mirror', mirror.name),
    })) as DataPlan['mirrors'],
  }
}

/** A captured exchange whose bodies outlive the slab. */
export type Captured = Omit<CapturedExchange, 'requestBody' | 'responseBody'> & {
  requestBody: { text: string; bytes: Buffer; size: number; limited: boolean }
  responseBody: { text: string; bytes: Buffer; size: number; limited: boolean }
}

type Slab = Extract<FromThread, { type: 'slab' }>

function copied({ bytes, size, limited }: CapturedExchange['requestBody']): Captured['requestBody'] {
  return { bytes: Buffer.from(bytes), text: bytes.toString('utf8'), size, limited }
}

export class DataThread {
  readonly worker: Worker
  readonly counters = new Counters()
  readonly connections = new SharedArrayBuffer(4)
  readonly captured: Captured[] = []
  readonly slabs: Omit<Slab, 'slab'>[] = []
  readonly warnings: string[] = []
  /** What came back from the thread, in order. */
  readonly messages: FromThread[] = []
  /** False: slabs are kept, as a recorder that is stuck would. */
  returning = true
  readonly #kept: ArrayBufferLike[] = []
  port = 0
  #plan: DataPlan

  constructor(parts: PlanParts, extra: Partial<ThreadData> = {}) {
    this.#plan = planOf(parts)
    const data: ThreadData = {
      index: 0,
      plan: this.#plan,
      counters: this.counters.buffer,
      connections: this.connections,
      bufferBytes: this.#plan.capture.buffer_bytes,
      reusePort: false,
      ...extra,
    }
    this.worker = new Worker(new URL('../../src/proxy/thread.ts', import.meta.url), { workerData: data })
    this.worker.on('message', (message: FromThread) => this.#receive(message))
    onEnd(() => this.worker.terminate())
  }

  #receive(message: FromThread): void {
    this.messages.push(message)
    if (message.type === 'warning')
      this.warnings.push(`${message.kind} ×${message.count}: ${message.message}`)
    if (message.type !== 'slab') return
    const { slab, ...rest } = message
    this.slabs.push(rest)
    for (const exchange of exchangesIn({ slab, used: message.used })) {
      this.captured.push({
        ...exchange,
        requestBody: copied(exchange.requestBody),
        responseBody: copied(exchange.responseBody),
      })
    }
    this.#kept.push(slab)
    if (this.returning) this.giveBack()
  }

  /** Gives back what was kept. */
  giveBack(): void {
    for (const slab of this.#kept.splice(0)) this.post({ type: 'slab_return', slab }, transferOf(slab))
  }

  post(message: ToThread, transfer: ArrayBuffer[] = []): void {
    this.worker.postMessage(message, transfer)
  }

  /** Resolves with the first message of a type from now on. */
  next<Type extends FromThread['type']>(type: Type): Promise<Extract<FromThread, { type: Type }>> {
    return new Promise((resolve, reject) => {
      const onMessage = (message: FromThread) => {
        if (message.type !== type) return
        this.worker.off('message', onMessage)
        resolve(message as Extract<FromThread, { type: Type }>)
      }
      this.worker.on('message', onMessage)
      this.worker.once('exit', () => reject(new Error(`data thread ended, waiting for ${type}`)))
    })
  }

  async listen(): Promise<this> {
    const listening = this.next('listening')
    this.post({ type: 'listen', host: '127.0.0.1', port: 0 })
    this.port = (await listening).port
    return this
  }

  async apply(parts: PlanParts): Promise<void> {
    this.#plan = planOf(parts)
    const applied = this.next('plan_applied')
    this.post({ type: 'plan', plan: this.#plan })
    await applied
  }

  /** Waits until so many exchanges were captured, and returns them. */
  async exchanges(count: number): Promise<Captured[]> {
    const flushed = this.next('flushed')
    this.post({ type: 'flush' })
    await flushed
    await until(() => this.captured.length >= count, {
      what: `${count} captured exchanges, have ${this.captured.length}`,
    })
    return this.captured
  }

  cell(name: keyof typeof threadCell): number {
    return this.counters.cells[threadCell[name]] as number
  }
  upstream(collection: string, url: string, name: keyof typeof upstreamCell): number {
    return this.counters.cells[
      Counters.upstream(slotOf('upstream', `${collection} ${url}`), upstreamCell[name])
    ] as number
  }
  collection(name: string, cell: keyof typeof collectionCell, index = 0): number {
    return this.counters.cells[
      Counters.collection(slotOf('collection', name), collectionCell[cell]) + index
    ] as number
  }
  mirror(name: string): Record<keyof typeof mirrorCell, number> {
    return this.counters.readMirror(slotOf('mirror', name))
  }

  /** Waits until no connection, no exchange and no byte of a capture is left. */
  async quiet(): Promise<void> {
    await until(
      () =>
        this.cell('connectionsOpen') === 0 &&
        this.cell('exchangesOpen') === 0 &&
        this.cell('requestsInFlight') === 0,
      { what: 'no connection and no exchange left' },
    )
  }
}

/** A thread that listens, with one collection `api` before this upstream unless said otherwise. */
export function startThread(
  upstream: { url: string } | { url: string }[],
  parts: Partial<PlanParts> & { collection?: Deep<GatewayFile['collections'][number]> } = {},
  extra: Partial<ThreadData> = {},
): Promise<DataThread> {
  const { collection, ...rest } = parts
  const upstreams = [upstream].flat().map(({ url }) => ({ url }))
  const collections = [
    { name: 'api', upstreams, mirrors: (rest.mirrors ?? []).map(({ name }) => name), ...collection },
  ] as PlanParts['collections']
  return new DataThread({ collections, ...rest }, extra).listen()
}
