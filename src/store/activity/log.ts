/** The activity log over the store's environment: appends, pages, exports, counts. */
import type { Database, RootDatabase } from 'lmdb'
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
import type { EnvironmentName } from '../../contract/environments.ts'
import { Chains } from './chains.ts'
import { databases, folded, parseEntry } from './format.ts'
import { ActivityWriter } from './writer.ts'

/** Entries that are looked at before others get their turn. */
const SLICE_ENTRIES = 500

export class StoredActivityLog implements ActivityLog {
  readonly #entries: Database<Buffer, number>
  readonly #writer: ActivityWriter

  constructor(env: RootDatabase, dataDir: string) {
    this.#entries = env.openDB<Buffer, number>({ name: databases.entries, encoding: 'binary' })
    const chains = Chains.read(env.openDB<string, string>({ name: databases.chains, encoding: 'string' }))
    this.#writer = new ActivityWriter(
      env,
      dataDir,
      { chains, lastId: chains.lastId },
      ({ id, value }) => void this.#entries.put(id, value),
      { prepare: () => () => {}, settle: () => {}, observe: () => {} },
    )
  }

  append(entries: readonly NewActivity[], key?: IdempotencyKey): Promise<number[]> {
    void key
    return this.#writer.append(entries)
  }

  /** Appends in one transaction with other writes, which must not throw. */
  appendWith(entries: readonly NewActivity[], write: () => void): Promise<number[]> {
    return this.#writer.append(entries, write)
  }

  async page(page: ActivityPage): Promise<{ data: Activity[]; total: number }> {
    const data: Activity[] = []
    let total = 0
    const wanted = ({ id }: Activity): boolean =>
      page.after === undefined || (page.order === 'asc' ? id > page.after : id < page.after)
    for await (const { prev_hash: _, hash: __, ...entry } of this.#matching(page, page.order)) {
      total += 1
      if (data.length < page.size && wanted(entry)) data.push(entry)
    }
    return { data, total }
  }

  async entry(id: number, environment: EnvironmentName): Promise<ChainedActivity | null> {
    const value = this.#entries.get(id)
    if (value === undefined) return null
    const entry = parseEntry(value)
    return entry.workspace.environment === environment ? entry : null
  }

  entries(filter: ActivityFilter): AsyncIterable<ChainedActivity> {
    return this.#matching(filter, 'asc')
  }

  async stats(filter: ActivityFilter): Promise<ActivityStats> {
    const byType = new Map<string, number>()
    const byDay = new Map<string, number>()
    let total = 0
    for await (const { event_type, timestamp } of this.#matching(filter, 'asc')) {
      total += 1
      const day = new Date(timestamp).toISOString().slice(0, 10)
      byType.set(event_type, (byType.get(event_type) ?? 0) + 1)
      byDay.set(day, (byDay.get(day) ?? 0) + 1)
    }
    return { total, by_type: Object.fromEntries(byType), by_day: Object.fromEntries(byDay) }
  }

  jwks(): { keys: Record<string, string>[] } {
    return { keys: [] }
  }

  async close(): Promise<void> {
    await this.#writer.drain()
  }

  async *#matching(filter: ActivityFilter, order: 'asc' | 'desc'): AsyncGenerator<ChainedActivity> {
    const last = this.#writer.lastId
    for (let at = 0; at < last; at += 1) {
      if (at % SLICE_ENTRIES === SLICE_ENTRIES - 1) await new Promise(setImmediate)
      const value = this.#entries.get(order === 'asc' ? at + 1 : last - at)
      if (value === undefined) continue
      const entry = parseEntry(value)
      if (matches(entry, filter)) yield entry
    }
  }
}

function matches(entry: Activity, filter: ActivityFilter): boolean {
  const among = (values: readonly string[] | undefined, type: string): boolean =>
    values?.some((value) => folded(value) === folded(type)) ?? false
  return (
    entry.workspace.environment === filter.environment &&
    entry.timestamp >= (filter.from ?? -Infinity) &&
    entry.timestamp <= (filter.to ?? Infinity) &&
    (filter.users?.includes(entry.user.id) ?? true) &&
    (filter.includeEventTypes === undefined || among(filter.includeEventTypes, entry.event_type)) &&
    (filter.includeResourceTypes === undefined || among(filter.includeResourceTypes, entry.resource.type)) &&
    !among(filter.excludeEventTypes, entry.event_type) &&
    !among(filter.excludeResourceTypes, entry.resource.type) &&
    (filter.text === undefined || JSON.stringify(entry).toLowerCase().includes(filter.text.toLowerCase()))
  )
}
