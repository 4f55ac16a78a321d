/** The activity log over the store's environment: its parts, their order, and what runs by the clock. */
import { statSync } from 'node:fs'
import path from 'node:path'
import type { RootDatabase } from 'lmdb'
import type {
  Activity,
  ActivityFilter,
  ActivityLog,
  ActivityPage,
  ActivityStats,
  ChainedActivity,
  IdempotencyKey,
  NewActivity,
} from '../../contract/activity.ts'
import type { ActivityEvent } from '../../contract/activity-events.ts'
import type { EnvironmentName } from '../../contract/environments.ts'
import { Buckets, Distribution } from '../../telemetry/family.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { ActivityFigures } from '../../telemetry/metrics-activity.ts'
import { Blocks } from './blocks.ts'
import { Chains } from './chains.ts'
import { Checkpoints } from './checkpoints.ts'
import { databases } from './format.ts'
import { IdempotencyKeys } from './idempotency.ts'
import { ActivityFeed } from './feed.ts'
import { ReadAhead } from './read-ahead.ts'
import { ActivityReader } from './reader.ts'
import { type Removed, Retention } from './retention.ts'
import { Searches } from './searches.ts'
import { ActivityWriter, type Appended } from './writer.ts'

/** What a configuration says about the log. */
export interface ActivitySettings {
  /** How long entries are kept, by environment. */
  keepMs(environment: EnvironmentName): number
  /** A checkpoint is signed after so many entries, and after so long. */
  readonly checkpointEntries: number
  readonly checkpointMs: number
  readonly workspace: Omit<NewActivity['workspace'], 'environment'>
}

/** What the gateway gives the log; asked each time, since a reload may change it. */
export interface ActivityHost {
  settings(): ActivitySettings
  readonly log: Logger
}

/** How often it is looked whether something is due. */
const CLOCK_MS = 1000
const RETENTION_EVERY_MS = 3_600_000
/** How long an export that goes on may hold retention up. */
const EXPORT_GRACE_MS = 3_600_000
/** Seconds: a flush takes a fraction of a millisecond on a fast disk, and many on a busy one. */
const appendBuckets = new Buckets([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5])
/** Until the gateway says otherwise. */
const CHECKPOINT_ENTRIES = 1000

export class StoredActivityLog implements ActivityLog {
  readonly #writer: ActivityWriter
  readonly #blocks: Blocks
  readonly #keys: IdempotencyKeys
  readonly #checkpoints: Checkpoints
  readonly #ahead = new ReadAhead()
  readonly #reader: ActivityReader
  readonly #retention: Retention
  /** For who follows the log. */
  readonly feed: ActivityFeed
  readonly #appendSeconds = new Distribution(appendBuckets)
  readonly #file: string
  #host: ActivityHost | null = null
  #clock: NodeJS.Timeout | null = null
  #checkpointAt = 0
  #retentionAt = 0
  #work: Promise<void> | null = null
  #checkpointNow = false
  #signed: (() => void) | null = null

  constructor(env: RootDatabase, dataDir: string, searches: Searches = new Searches()) {
    this.#file = path.join(dataDir, 'store', 'data.mdb')
    const entries = env.openDB<Buffer, number>({ name: databases.entries, encoding: 'binary' })
    const chains = Chains.read(env.openDB<string, string>({ name: databases.chains, encoding: 'string' }))
    const { lastId } = chains
    this.#blocks = new Blocks(env, entries, lastId)
    this.#keys = new IdempotencyKeys(env)
    this.#checkpoints = new Checkpoints(env, dataDir)
    const put = ({ id, value }: Appended) => void entries.put(id, value)
    this.#writer = new ActivityWriter(env, dataDir, { chains, lastId }, put, {
      prepare: (appended, next) => this.#prepare(appended, next),
      settle: (committed) => this.#settle(committed),
      observe: (seconds) => this.#appendSeconds.observe(seconds),
    })
    const source = { entries, blocks: this.#blocks, ahead: this.#ahead, now: () => this.#writer }
    this.#reader = new ActivityReader(source, searches)
    this.feed = new ActivityFeed(source)
    this.#retention = new Retention(entries, this.#blocks, this.#writer, this.#ahead)
  }

  /** Begins what runs by the clock: checkpoints and retention. */
  start(host: ActivityHost): void {
    this.#host = host
    this.#checkpointAt = Date.now() + host.settings().checkpointMs
    this.#clock = setInterval(() => this.#tick(), CLOCK_MS)
    this.#tick()
  }

  #prepare(appended: readonly Appended[], chains: Chains): () => void {
    const writeIndex = this.#blocks.add(appended)
    const every = this.#host?.settings().checkpointEntries ?? CHECKPOINT_ENTRIES
    const due = appended.length > 0 && this.#checkpoints.changesSince(chains) >= every
    const checkpoint = due || this.#checkpointNow ? this.#checkpoints.sign(chains) : null
    this.#signed = checkpoint?.signed ?? null
    return () => {
      writeIndex()
      checkpoint?.write()
    }
  }

  #settle(committed: boolean): void {
    const signed = this.#signed
    this.#signed = null
    if (!committed) {
      this.#blocks.takeBack()
      return
    }
    this.#blocks.keep()
    this.feed.follower?.grown()
    if (signed === null) return
    signed()
    this.#checkpointNow = false
    this.#checkpointAt = Date.now() + (this.#host?.settings().checkpointMs ?? 0)
  }

  async append(entries: readonly NewActivity[], key?: IdempotencyKey): Promise<number[]> {
    if (entries.length === 0) return []
    if (key === undefined) return this.#writer.append(entries)
    return this.#keys.once(key, entries.length, (write) => this.#writer.append(entries, { write }))
  }

  /** Appends in one transaction with other writes, which must not throw. */
  async appendWith(entries: readonly NewActivity[], write: () => void): Promise<number[]> {
    return this.#writer.append(entries, { write })
  }

  page(page: ActivityPage, signal?: AbortSignal): Promise<{ data: Activity[]; total: number }> {
    return this.#reader.page(page, signal)
  }

  async entry(id: number, environment: EnvironmentName): Promise<ChainedActivity | null> {
    return this.#reader.entry(id, environment)
  }

  entries(filter: ActivityFilter, signal?: AbortSignal): AsyncIterable<ChainedActivity> {
    return this.#reader.entries(filter, signal)
  }

  async *lines(filter: ActivityFilter, signal?: AbortSignal): AsyncGenerator<string> {
    // Where none can be written, as on a full disk, an older one still says something.
    await this.checkpoint().catch((error: unknown) =>
      this.#host?.log.error({ err: error }, 'no checkpoint for an export'),
    )
    const checkpoint = this.#checkpoints.newest()
    yield* this.#reader.lines(filter, signal)
    if (checkpoint !== null) yield `{"checkpoint":${checkpoint}}`
  }

  stats(filter: ActivityFilter, signal?: AbortSignal): Promise<ActivityStats> {
    return this.#reader.stats(filter, signal)
  }

  jwks(): { readonly keys: readonly Record<string, string>[] } {
    return this.#checkpoints.jwks()
  }

  figures(): ActivityFigures {
    const used = this.#writer.chains.used()
    return {
      entries: used.map(([environment, { entries }]) => [environment, entries]),
      appendSeconds: this.#appendSeconds,
      storeBytes: statSync(this.#file).size,
    }
  }

  #tick(): void {
    const host = this.#host
    if (host === null || this.#work !== null) return
    const now = Date.now()
    const waits = this.#reader.exports > 0 && now < this.#retentionAt + EXPORT_GRACE_MS
    if (now >= this.#retentionAt && !waits) this.#run('removing old activity', () => this.retain(host))
    else if (now >= this.#checkpointAt) this.#run('signing a checkpoint', () => this.checkpoint())
  }

  /** One piece of work at a time; a failure is told and tried again later. */
  #run(what: string, work: () => Promise<void>): void {
    this.#work = work()
      .catch((error: unknown) => this.#host?.log.error({ err: error }, `${what} failed`))
      .finally(() => {
        this.#work = null
      })
  }

  /** Signs where the chains stand, unless that is signed already. */
  async checkpoint(): Promise<void> {
    const { settings } = this.#host ?? {}
    this.#checkpointAt = Date.now() + (settings?.().checkpointMs ?? 0)
    if (this.#checkpoints.changesSince(this.#writer.chains) === 0) return
    this.#checkpointNow = true
    await this.#writer.append([])
  }

  /** Removes what is older than its environment keeps, tells so in the log, and signs what is left. */
  async retain(host: ActivityHost): Promise<void> {
    this.#retentionAt = Date.now() + RETENTION_EVERY_MS
    const now = Date.now()
    const settings = host.settings()
    // What was not looked at could not be counted when it is gone.
    await this.feed.follower?.caughtUp()
    const removed = await this.#retention.run((environment) => now - settings.keepMs(environment))
    for await (const sequences of this.#checkpoints.thinnable()) {
      await this.#writer.append([], { write: () => this.#checkpoints.remove(sequences) })
    }
    if (removed.length === 0) return
    host.log.info({ removed }, 'old activity removed')
    for (const { environment, lastId } of removed) await this.feed.follower?.removed(environment, lastId)
    await this.#writer.append(removed.map((one) => retentionEntry(one, settings)))
    await this.checkpoint()
  }

  async close(): Promise<void> {
    if (this.#clock !== null) clearInterval(this.#clock)
    this.#reader.close()
    await this.#ahead.close()
    await this.#work
    // What was appended is on the disk whether this succeeds or not.
    await this.checkpoint().catch((error: unknown) =>
      this.#host?.log.error({ err: error }, 'no last checkpoint'),
    )
    await this.#writer.drain()
  }
}

function retentionEntry(
  { environment, count, lastId }: Removed,
  { keepMs, workspace }: ActivitySettings,
): NewActivity {
  return {
    event_type: 'activity_retention_applied' satisfies ActivityEvent,
    workspace: { ...workspace, environment },
    user: { id: 0, name: 'mirrorgate', email: workspace.email },
    details: {
      activity: 'retention',
      removed: count,
      last_removed_id: lastId,
      retention_ms: keepMs(environment),
    },
    resource: { id: null, name: environment, type: 'ActivityLog' },
  }
}
