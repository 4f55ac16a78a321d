/** A mirror or stream and its legs as the admin port shows them (contract §4). */
import type { Counts, DeliveryView, LegState, LegView } from '../admin/commands.ts'
import type { DeliveryConfig } from '../config/schema.ts'
import type { DropReason } from '../contract/errors.ts'
import type { Leg } from './leg.ts'

/** From best to worst: a mirror is in the state of its worst leg. */
const byHarm: readonly LegState[] = ['idle', 'delivering', 'retrying', 'parked', 'paused', 'disabled']

export function deliveryView(
  name: string,
  config: DeliveryConfig | undefined,
  legs: readonly Leg[],
  isFromApi: boolean,
): DeliveryView {
  const views = legs.map(legView)
  const state = views.reduce<LegState>(
    (worst, leg) => (byHarm.indexOf(leg.state) > byHarm.indexOf(worst) ? leg.state : worst),
    'idle',
  )
  return {
    name,
    sink: config?.sink ?? 'none',
    enabled: config?.enabled ?? false,
    state: config === undefined ? 'disabled' : state,
    managed_by: config === undefined ? 'none' : isFromApi ? 'api' : 'file',
    counts: addCounts(views.map(({ counts }) => counts)),
    legs: views,
  }
}

function legView(leg: Leg): LegView {
  const counts = leg.ledger.counts(leg.queue.waitingItems)
  const oldest = leg.oldestWaiting()
  const next = leg.nextAttemptAt()
  const { ledger } = leg
  return {
    name: leg.name,
    url: leg.settings?.url ?? '',
    state: leg.state(counts.waiting),
    counts,
    waiting_bytes: leg.queue.waitingBytes,
    oldest_waiting_at: oldest === null ? null : isoTime(oldest),
    durable_items: leg.queue.waitingItems,
    attempts: ledger.attempts,
    last_attempt_at: ledger.lastAttemptAt === 0 ? null : isoTime(ledger.lastAttemptAt),
    last_response_code: ledger.lastResponseCode,
    last_error: ledger.lastError,
    next_attempt_at: next === null ? null : isoTime(next),
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** Sum of several legs or mirrors. */
export function addCounts(all: readonly Counts[]): Counts {
  const sum: Counts = { captured: 0, delivered: 0, waiting: 0, dead_lettered: 0, dropped: {} }
  for (const counts of all) {
    sum.captured += counts.captured
    sum.delivered += counts.delivered
    sum.waiting += counts.waiting
    sum.dead_lettered += counts.dead_lettered
    for (const [reason, items] of Object.entries(counts.dropped)) {
      const key = reason as DropReason
      sum.dropped[key] = (sum.dropped[key] ?? 0) + items
    }
  }
  return sum
}
