/** Main's side of the recorder pool: hands slabs over, and knows which recorder threads are alive. */
import os from 'node:os'
import { Piscina } from 'piscina'
import type { RecordResult, RecordTask } from '../contract/tasks.ts'
import { transferOf } from '../queue/slab.ts'

/** A few threads record for many: one does about a quarter of the work of a data thread. */
const CORES_PER_RECORDER = 2
const RECORDERS_MAX = 4

export function recorderThreads(): number {
  return Math.max(1, Math.min(RECORDERS_MAX, Math.floor(os.availableParallelism() / CORES_PER_RECORDER)))
}

export class RecorderPool {
  readonly #pool: Piscina
  readonly threads: number
  #closed: Promise<void> | null = null
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(worker: URL) {
    this.threads = recorderThreads()
    this.#free = this.threads
    this.#pool = new Piscina({
      filename: worker.href,
      name: 'record',
      minThreads: this.threads,
      maxThreads: this.threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: 1,
      // The event loop must run between tasks: fsync timers live there.
      atomics: 'disabled',
      recordTiming: false,
      workerData: { pool: 'recorder' },
    })
    // A task that was running gets its own rejection; this one is for threads that die idle.
    this.#pool.on('error', () => {})
  }

  /**
   * Resolves when a thread is free, with what gives it back: a task is made then, so that its bounds are
   * those of the moment, and not of the moment when its slab came.
   */
  async turn(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }

  /** Rejects when its thread died or threw: what it wrote is on disk, a slab that is not shared is gone. */
  record(task: RecordTask): Promise<RecordResult> {
    // The cast: piscina's type asks for the options of structuredClone where it takes the list.
    return this.#pool.run(task, { transferList: transferOf(task.slab) as never }) as Promise<RecordResult>
  }

  /** Ids of the living threads: segments of others are closed. */
  alive(): Set<number> {
    return new Set(this.#pool.threads.map((thread) => thread.threadId))
  }

  /** Ends the threads after their last task. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#pool.close()
    return this.#closed
  }
}
