/**
 * The LMDB environment: what must survive a restart beside the spool. One writer (main), readers anywhere.
 *
 * Every write is a command, plain data with absolute values, applied by one function in one transaction:
 * applying it twice changes nothing, and an ordered log of commands from elsewhere could drive the same
 * function.
 */
import { statfsSync } from 'node:fs'
import path from 'node:path'
import { type Database, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import type { NewActivity } from '../contract/activity.ts'
import { StartError } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { StoredActivityLog } from './activity/log.ts'
import { type ClientCommand, ClientTable, isClientCommand } from './clients.ts'
import { commitReason } from './commit-reason.ts'
import { redactionKey } from './redaction-key.ts'
import { type IncidentCommand, IncidentTable, isIncidentCommand } from './incidents.ts'
import { type LegCommand, LegTable } from './legs.ts'
import { type ResourceCommand, ResourceTable } from './resources.ts'
import { type TagCommand, TagTable } from './tags.ts'
import { isWebhookCommand, type WebhookCommand, WebhookTable } from './webhooks.ts'

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

/** Time for the last commit to reach the disk at a stop. */
const FLUSH_MS = 5000

export class Store {
  readonly #env: RootDatabase
  readonly #settings: Database<string | number | boolean, string>
  readonly legs: LegTable
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
  /** What legs do for the next transaction, and the timer that begins it where nothing else does. */
  readonly #soon = new Set<() => void>()
  #soonTimer: NodeJS.Timeout | null = null

  constructor(dataDir: string) {
    assertRoom(dataDir)
    this.#dataDir = dataDir
    this.#env = openEnvironment(dataDir)
    this.#settings = this.#env.openDB({ name: 'settings' })
    this.activity = new StoredActivityLog(this.#env, dataDir)
    this.legs = new LegTable(this.#env)
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
    this.#callSoon()
    this.#legChanges.push(take)
    this.#legGroup ??= this.#applyLegs()
    return this.#legGroup
  }

  /**
   * Calls it when the next transaction of legs begins, `ledger_write_ms` later at most: what it has applied
   * then is part of that. Of the same function more than one call is one.
   */
  withNextLegs(change: () => void): void {
    this.#soon.add(change)
    this.#soonTimer ??= setTimeout(() => this.#callSoon(), limits.ledger_write_ms)
  }

  #callSoon(): void {
    if (this.#soonTimer !== null) clearTimeout(this.#soonTimer)
    this.#soonTimer = null
    const changes = [...this.#soon]
    this.#soon.clear()
    for (const change of changes) change()
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
    this.legs.apply(command)
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

  /** Resolves when everything committed is on the disk, and the files are closed. */
  async close(): Promise<void> {
    if (this.#soonTimer !== null) clearTimeout(this.#soonTimer)
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
