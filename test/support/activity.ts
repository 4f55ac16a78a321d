/** What the activity log of a running gateway says, oldest first. */
import type { Activity } from '../../src/contract/activity.ts'
import type { TestGateway } from './gateway.ts'
import { until } from './wait.ts'

export type Entry = Omit<Activity, 'timestamp'>

/** All entries, or those of one kind. */
export async function entriesOf({ admin }: TestGateway, event?: string): Promise<Entry[]> {
  const only = event === undefined ? '' : `&include_event_types[]=${event}`
  const found: Entry[] = []
  for (;;) {
    const after = found.length === 0 ? '' : `&page[after]=${found.at(-1)?.id}`
    const path = `/api/activity_logs?order=asc${only}${after}`
    const { data } = await admin.json<{ data: Entry[] }>('GET', path)
    if (data.length === 0) return found
    found.push(...data)
  }
}

/** Waits until there are so many entries of a kind, and resolves with them; more of them fail. */
export async function entriesCome(gateway: TestGateway, event: string, count: number): Promise<Entry[]> {
  const entries = await until(
    async () => {
      const found = await entriesOf(gateway, event)
      return found.length >= count && found
    },
    { what: `${count} entries ${event}` },
  )
  if (entries.length > count) throw new Error(`${event}: must be ${count} entries, got ${entries.length}`)
  return entries
}
