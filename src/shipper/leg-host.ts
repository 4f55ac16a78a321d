/** What a leg needs from outside, what it is told of the configuration, and what people hear of it. */
import type { DeliveryConfig } from '../config/schema.ts'
import type { DropReason } from '../contract/errors.ts'
import type {
  EventsResult,
  EventsTask,
  EventsVerdict,
  IndexResult,
  IndexTask,
  PostedBody,
  ProbeTask,
  ShipResult,
  ShipTask,
  Target,
} from '../contract/tasks.ts'
import type { ActivityFeed } from '../store/activity/feed.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import type { AttemptOutcome } from '../telemetry/metrics-delivery.ts'
import type { Leg } from './leg.ts'

/** What people should hear of. */
export type LegNews =
  | { readonly kind: 'begun' }
  | {
      readonly kind: 'parked'
      readonly failure: { readonly kind: string; readonly status: number | null; readonly message: string }
    }
  | { readonly kind: 'recovered' }
  | { readonly kind: 'dropped'; readonly reason: DropReason; readonly items: number }

/** What a leg needs from outside. */
export interface LegHost {
  ship(task: ShipTask): Promise<ShipResult>
  index(task: IndexTask): Promise<IndexResult>
  probe(task: ProbeTask): Promise<boolean>
  judgeEvents(body: PostedBody): Promise<EventsVerdict>
  writeEvents(task: EventsTask): Promise<EventsResult>
  readonly store: Store
  readonly dataDir: string
  readonly feed: ActivityFeed
  readonly log: Logger
  countAttempt(owner: string, leg: string, outcome: AttemptOutcome): void
  observeDelivery(owner: string, leg: string, seconds: number, items: number): void
  news(leg: Leg, news: LegNews): void
}

/** A leg's part of the configuration; null while no mirror of that name is configured. */
export interface LegSettings {
  readonly delivery: DeliveryConfig
  readonly url: string
  readonly target: Target
}
