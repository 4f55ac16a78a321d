/** Any filter, order and page over several blocks gives what a plain search over an array gives. */
import { expect, test } from 'vitest'
import type { Activity, ActivityFilter, ActivityPage, NewActivity } from '../../src/contract/activity.ts'
import type { Store } from '../../src/store/store.ts'
import { activity, expectIntact, newStore, openStore, randomFrom } from './rig.ts'

const ENTRIES = 72_000
const QUERIES = 60
const DAY_MS = 86_400_000
const begin = Date.parse('2024-06-01T00:00:00Z')

const random = randomFrom(20_240_618)
const below = (count: number): number => Math.floor(random() * count)
const among = <T>(values: readonly T[]): T => values[below(values.length)] as T

const eventTypes = ['user_login', 'User_Logout', 'recipe_created', 'connection_updated', 'rare_event']
const resourceTypes = ['Workspace', 'Flow', 'CustomAdapter', 'ApiPrivilegeGroup']
const environments = ['dev', 'dev', 'dev', 'prod', 'uat'] as const

function randomActivity(index: number): NewActivity {
  const type = random() < 0.001 ? 'rare_event' : among(eventTypes.slice(0, 4))
  // Mostly in the order of acceptance, some from long before.
  const timestamp = begin + index * 200 - (random() < 0.01 ? below(10 * DAY_MS) : 0)
  return {
    ...activity({ environment: among(environments), event_type: type, timestamp }),
    user: { id: random() < 0.5 ? below(8) : below(20_000), name: 'Jie', email: 'jie@example.com' },
    resource: { id: index, name: `thing "${below(5000)}" Ä`, type: among(resourceTypes) },
  }
}

const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase()

function holds(entry: Activity, filter: ActivityFilter): boolean {
  const { event_type, resource, user, timestamp, workspace } = entry
  return (
    workspace.environment === filter.environment &&
    timestamp >= (filter.from ?? -Infinity) &&
    timestamp <= (filter.to ?? Infinity) &&
    (filter.users?.includes(user.id) ?? true) &&
    (filter.includeEventTypes?.some((type) => same(type, event_type)) ?? true) &&
    (filter.includeResourceTypes?.some((type) => same(type, resource.type)) ?? true) &&
    !filter.excludeEventTypes?.some((type) => same(type, event_type)) &&
    !filter.excludeResourceTypes?.some((type) => same(type, resource.type)) &&
    (filter.text === undefined || JSON.stringify(resource).toLowerCase().includes(inJson(filter.text)))
  )
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1).toLowerCase()

const some = <T>(share: number, make: () => T): T | undefined => (random() < share ? make() : undefined)
const several = <T>(make: () => T): T[] => Array.from({ length: 1 + below(3) }, make)

function randomFilter(text: boolean): ActivityFilter {
  // Exactly the times of entries: both ends are inclusive.
  const from = some(0.4, () => begin + below(ENTRIES) * 200)
  const filter = {
    environment: among(environments),
    from,
    to: some(0.4, () => (from ?? begin) + below(ENTRIES) * 200),
    users: some(0.3, () => several(() => (random() < 0.7 ? below(8) : below(20_000)))),
    includeEventTypes: some(0.3, () => several(() => among([...eventTypes, 'USER_LOGIN', 'unknown_event']))),
    excludeEventTypes: some(0.3, () => several(() => among(eventTypes))),
    includeResourceTypes: some(0.3, () => several(() => among([...resourceTypes, 'flow']))),
    excludeResourceTypes: some(0.3, () => several(() => among(resourceTypes))),
    text: text ? `THING "${below(500)}` : undefined,
  }
  return Object.fromEntries(
    Object.entries(filter).filter(([, value]) => value !== undefined),
  ) as unknown as ActivityFilter
}

async function expectAnswers(
  store: Store,
  model: readonly Activity[],
  filter: ActivityFilter,
): Promise<void> {
  const matching = model.filter((entry) => holds(entry, filter))
  const order = among(['asc', 'desc'] as const)
  const after = some(0.6, () => below(ENTRIES + 10))
  const page: ActivityPage = {
    ...filter,
    order,
    size: 1 + below(100),
    ...(after === undefined ? {} : { after }),
  }
  const beyond = matching.filter(
    ({ id }) => after === undefined || (order === 'asc' ? id > after : id < after),
  )
  const expected = order === 'asc' ? beyond : beyond.reverse()
  const answer = await store.activity.page(page)
  const said = JSON.stringify(page)
  expect(answer.total, said).toBe(matching.length)
  expect(answer.data, said).toEqual(expected.slice(0, page.size))
  if (random() < 0.9) return
  const exported: number[] = []
  for await (const { id } of store.activity.entries(filter)) exported.push(id)
  expect(exported, said).toEqual(matching.map(({ id }) => id))
  const byType: Record<string, number> = {}
  const byDay: Record<string, number> = {}
  for (const { event_type, timestamp } of matching) {
    const [type, day] = [event_type.toLowerCase(), new Date(timestamp).toISOString().slice(0, 10)]
    byType[type] = (byType[type] ?? 0) + 1
    byDay[day] = (byDay[day] ?? 0) + 1
  }
  const stats = { total: matching.length, by_type: byType, by_day: byDay }
  expect(await store.activity.stats(filter), said).toEqual(stats)
}

test('pages, totals, exports and counts are those of a plain array, also after a restart', async () => {
  const { folder, store } = await newStore()
  const model: Activity[] = []
  for (let from = 0; from < ENTRIES; from += 1000) {
    const entries = Array.from({ length: 1000 }, (_, at) => randomActivity(from + at))
    const ids = await store.activity.append(entries)
    model.push(...entries.map((entry, at) => ({ id: ids[at] ?? 0, timestamp: 0, ...entry })))
  }
  expect(model.map(({ id }) => id)).toEqual(Array.from({ length: ENTRIES }, (_, at) => at + 1))
  for (let query = 0; query < QUERIES; query += 1)
    await expectAnswers(store, model, randomFilter(query % 12 === 0))

  await store.close()
  const again = openStore(folder)
  for (let query = 0; query < 20; query += 1) await expectAnswers(again, model, randomFilter(false))
  expect(await again.activity.append([activity()])).toEqual([ENTRIES + 1])
  await again.close()
  expect((await expectIntact(folder)).length).toBe(ENTRIES + 1)
})
