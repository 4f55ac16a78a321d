/**
 * Main's side of the data threads: starts, feeds and replaces them, and keeps count of what each handed
 * over.
 */
import net from 'node:net'
import { Worker } from 'node:worker_threads'
import { StartError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { transferOf } from '../queue/slab.ts'
import { Counters, threadCell, upstreamCell } from '../telemetry/counters.ts'
import type { Logger } from '../telemetry/log.ts'
import type { DataPlan, FromThread, ThreadData, ToThread } from './thread-messages.ts'

export interface SlabMessage extends Extract<FromThread, { type: 'slab' }> {
  /** How often its thread had been replaced by then. */
  readonly restarts: number
}

export interface ThreadsHost {
  readonly log: Logger
  /** A slab was handed over; give it back with `returnSlab`. */
  slab(thread: number, message: SlabMessage): void
  /** A data thread died: exchanges of a mirror slot that were in its memory are gone. */
  lost(slot: number, exchanges: number): void
}

interface DataThread {
  readonly index: number
  worker: Worker
  counters: Counters
  generation: number
  /** Exchanges handed over in slabs, by mirror slot. */
  handed: Map<number, number>
  drained: boolean
  restarts: number
}

const threadGauges = [
  threadCell.connectionsOpen,
  threadCell.tunnelsOpen,
  threadCell.exchangesOpen,
  threadCell.captureBytes,
  threadCell.slabsInUse,
  threadCell.requestsInFlight,
]

/** A thread that dies at once, again and again, is a bug that restarting will not mend. */
const RESTARTS_MAX = 100

export class DataThreads {
  readonly #threads: DataThread[] = []
  readonly #host: ThreadsHost
  readonly #connections = new SharedArrayBuffer(4)
  /** Counters of all threads that ever ran: totals must not fall when one is replaced. */
  readonly counters: Counters[] = []
  #plan: DataPlan
  #bufferBytes = 0
  #reusePort = false
  #address: { host: string; port: number } = { host: '', port: 0 }
  #stopping = false
  #waiters = new Set<() => void>()
  #sequence = 0

  constructor(plan: DataPlan, host: ThreadsHost) {
    this.#plan = plan
    this.#host = host
  }

  get size(): number {
    return this.#threads.length
  }

  /** Starts the threads and listens; resolves with the port when every thread accepts. */
  async start(threads: number): Promise<{ host: string; port: number }> {
    const { host, port, reuse_port: shared } = this.#plan.listen
    if (port !== 0 && !shared) await assertFree(host, port)
    this.#reusePort = threads > 1 || shared
    this.#bufferBytes = Math.floor(this.#plan.capture.buffer_bytes / threads)
    for (let index = 0; index < threads; index++) this.#threads.push(this.#spawn(index))
    let bound = port
    for (const thread of this.#threads) bound = await this.#listen(thread, host, bound)
    this.#address = { host, port: bound }
    return this.#address
  }

  #spawn(index: number): DataThread {
    const counters = new Counters()
    this.counters.push(counters)
    const thread: DataThread = {
      index,
      worker: this.#worker(index, counters),
      counters,
      generation: this.#plan.generation,
      handed: new Map(),
      drained: false,
      restarts: 0,
    }
    this.#attach(thread)
    return thread
  }

  #worker(index: number, counters: Counters): Worker {
    const data: ThreadData = {
      index,
      plan: this.#plan,
      counters: counters.buffer,
      connections: this.#connections,
      bufferBytes: this.#bufferBytes,
      reusePort: this.#reusePort,
    }
    return new Worker(new URL('./thread.ts', import.meta.url), {
      workerData: data,
      name: `data-${index}`,
      resourceLimits: { maxYoungGenerationSizeMb: limits.data_thread_young_mib },
    })
  }

  #attach(thread: DataThread): void {
    const { worker } = thread
    worker.on('message', (message: FromThread) => this.#receive(thread, message))
    worker.on('error', (error) =>
      this.#host.log.error({ thread: thread.index, err: error }, 'data thread failed'),
    )
    worker.on('exit', () => this.#exited(thread, worker))
  }

  async #listen(thread: DataThread, host: string, port: number): Promise<number> {
    const answer = await new Promise<FromThread>((resolve, reject) => {
      const onMessage = (message: FromThread): void => {
        if (message.type !== 'listening' && message.type !== 'listen_failed') return
        thread.worker.off('message', onMessage)
        resolve(message)
      }
      thread.worker.on('message', onMessage)
      thread.worker.once('error', reject)
      this.#post(thread, { type: 'listen', host, port })
    })
    if (answer.type === 'listening') return answer.port
    throw listenError(host, port, answer.type === 'listen_failed' ? answer : { code: '', message: '' })
  }

  #post(thread: DataThread, message: ToThread, transfer: ArrayBuffer[] = []): void {
    thread.worker.postMessage(message, transfer)
  }

  #receive(thread: DataThread, message: FromThread): void {
    switch (message.type) {
      case 'slab': {
        for (let at = 0; at < message.counts.length; at += 2) {
          const slot = message.counts[at] as number
          thread.handed.set(slot, (thread.handed.get(slot) ?? 0) + (message.counts[at + 1] as number))
        }
        return this.#host.slab(thread.index, {
          ...message,
          sequence: this.#uniqueSequence(),
          restarts: thread.restarts,
        })
      }
      case 'plan_applied':
        thread.generation = message.generation
        return this.#changed()
      case 'drained':
        thread.drained = true
        return this.#changed()
      case 'flushed':
        return this.#changed()
      case 'warning': {
        const { kind, count } = message
        return this.#host.log.warn({ thread: thread.index, kind, count }, message.message)
      }
      case 'listening':
      case 'listen_failed':
        return
      default:
        throw new Error(`unknown message from a data thread: ${JSON.stringify(message)}`)
    }
  }

  /** Numbers of a replaced thread would begin anew: frames need one that never repeats. */
  #uniqueSequence(): number {
    this.#sequence += 1
    return this.#sequence
  }

  #changed(): void {
    for (const waiter of this.#waiters) waiter()
  }

  #until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!done()) return
        this.#waiters.delete(check)
        resolve()
      }
      this.#waiters.add(check)
      check()
    })
  }

  /** What a thread held ended with it; its totals stay. */
  #forgetGauges(cells: Float64Array): void {
    Atomics.sub(new Int32Array(this.#connections), 0, cells[threadCell.connectionsOpen] as number)
    for (const cell of threadGauges) cells[cell] = 0
    for (let slot = 0; slot < limits.upstreams_max; slot++) {
      cells[Counters.upstream(slot, upstreamCell.inFlight)] = 0
      cells[Counters.upstream(slot, upstreamCell.ejected)] = 0
    }
  }

  #exited(thread: DataThread, worker: Worker): void {
    if (thread.worker !== worker) return
    this.#forgetGauges(thread.counters.cells)
    for (let slot = 0; slot < limits.mirrors_max; slot++) {
      const lost = thread.counters.readMirror(slot).slabbed - (thread.handed.get(slot) ?? 0)
      if (lost > 0) this.#host.lost(slot, lost)
    }
    if (this.#stopping || thread.restarts >= RESTARTS_MAX) {
      thread.drained = true
      return this.#changed()
    }
    thread.restarts += 1
    const counters = new Counters()
    this.counters.push(counters)
    Object.assign(thread, { counters, handed: new Map(), worker: this.#worker(thread.index, counters) })
    this.#attach(thread)
    const { host, port } = this.#address
    void this.#listen(thread, host, port).catch((error: unknown) =>
      this.#host.log.error({ thread: thread.index, err: error }, 'data thread cannot listen again'),
    )
    thread.generation = this.#plan.generation
    this.#changed()
  }

  /** Gives the memory of a slab back to its thread. */
  returnSlab(index: number, { restarts }: SlabMessage, slab: ArrayBufferLike): void {
    const thread = this.#borrower(index, restarts)
    if (thread !== null) this.#post(thread, { type: 'slab_return', slab }, transferOf(slab))
  }

  /** Memory that was not shared died with its recorder; `bytes`: its size. */
  slabLost(index: number, { restarts }: SlabMessage, bytes: number): void {
    const thread = this.#borrower(index, restarts)
    if (thread !== null) this.#post(thread, { type: 'slab_lost', bytes })
  }

  /** Null when it was replaced: the next one has memory of its own, and counts it. */
  #borrower(index: number, restarts: number): DataThread | null {
    const thread = this.#threads[index]
    return thread?.restarts === restarts ? thread : null
  }

  /** Swaps the plan; resolves once every thread has switched. */
  async apply(plan: DataPlan): Promise<void> {
    this.#plan = plan
    for (const thread of this.#threads) this.#post(thread, { type: 'plan', plan })
    await this.#until(() => this.#threads.every(({ generation }) => generation >= plan.generation))
  }

  /** Asks for what is in the slabs now. */
  flush(): void {
    for (const thread of this.#threads) this.#post(thread, { type: 'flush' })
  }

  /** Drains; false when `withinMs` passed first and connections had to be cut. */
  async drain(graceMs: number, withinMs: number): Promise<boolean> {
    this.#stopping = true
    for (const thread of this.#threads) this.#post(thread, { type: 'drain', graceMs })
    const drained = this.#until(() => this.#threads.every((thread) => thread.drained))
    if (await within(drained, withinMs)) return true
    for (const thread of this.#threads) this.#post(thread, { type: 'abort' })
    await within(drained, ABORT_MS)
    return false
  }

  async end(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }
}

/** Time for aborted exchanges to be sealed and handed over. */
const ABORT_MS = 2000

async function within(done: Promise<void>, ms: number): Promise<boolean> {
  const timer = Promise.withResolvers<boolean>()
  const timeout = setTimeout(() => timer.resolve(false), ms)
  const result = await Promise.race([done.then(() => true), timer.promise])
  clearTimeout(timeout)
  return result
}

/** Binds once without SO_REUSEPORT: with it, a second gateway would share the port in silence. */
async function assertFree(host: string, port: number): Promise<void> {
  const server = net.createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, exclusive: true }, resolve)
    })
  } catch (error) {
    throw listenError(host, port, error as NodeJS.ErrnoException)
  }
  await new Promise((resolve) => server.close(resolve))
}

function listenError(
  host: string,
  port: number,
  error: { code?: string | undefined; message: string },
): StartError {
  const where = `listen.host ${host}, port ${port}`
  if (error.code === 'EADDRINUSE') {
    return new StartError(
      `${where}: the port is taken: stop what listens there, or choose another listen.port`,
    )
  }
  if (error.code === 'EACCES') {
    return new StartError(
      `${where}: this user may not bind the port: choose one above 1023, or grant CAP_NET_BIND_SERVICE`,
    )
  }
  return new StartError(`${where}: cannot listen: ${error.message}`)
}
