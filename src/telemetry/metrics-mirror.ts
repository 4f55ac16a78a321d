/** Metric families of mirrors: counts and states as the admin port shows them, attempts and delivery lag. */
import type { LegState, LegView, MirrorView } from '../admin/commands.ts'
import { dropReasons, type OutcomeKind } from '../contract/errors.ts'
import { Buckets, Distribution, type Families, type Sample } from './family.ts'

const legStates = Object.keys({
  idle: true,
  delivering: true,
  retrying: true,
  parked: true,
  paused: true,
  disabled: true,
} satisfies Record<LegState, true>)

/** How one attempt ended; also the label values. */
export const attemptOutcomes = [
  'accepted',
  'retry',
  'unauthorized',
  'not_found',
  'too_large',
  'rejected',
  'refused',
  'corrupt',
  'bug',
] as const satisfies readonly ('accepted' | OutcomeKind | 'corrupt' | 'bug')[]
export type AttemptOutcome = (typeof attemptOutcomes)[number]

/** Seconds: batches wait about one, retries spread over 600, a backlog may be days old. */
const lagBuckets = new Buckets([0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 3600, 21_600, 86_400])

interface LegTally {
  readonly attempts: Map<AttemptOutcome, number>
  readonly lag: Distribution
}

const newLeg = (): LegTally => ({ attempts: new Map(), lag: new Distribution(lagBuckets) })

/** What is counted per leg while the process lives. Mirrors that are gone are forgotten at a scrape. */
export class MirrorTally {
  readonly #mirrors = new Map<string, Map<string, LegTally>>()

  countAttempt(mirror: string, leg: string, outcome: AttemptOutcome): void {
    const { attempts } = this.#leg(mirror, leg)
    attempts.set(outcome, (attempts.get(outcome) ?? 0) + 1)
  }

  observeDelivery(mirror: string, leg: string, seconds: number, items: number): void {
    this.#leg(mirror, leg).lag.observe(seconds, items)
  }

  read(mirror: string, leg: string): LegTally {
    return this.#mirrors.get(mirror)?.get(leg) ?? newLeg()
  }

  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.#mirrors.keys()) if (!names.has(name)) this.#mirrors.delete(name)
  }

  #leg(mirror: string, leg: string): LegTally {
    const legs = this.#mirrors.get(mirror) ?? new Map<string, LegTally>()
    this.#mirrors.set(mirror, legs)
    const tally = legs.get(leg) ?? newLeg()
    legs.set(leg, tally)
    return tally
  }
}

interface NamedLeg {
  readonly labels: { readonly mirror: string; readonly leg: string }
  readonly view: LegView
}

export function addMirrorFamilies(
  families: Families,
  mirrors: () => readonly MirrorView[],
  tally: MirrorTally,
): void {
  const legs = (): NamedLeg[] =>
    mirrors().flatMap(({ name, legs }) =>
      legs.map((view) => ({ labels: { mirror: name, leg: view.name }, view })),
    )
  const one = (value: (view: LegView) => number) => () =>
    legs().map(({ labels, view }) => ({ labels, value: value(view) }))
  addCounts(families, legs, one)
  families.gauge(
    'mirror_waiting_bytes',
    'Bytes on disk that wait for delivery.',
    one((leg) => leg.waiting_bytes),
  )
  families.gauge(
    'mirror_oldest_waiting_seconds',
    'Age of the oldest item that waits for delivery; 0 when none does.',
    one((leg) => ageSeconds(leg.oldest_waiting_at)),
  )
  families.gauge(
    'mirror_durable_items',
    'Items that would survive a kill now.',
    one((leg) => leg.durable_items),
  )
  families.gauge('mirror_state', '1 for the state that the leg is in, 0 for the others.', () =>
    legs().flatMap(({ labels, view }) =>
      legStates.map((state) => ({ labels: { ...labels, state }, value: view.state === state ? 1 : 0 })),
    ),
  )
  families.counter('mirror_attempts_total', 'Delivery attempts since the start, by outcome.', () =>
    legs().flatMap(({ labels }) => attempts(labels, tally)),
  )
  families.histogram(
    'mirror_delivery_lag_seconds',
    'Time from capture to acknowledgement, of items.',
    (name) =>
      legs().flatMap(({ labels }) => [...tally.read(labels.mirror, labels.leg).lag.samples(name, labels)]),
  )
}

/** The five numbers of the identity: captured = delivered + waiting + dead-lettered + dropped. */
function addCounts(
  families: Families,
  legs: () => NamedLeg[],
  one: (value: (view: LegView) => number) => () => Sample[],
): void {
  families.counter(
    'mirror_captured_total',
    'Items captured for a leg.',
    one(({ counts }) => counts.captured),
  )
  families.counter(
    'mirror_delivered_total',
    'Items acknowledged.',
    one(({ counts }) => counts.delivered),
  )
  families.gauge(
    'mirror_waiting_items',
    'Items that wait, in memory and on disk.',
    one(({ counts }) => counts.waiting),
  )
  families.gauge(
    'mirror_dead_lettered_total',
    'Items among the dead letters now: part of the identity, so it falls when they are replayed or deleted.',
    one(({ counts }) => counts.dead_lettered),
  )
  families.counter('mirror_dropped_total', 'Items dropped, by reason.', () =>
    legs().flatMap(({ labels, view }) =>
      dropReasons.map((reason) => ({
        labels: { ...labels, reason },
        value: view.counts.dropped[reason] ?? 0,
      })),
    ),
  )
}

function attempts(labels: NamedLeg['labels'], tally: MirrorTally): Sample[] {
  const { attempts: counted } = tally.read(labels.mirror, labels.leg)
  return attemptOutcomes.map((outcome) => ({
    labels: { ...labels, outcome },
    value: counted.get(outcome) ?? 0,
  }))
}

function ageSeconds(at: string | null): number {
  return at === null ? 0 : Math.max(0, (Date.now() - Date.parse(at)) / 1000)
}
