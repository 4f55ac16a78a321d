/**
 * Appends to the activity log: what comes while a transaction is under way goes into the next one together
 * (group commit), and is answered once that is on the disk.
 */
import { statfsSync } from 'node:fs'
import type { RootDatabase } from 'lmdb'
import type { NewActivity } from '../../contract/activity.ts'
import { environments } from '../../contract/environments.ts'
import { EntryTooLargeError, BusyError, StorageFullError } from '../../contract/errors.ts'
import { limits } from '../../contract/limits.ts'
import { commitReason } from '../commit-reason.ts'
import type { Chains } from './chains.ts'
import { HEAD_BYTES, type IndexedFields, indexedFields, payloadRest, storedEntry } from './format.ts'

/** An entry that has its id and its place in the chain. */
export interface Appended {
  readonly id: number
  readonly value: Buffer
  readonly fields: IndexedFields
}

/** One append: all of it goes into one transaction. */
interface Job {
  readonly entries: readonly { readonly rest: string; readonly fields: IndexedFields }[]
  readonly bytes: number
  readonly more: MoreWrites
  readonly resolve: (ids: number[]) => void
  readonly reject: (error: Error) => void
}

/** What else a transaction does beside its entries. */
export interface MoreWrites {
  /** Before the transaction: changes the chains, as retention does; whatever can fail comes first. */
  change?(chains: Chains): void
  /** Inside it, with the first id of the append; must not throw. */
  write?(firstId: number): void
}

interface Group {
  readonly jobs: readonly { readonly job: Job; readonly firstId: number }[]
  readonly appended: readonly Appended[]
  readonly chains: Chains
}

/** What the log does around a transaction. */
export interface AppendSteps {
  /** Before it: what else it has to write; runs inside it and must not throw. */
  prepare(appended: readonly Appended[], chains: Chains): () => void
  /** After it: the entries stand, or nothing was written. */
  settle(committed: boolean, appended: readonly Appended[]): void
  /** Seconds from the call to the disk, of one append. */
  observe(seconds: number): void
}

const earliest = Date.parse('0000-01-01T00:00:00Z')
const latest = Date.parse('9999-12-31T23:59:59.999Z')

export class ActivityWriter {
  readonly #env: RootDatabase
  readonly #dataDir: string
  readonly #put: (entry: Appended) => void
  readonly #steps: AppendSteps
  readonly #queue: Job[] = []
  #queuedBytes = 0
  #chains: Chains
  #lastId: number
  #running: Promise<void> | null = null
  readonly #flushing = new Set<Promise<void>>()

  constructor(
    env: RootDatabase,
    dataDir: string,
    start: { readonly chains: Chains; readonly lastId: number },
    put: (entry: Appended) => void,
    steps: AppendSteps,
  ) {
    this.#env = env
    this.#dataDir = dataDir
    this.#chains = start.chains
    this.#lastId = start.lastId
    this.#put = put
    this.#steps = steps
  }

  /** Where every chain stands now; replaced with every commit. */
  get chains(): Chains {
    return this.#chains
  }

  get lastId(): number {
    return this.#lastId
  }

  /**
   * Resolves with the ids once the entries, and what belongs to them, are on the disk. Throws
   * BusyError or EntryTooLargeError, rejects with StorageFullError, when nothing was written.
   */
  append(entries: readonly NewActivity[], more: MoreWrites = {}): Promise<number[]> {
    const now = Date.now()
    const ready = entries.map((entry, index) => made(entry, entry.timestamp ?? now, index))
    const bytes = ready.reduce((sum, { rest }) => sum + rest.length, 0)
    if (this.#queuedBytes + bytes > limits.activity_queue_bytes_max)
      throw new BusyError('too many entries wait to be written: try again later')
    const started = performance.now()
    this.#queuedBytes += bytes
    return new Promise<number[]>((resolve, reject) => {
      const settled = (ids: number[]) => {
        if (ids.length > 0) this.#steps.observe((performance.now() - started) / 1000)
        resolve(ids)
      }
      this.#queue.push({ entries: ready, bytes, more, resolve: settled, reject })
      this.#running ??= this.#run()
    })
  }

  async #run(): Promise<void> {
    // What is appended in the same turn of the event loop shares a transaction.
    await null
    while (this.#queue.length > 0) await this.#commit(this.#take())
    this.#running = null
  }

  /** The next jobs, chained and ready to be written. */
  #take(): Group {
    const chains = this.#chains.copy()
    const appended: Appended[] = []
    const jobs: { job: Job; firstId: number }[] = []
    let id = this.#lastId
    let bytes = 0
    for (let job = this.#queue[0]; job !== undefined; job = this.#queue[0]) {
      const full =
        appended.length + job.entries.length > limits.activity_group_entries_max ||
        bytes + job.bytes > limits.activity_group_bytes_max
      // What has no entries may free the disk: it must not share the fate of appends that find it full.
      const unlike = jobs.length > 0 && (jobs[0]?.job.entries.length === 0) !== (job.entries.length === 0)
      if (jobs.length > 0 && (full || unlike)) break
      this.#queue.shift()
      bytes += job.bytes
      try {
        job.more.change?.(chains)
      } catch (error) {
        // It changes the chains last, if at all: the others of the group are not concerned.
        job.reject(new Error('changing the activity log', { cause: error }))
        continue
      }
      jobs.push({ job, firstId: id + 1 })
      for (const { rest, fields } of job.entries) {
        id += 1
        const value = storedEntry(id, chains.tail(fields.environment), rest)
        chains.append(fields.environment, id, value)
        appended.push({ id, value, fields })
      }
    }
    this.#queuedBytes -= bytes
    chains.seal()
    return { jobs, appended, chains }
  }

  async #commit(group: Group): Promise<void> {
    const { jobs, appended, chains } = group
    let flushed: Promise<unknown>
    const lastId = appended.at(-1)?.id ?? this.#lastId
    try {
      if (appended.length > 0) this.#assertRoom(appended)
      const prepared = this.#steps.prepare(appended, chains)
      const committed = this.#env.transaction(() => {
        for (const entry of appended) this.#put(entry)
        for (const { job, firstId } of jobs) job.more.write?.(firstId)
        chains.write()
        prepared()
      })
      flushed = Promise.all([this.#env.flushed])
      flushed.catch(() => {})
      await committed
    } catch (error) {
      this.#steps.settle(false, appended)
      const reason = await storageError(error)
      for (const { job } of jobs) job.reject(reason)
      return
    }
    this.#chains = chains
    this.#lastId = lastId
    this.#steps.settle(true, appended)
    const acknowledged = flushed.then(() => {
      for (const { job, firstId } of jobs) job.resolve(job.entries.map((_, at) => firstId + at))
      this.#flushing.delete(acknowledged)
    })
    this.#flushing.add(acknowledged)
  }

  /** A commit must not meet the end of the disk; what is left of it belongs to the counts of the mirrors. */
  #assertRoom(appended: readonly Appended[]): void {
    const { bavail, blocks, bsize } = statfsSync(this.#dataDir)
    const floor = Math.min(limits.disk_free_min_bytes, blocks * bsize * limits.disk_free_min_share) / 2
    const needed = appended.reduce((sum, { value }) => sum + value.length, 0)
    if (bavail * bsize >= Math.max(floor, limits.store_free_min_bytes) + needed) return
    throw new StorageFullError(`the disk is nearly full: ${bavail * bsize} bytes are free`)
  }

  /** Resolves when nothing waits any more. */
  async drain(): Promise<void> {
    await this.#running
    await Promise.all(this.#flushing)
  }
}

function made(entry: NewActivity, timestamp: number, index: number): Job['entries'][number] {
  if (!(timestamp >= earliest && timestamp <= latest))
    throw new RangeError(`timestamp: must be within the years 0000 to 9999, got ${timestamp}`)
  const { environment } = entry.workspace
  if (!environments.includes(environment))
    throw new RangeError(`environment: must be one of ${environments.join(', ')}, got ${environment}`)
  const rest = payloadRest(entry, timestamp)
  const bytes = Buffer.byteLength(rest) + HEAD_BYTES
  if (bytes > limits.activity_entry_bytes_max) {
    const rule = `entry ${index} must be at most ${limits.activity_entry_bytes_max} bytes`
    throw new EntryTooLargeError(`${rule}, got ${bytes}`)
  }
  return { rest, fields: indexedFields(entry, timestamp) }
}

async function storageError(error: unknown): Promise<Error> {
  if (error instanceof StorageFullError) return error
  const reason = await commitReason(error)
  if (/no space|ENOSPC|MAP_FULL/i.test(reason))
    return new StorageFullError('the disk is full', { cause: error })
  return new Error(`writing to the activity log: ${reason}`, { cause: error })
}
