/**
 * Main's side of the threads that read configurations: whatever a text holds, main goes on, and a text that
 * takes too long or too much memory ends its thread and nothing else.
 */
import { Piscina } from 'piscina'
import { type LoadAnswer, type LoadTask, loadedFrom, type Verdict } from '../config/load-task.ts'
import type { Loaded } from '../config/load.ts'
import type { Problem } from '../config/problems.ts'
import type { PluginModule } from '../config/schema.ts'
import { BusyError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'

/** A script that changes one thing after the other finds its thread still there. */
const IDLE_MS = 10_000

type Task = Omit<LoadTask, 'file' | 'running' | 'verdictOnly'>
type Refused = Extract<Loaded, { ok: false }>

interface ReaderOptions {
  readonly worker: URL
  /** As the user named it; `-` is stdin, which cannot be read again. */
  readonly file: string
  /** Those that the gateway was started with. */
  readonly plugins: readonly PluginModule[]
  /** Other bounds only in tests. */
  readonly bounds?: Bounds
}

interface Bounds {
  readonly ms: number
  readonly heapMib: number
}

export class ConfigurationReader {
  readonly #file: string
  readonly #plugins: readonly PluginModule[]
  /** Two, so that a check never makes a change wait. */
  readonly #changes: Thread
  readonly #checks: Thread
  #checking = 0

  constructor({ worker, file, plugins, bounds }: ReaderOptions) {
    const { config_load_ms: ms, config_load_heap_mib: heapMib } = limits
    this.#file = file
    this.#plugins = plugins
    this.#changes = new Thread(worker, bounds ?? { ms, heapMib })
    this.#checks = new Thread(worker, bounds ?? { ms, heapMib })
  }

  /** A configuration that can be applied, or every problem of it. */
  async load(task: Task): Promise<Loaded> {
    const answer = await this.#ask(this.#changes, { ...this.#whole(task), verdictOnly: false })
    return loadedFrom(answer as Exclude<LoadAnswer, Verdict>)
  }

  /** Whether a configuration could be applied. Throws a BusyError when too many are being asked for. */
  async check(task: Task): Promise<Verdict> {
    if (this.#checking >= limits.config_checks_max)
      throw new BusyError('too many configurations are being checked: try again later')
    this.#checking += 1
    try {
      return (await this.#ask(this.#checks, { ...this.#whole(task), verdictOnly: true })) as Verdict
    } finally {
      this.#checking -= 1
    }
  }

  #whole(task: Task): Omit<LoadTask, 'verdictOnly'> {
    return { ...task, file: this.#file, running: this.#plugins }
  }

  async #ask(thread: Thread, task: LoadTask): Promise<LoadAnswer> {
    if (task.file === '-' && task.text === undefined)
      return this.#refused('came from stdin, which cannot be read again')
    const answer = await thread.run(task)
    return 'tooMuch' in answer ? this.#refused(answer.tooMuch) : answer
  }

  #refused(message: string): Refused {
    const problem: Problem = { file: this.#file, line: 1, column: 1, path: '', message }
    return { ok: false, problems: [problem] }
  }

  async close(): Promise<void> {
    await Promise.all([this.#changes.close(), this.#checks.close()])
  }
}

/** One thread that comes with its task and stays for a while; tasks are run one after the other. */
class Thread {
  readonly #pool: Piscina
  readonly #bounds: Bounds
  #last: Promise<unknown> = Promise.resolve()

  constructor(worker: URL, bounds: Bounds) {
    this.#bounds = bounds
    this.#pool = new Piscina({
      filename: worker.href,
      name: 'load',
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
      atomics: 'disabled',
      recordTiming: false,
      resourceLimits: { maxOldGenerationSizeMb: bounds.heapMib },
      workerData: { pool: 'configuration' },
    })
    // A task that was running gets its own rejection; this one is for threads that die idle.
    this.#pool.on('error', () => {})
  }

  /** The time of a task begins with its turn. */
  run(task: LoadTask): Promise<LoadAnswer | { readonly tooMuch: string }> {
    const next = this.#last.then(() => this.#run(task))
    this.#last = next.catch(() => {})
    return next
  }

  async #run(task: LoadTask): Promise<LoadAnswer | { readonly tooMuch: string }> {
    const { ms, heapMib } = this.#bounds
    const signal = AbortSignal.timeout(ms)
    try {
      return (await this.#pool.run(task, { signal })) as LoadAnswer
    } catch (error) {
      if (signal.aborted) return { tooMuch: `must be read and judged within ${ms} ms` }
      if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_OUT_OF_MEMORY') throw error
      return { tooMuch: `must be read and judged within ${heapMib} MiB of memory` }
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }
}
