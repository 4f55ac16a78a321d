/**
 * The LMDB environment: what must survive a restart beside the spool. One writer (main), readers anywhere.
 *
 * Every write is a command, plain data with absolute values, applied by one function in one transaction:
 * applying
 * it twice changes nothing, and an ordered log of commands from elsewhere could drive the same function.
 */
import { statfsSync } from 'node:fs'
import path from 'node:path'
import { type Database, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import type { ActivityFilter, NewActivity } from '../contract/activity.ts'
import { type DropReason, StartError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { StoredActivityLog } from './activity/log.ts'
import { type ClientCommand, ClientTable, isClientCommand } from './clients.ts'
import { commitReason } from './commit-reason.ts'
import { redactionKey } from './redaction-key.ts'
import { type IncidentCommand, IncidentTable, isIncidentCommand } from './incidents.ts'
import { type ResourceCommand, ResourceTable } from './resources.ts'
import { type TagCommand, TagTable } from './tags.ts'
import { isWebhookCommand, type WebhookCommand, WebhookTable } from './webhooks.ts'

/** Counts of one leg that no longer stand in a segment on disk. */
export interface LegRecord {
  /** Captured items that are in no segment any more: segments that are gone, and drops before the disk. */
  gone: number
  delivered: number
  dead_lettered: number
  dropped: Partial<Record<DropReason, number>>
  attempts: number
  last_attempt_at: number
  last_response_code: number | null
  last_error: string | null
}

/** A run of ids of the activity log in place of a file: offsets within the segment are ids. */
export interface LogRun {
  readonly from: number
  /** Ids below were looked at: what matched is in frames. */
  scanned: number
  /** End of its last frame: what did not match since then belongs to the next one. */
  framed: number
  /** Where it ends; null while it is being looked at. */
  end: number | null
  /** Where what it is a part of ends: a range that is sent again. Null: it follows the log as that grows. */
  readonly until: number | null
  filter: ActivityFilter
  /** Of all entries that matched: bytes, and times in Unix milliseconds. */
  bytes: number
  oldest: number
  newest: number
}

/** Byte ranges of a segment whose items need nothing more: delivered, dead-lettered or dropped. */
export interface SegmentRecord {
  /** All items of the segment, once it is closed. */
  items: number | null
  /** Merged, ascending, [from, to) offsets. */
  settled: [from: number, to: number][]
  settled_items: number
  /** For a segment that is no file. */
  log?: LogRun
}

/** A batch on its way, written before its first send: after a crash it is sent again under the same id. */
export interface BatchRecord {
  segment: string
  from: number
  to: number
  items: number
  id: string
  /** Item ranges that are still to be delivered; more than one after a split. */
  parts: [from: number, to: number][]
}

export interface DeadLetter {
  at: number
  reason: string
  status: number | null
  answer: string | null
  batch_id: string
  /** The item as it was sent: one JSON text. */
  item: string
}

/** Everything that changed of one leg; absolute values, null deletes. */
export interface LegCommand {
  type: 'leg'
  leg: string
  record: LegRecord
  segments: [name: string, record: SegmentRecord | null][]
  batches: [id: string, record: BatchRecord | null][]
  dead: [id: number, letter: DeadLetter | null][]
}

/** A switch that a person set: paused mirrors, disconnected connections, the clean-stop mark. */
export interface SettingCommand {
  type: 'setting'
  name: string
  value: string | number | boolean | null
}

export type Command =
  | LegCommand
  | SettingCommand
  | ClientCommand
  | TagCommand
  | ResourceCommand
  | IncidentCommand
  | WebhookCommand

export interface StoredLeg {
  record: LegRecord | null
  segments: Map<string, SegmentRecord>
  batches: BatchRecord[]
}

/** Time for the last commit to reach the disk at a stop. */
const FLUSH_MS = 5000

export class Store {
  readonly #env: RootDatabase
  readonly #legs: Database<LegRecord, string>
  readonly #segments: Database<SegmentRecord, [leg: string, segment: string]>
  readonly #batches: Database<BatchRecord, [leg: string, id: string]>
  readonly #dead: Database<DeadLetter, [leg: string, id: number]>
  readonly #settings: Database<string | number | boolean, string>
  readonly clients: ClientTable
  readonly tags: TagTable
  readonly resources: ResourceTable
  readonly incidents: IncidentTable
  readonly webhooks: WebhookTable

  /** The activity log, in the same environment. */
  readonly activity: StoredActivityLog

  readonly #dataDir: string

  /** What waits for the next transaction of legs, which begins when the one before has been committed. */
  #legChanges: (() => LegCommand)[] = []
  #legGroup: Promise<void> | null = null
  #legCommit: Promise<void> = Promise.resolve()

  constructor(dataDir: string) {
    assertRoom(dataDir)
    this.#dataDir = dataDir
    this.#env = openEnvironment(dataDir)
    this.#legs = this.#env.openDB({ name: 'legs' })
    this.#segments = this.#env.openDB({ name: 'segments' })
    this.#batches = this.#env.openDB({ name: 'batches' })
    this.#dead = this.#env.openDB({ name: 'dead' })
    this.#settings = this.#env.openDB({ name: 'settings' })
    this.activity = new StoredActivityLog(this.#env, dataDir)
    this.clients = new ClientTable(this.#env)
    this.tags = new TagTable(this.#env)
    this.resources = new ResourceTable(this.#env)
    this.incidents = new IncidentTable(this.#env)
    this.webhooks = new WebhookTable(this.#env)
  }

  /** The key of this data folder for redaction by hash; made when it is first asked for. */
  redactionKey(): string {
    return redactionKey(this.#dataDir)
  }

  /**
   * Applies commands in one transaction; resolves when it is committed, rejects when nothing was written.
   * With entries of the activity log it resolves with them on the disk, or rejects as `append` does.
   */
  async apply(commands: readonly Command[], activities: readonly NewActivity[] = []): Promise<void> {
    if (activities.length > 0) {
      await this.activity.appendWith(activities, () => {
        for (const command of commands) this.#applyOne(command)
      })
      return
    }
    await this.#write(commands)
  }

  /** The same without entries, resolving once it is on the disk: not even a power cut takes it back. */
  async applyDurably(commands: readonly Command[]): Promise<void> {
    await (await this.#write(commands)).flushed
  }

  /** Resolves when it is committed; `flushed` then when it is on the disk. */
  async #write(commands: readonly Command[]): Promise<{ readonly flushed: Promise<unknown> }> {
    const committed = this.#env.transaction(() => {
      for (const command of commands) this.#applyOne(command)
    })
    // Asked for now, it is that of this transaction. After a commit that failed it never settles.
    const flushed = Promise.all([this.#env.flushed])
    flushed.catch(() => {})
    try {
      await committed
    } catch (error) {
      throw new Error(`writing to the store: ${await commitReason(error)}`, { cause: error })
    }
    return { flushed }
  }

  /**
   * Applies what changed of a leg, in one transaction with what changes of others until it begins. `take` is
   * called then, so that nothing waits for a commit of its own.
   */
  applyLeg(take: () => LegCommand): Promise<void> {
    this.#legChanges.push(take)
    this.#legGroup ??= this.#applyLegs()
    return this.#legGroup
  }

  async #applyLegs(): Promise<void> {
    await this.#legCommit
    const changes = this.#legChanges
    this.#legChanges = []
    this.#legGroup = null
    const commit = this.apply(changes.map((take) => take()))
    this.#legCommit = commit.catch(() => {})
    return commit
  }

  #applyOne(command: Command): void {
    if (command.type === 'setting') {
      if (command.value === null) this.#settings.remove(command.name)
      else this.#settings.put(command.name, command.value)
      return
    }
    if (isClientCommand(command)) {
      this.clients.apply(command)
      return
    }
    if (isIncidentCommand(command)) {
      this.incidents.apply(command)
      return
    }
    if (isWebhookCommand(command)) {
      this.webhooks.apply(command)
      return
    }
    if (command.type === 'resource') {
      this.resources.apply(command)
      return
    }
    if (command.type === 'tag' || command.type === 'tag_assignment') {
      this.tags.apply(command)
      return
    }
    const { leg } = command
    this.#legs.put(leg, command.record)
    for (const [name, record] of command.segments) {
      if (record === null) this.#segments.remove([leg, name])
      else this.#segments.put([leg, name], record)
    }
    for (const [id, record] of command.batches) {
      if (record === null) this.#batches.remove([leg, id])
      else this.#batches.put([leg, id], record)
    }
    for (const [id, letter] of command.dead) {
      if (letter === null) this.#dead.remove([leg, id])
      else this.#dead.put([leg, id], letter)
    }
  }

  setting(name: string): string | number | boolean | undefined {
    return this.#settings.get(name)
  }

  /** Names of the settings that begin with a prefix and are true. */
  settingsOn(prefix: string): string[] {
    const names: string[] = []
    for (const { key, value } of this.#settings.getRange({ start: prefix, end: `${prefix}\uffff` })) {
      if (value === true) names.push(key.slice(prefix.length))
    }
    return names
  }

  /** Keys of all legs that were ever written. */
  legs(): string[] {
    return [...this.#legs.getKeys()]
  }

  leg(key: string): StoredLeg {
    const segments = new Map<string, SegmentRecord>()
    for (const { key: at, value } of this.#segments.getRange(legRange(key, ''))) segments.set(at[1], value)
    const batches: BatchRecord[] = []
    for (const { value } of this.#batches.getRange(legRange(key, ''))) batches.push(value)
    return { record: this.#legs.get(key) ?? null, segments, batches }
  }

  /** Dead letters of a leg by ascending id, after an id. */
  *deadLetters(key: string, after: number): Generator<{ id: number; letter: DeadLetter }> {
    const range = {
      start: [key, after + 1] as [string, number],
      end: [key, Number.MAX_SAFE_INTEGER] as [string, number],
    }
    for (const { key: at, value } of this.#dead.getRange(range)) yield { id: at[1], letter: value }
  }

  lastDeadLetter(key: string): number {
    const range = {
      start: [key, Number.MAX_SAFE_INTEGER] as [string, number],
      end: [key, 0] as [string, number],
      reverse: true,
      limit: 1,
    }
    for (const at of this.#dead.getKeys(range)) return at[1]
    return 0
  }

  /** Resolves when everything committed is on the disk, and the files are closed. */
  async close(): Promise<void> {
    await within(this.activity.close(), FLUSH_MS)
    // After a commit that failed, lmdb's promise for its flush never settles.
    await within(this.#env.flushed, FLUSH_MS)
    await within(this.#env.close(), FLUSH_MS)
  }
}

/**
 * On a full disk the map of lmdb's lock file cannot be written: that ends a process without a word (trap
 * D3).
 */
function assertRoom(dataDir: string): void {
  const { bavail, bsize } = statfsSync(dataDir)
  if (bavail * bsize >= limits.store_free_min_bytes) return
  throw new StartError(
    `data_dir ${dataDir} must have at least ${limits.store_free_min_bytes} bytes free, ` +
      `got ${bavail * bsize}: ` +
      'free some space, or give it another data_dir',
  )
}

function openEnvironment(dataDir: string): RootDatabase {
  // lmdb reads `noReadAhead`, its types do not have it.
  const options: RootDatabaseOptionsWithPath & { readonly noReadAhead: boolean } = {
    path: path.join(dataDir, 'store'),
    maxDbs: 64,
    encoding: 'msgpack',
    // Commands are batches already; its own batches reject promises that nobody can hold (trap D3).
    eventTurnBatching: false,
    // A page fault brings in its page alone: lookups are far apart, and scans read ahead themselves.
    noReadAhead: true,
  }
  try {
    return open(options)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`data_dir ${dataDir}: the store cannot be opened: ${reason}`)
  }
}

async function within(done: PromiseLike<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([done, late])
  clearTimeout(timer)
}

function legRange(leg: string, from: string): { start: [string, string]; end: [string, string] } {
  return { start: [leg, from], end: [leg, '\uffff'] }
}
