/** Measures the activity log on a folder and prints the figures as JSON. */
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import type { ActivityFilter, NewActivity } from '../../src/contract/activity.ts'
import { SearchTooLongError } from '../../src/contract/errors.ts'
import { Store } from '../../src/store/store.ts'
import { createLog } from '../../src/telemetry/log.ts'
import type { ActivityResult } from './activity.ts'

const [, , folder = '', wanted = ''] = process.argv
const entries = Number(wanted)
const YEAR_MS = 31_536_000_000
const BATCH = 1000
/** Appends that wait for the disk at a time, as busy clients would have them. */
const IN_FLIGHT = 8
const QUERIES_EACH = 100

const end = Date.now()
const begin = end - YEAR_MS
const timeOf = (index: number): number => Math.floor(begin + (index * YEAR_MS) / entries)
/** Fair enough, and the same in every run. */
const mixed = (index: number, below: number): number => (Math.imul(index, 2_654_435_761) >>> 8) % below

/** As large as the printed examples; one environment in five is another one. */
function entryOf(index: number): NewActivity {
  const user = mixed(index, 1000)
  return {
    timestamp: timeOf(index),
    event_type: `event_type_${mixed(index + 7, 30)}`,
    workspace: {
      id: 12345,
      name: 'Alex',
      email: 'alex@example.com',
      environment: mixed(index + 3, 5) === 0 ? 'prod' : 'dev',
    },
    user: { id: user, name: `User ${user}`, email: `user${user}@example.com` },
    details: {
      request: {
        ip_address: '192.0.2.1',
        user_agent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)',
      },
      activity: 'password_login',
    },
    resource: { id: index, name: 'My new recipe', type: `ResourceType${mixed(index + 11, 12)}` },
  }
}

function memory(name: 'RssAnon' | 'VmRSS'): number {
  const line = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))
  return Math.round(Number(line?.[1] ?? 0) / 1024)
}

let anonMiBMax = 0
const watch = setInterval(() => {
  anonMiBMax = Math.max(anonMiBMax, memory('RssAnon'))
}, 100)

async function appendAll(store: Store): Promise<number> {
  const started = performance.now()
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < entries) {
      const from = next
      next += BATCH
      await store.activity.append(Array.from({ length: BATCH }, (_, at) => entryOf(from + at)))
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  return (entries / (performance.now() - started)) * 1000
}

const day = (index: number): number => begin + mixed(index, 364) * 86_400_000

/** Filters by how much they leave, one per round. */
const kinds: Readonly<Record<string, (round: number) => Omit<ActivityFilter, 'environment'>>> = {
  'no filter': () => ({}),
  'one user': (round) => ({ users: [mixed(round, 1000)] }),
  'a user and an event type': (round) => ({
    users: [mixed(round, 1000)],
    includeEventTypes: [`event_type_${mixed(round, 30)}`],
  }),
  'one event type': (round) => ({ includeEventTypes: [`EVENT_TYPE_${mixed(round, 30)}`] }),
  'all but an event type and a resource type': (round) => ({
    excludeEventTypes: [`event_type_${mixed(round, 30)}`],
    excludeResourceTypes: [`ResourceType${mixed(round, 12)}`],
  }),
  'ten event types of six resource types': (round) => ({
    includeEventTypes: Array.from({ length: 10 }, (_, at) => `event_type_${(round + at) % 30}`),
    includeResourceTypes: Array.from({ length: 6 }, (_, at) => `ResourceType${(round + at) % 12}`),
  }),
  'one day': (round) => ({ from: day(round), to: day(round) + 86_400_000 }),
  'half a year, all but an event type': (round) => ({
    from: day(round) - YEAR_MS / 4,
    to: day(round) + YEAR_MS / 4,
    excludeEventTypes: ['event_type_1'],
  }),
}

async function pagesOf(store: Store): Promise<ActivityResult['pages']> {
  const figures: ActivityResult['pages'][number][] = []
  for (const [kind, filter] of Object.entries(kinds)) {
    const times: number[] = []
    for (let round = 0; round < QUERIES_EACH; round += 1) {
      // Every second one continues somewhere in the log.
      const after = round % 2 === 0 ? {} : { after: mixed(round, entries) }
      const started = performance.now()
      await store.activity.page({ ...filter(round), ...after, environment: 'dev', size: 100, order: 'desc' })
      times.push(performance.now() - started)
    }
    times.sort((a, b) => a - b)
    const at = (share: number): number => times[Math.ceil(times.length * share) - 1] ?? 0
    figures.push({ kind, p50Ms: at(0.5), p99Ms: at(0.99) })
  }
  return figures
}

/** Removes the first tenth while somebody goes on appending. */
async function removeTenth(
  store: Store,
): Promise<Pick<ActivityResult, 'removed' | 'removeSeconds' | 'appendWaitMsMax'>> {
  const keep = end - timeOf(entries / 10)
  const standing = (): number => store.activity.figures().entries.reduce((sum, [, count]) => sum + count, 0)
  const before = standing()
  const started = performance.now()
  let removing = true
  const retained = store.activity
    .retain({
      log: createLog({ level: 'silent', format: 'json' }),
      settings: () => ({
        keepMs: () => keep + (Date.now() - end),
        checkpointEntries: 1000,
        checkpointMs: 60_000,
        workspace: { id: 1, name: 'mirrorgate', email: 'ops@example.com' },
      }),
    })
    .finally(() => (removing = false))
  let [appended, longest] = [0, 0]
  while (removing) {
    const called = performance.now()
    await store.activity.append([entryOf(entries)])
    appended += 1
    longest = Math.max(longest, performance.now() - called)
  }
  await retained
  const removeSeconds = (performance.now() - started) / 1000
  return { removed: before + appended + 2 - standing(), removeSeconds, appendWaitMsMax: longest }
}

async function timed<T>(work: () => T | Promise<T>): Promise<{ ms: number; result: T }> {
  const started = performance.now()
  const result = await work()
  return { ms: performance.now() - started, result }
}

mkdirSync(folder, { recursive: true })
const first = new Store(folder)
const appendsPerSecond = await appendAll(first)
const appended = memory('VmRSS')
await first.close()
const bytesPerEntry = statSync(`${folder}/store/data.mdb`).size / entries
const { ms: openMs, result: store } = await timed(() => new Store(folder))
const page = { environment: 'dev', size: 100, order: 'desc' } as const
const { ms: firstPageMs } = await timed(() => store.activity.page(page))
const pages = await pagesOf(store)
const queried = memory('VmRSS')
const removed = await removeTenth(store)
const { ms: textMs, result: textEnded } = await timed(() =>
  store.activity.page({ ...page, text: 'nobody wrote this' }).then(
    () => true,
    (error: unknown) => {
      // On a slower machine its bound is the figure.
      if (error instanceof SearchTooLongError) return false
      throw error
    },
  ),
)
const rssMiB = { appended, queried, end: memory('VmRSS') }
await store.close()
clearInterval(watch)
const figures: ActivityResult = {
  ...{ entries, appendsPerSecond, bytesPerEntry, openMs, firstPageMs, pages, textMs, textEnded },
  ...removed,
  ...{ anonMiBMax, rssMiB },
}
process.stdout.write(JSON.stringify(figures))
