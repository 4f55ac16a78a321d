/**
 * Main's side of the shipper pool: deliveries, segment reads and probes. Its methods never reject for a
 * lost thread.
 */
import os from 'node:os'
import { Piscina } from 'piscina'
import type { PluginModule } from '../config/schema.ts'
import type {
  EventsResult,
  EventsTask,
  EventsVerdict,
  IndexResult,
  IndexTask,
  PostedBody,
  ProbeTask,
  ShipResult,
  ShipTask,
} from '../contract/tasks.ts'

/** Each leg bounds its own deliveries; the pool must never be what makes one leg wait for another. */
const TASKS_PER_THREAD = 4096
const CORES_FOR_TWO = 8
const INDEX_TRIES = 3

export class ShipperPool {
  readonly #pool: Piscina
  readonly threads: number

  /** `plugins`: those outside the tree, which every thread loads. */
  constructor(worker: URL, plugins: readonly PluginModule[]) {
    this.threads = os.availableParallelism() >= CORES_FOR_TWO ? 2 : 1
    this.#pool = new Piscina({
      filename: worker.href,
      minThreads: this.threads,
      maxThreads: this.threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: TASKS_PER_THREAD,
      atomics: 'disabled',
      recordTiming: false,
      workerData: { pool: 'shipper', plugins },
    })
    this.#pool.on('error', () => {})
  }

  /** A thread that dies loses nothing: the batch is on disk and is tried again. */
  async ship(task: ShipTask): Promise<ShipResult> {
    const started = performance.now()
    try {
      return (await this.#pool.run(task, { name: 'ship' })) as ShipResult
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return {
        ok: false,
        kind: 'bug',
        message: `the delivery thread ended: ${reason}`,
        status: null,
        retryAfterMs: null,
        answer: null,
        network: false,
        latencyMs: performance.now() - started,
        item: null,
        corrupt: [],
      }
    }
  }

  /** Rejects when the file cannot be read. A thread that died is no reason: another one reads it. */
  async index(task: IndexTask): Promise<IndexResult> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await this.#pool.run(task, { name: 'index' })) as IndexResult
      } catch (error) {
        if (attempt === INDEX_TRIES) throw error
      }
    }
  }

  /** Rejects when its thread dies: a body that ends one would end the next. */
  async judgeEvents(body: PostedBody): Promise<EventsVerdict> {
    return (await this.#pool.run(body, { name: 'judgeEvents' })) as EventsVerdict
  }

  /** Rejects when its thread dies: nothing of it counts then. */
  async writeEvents(task: EventsTask): Promise<EventsResult> {
    return (await this.#pool.run(task, { name: 'writeEvents' })) as EventsResult
  }

  async probe(task: ProbeTask): Promise<boolean> {
    try {
      return (await this.#pool.run(task, { name: 'probe' })) as boolean
    } catch {
      return false
    }
  }

  /**
   * Ends the threads; deliveries on their way are cut off and go out again under their ids at the next
   * start.
   */
  async destroy(): Promise<void> {
    await this.#pool.destroy()
  }
}
