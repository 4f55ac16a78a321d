/** Metric families of the activity log and of the store that holds it. */
import type { Distribution, Families } from './family.ts'

/** What the log tells of itself at scrape time. */
export interface ActivityFigures {
  /** Entries that stand, by environment. */
  readonly entries: readonly (readonly [environment: string, entries: number])[]
  /** Seconds of appends, from the call to the disk. */
  readonly appendSeconds: Distribution
  /** Size of the store's file; it does not shrink, its free pages are used again. */
  readonly storeBytes: number
}

export function addActivityFamilies(families: Families, figures: () => ActivityFigures): void {
  families.gauge('activity_entries', 'Entries in the activity log.', () =>
    figures().entries.map(([environment, value]) => ({ labels: { environment }, value })),
  )
  families.histogram(
    'activity_append_seconds',
    'Time of an append to the activity log, until it is on the disk.',
    (name) => figures().appendSeconds.samples(name, {}),
  )
  families.gauge(
    'store_size_bytes',
    'Size of the store: it does not shrink, free pages are used again.',
    () => [{ labels: {}, value: figures().storeBytes }],
  )
}
