/** Metric families of mirrors and streams: counts and states as the admin port shows them, attempts, lag. */
import type { LegState, LegView, DeliveryView } from '../admin/commands.ts'
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

/** What is counted per leg while the process lives, by its owner's key. Who is gone is forgotten. */
export class DeliveryTally {
  readonly #owners = new Map<string, Map<string, LegTally>>()

  countAttempt(owner: string, leg: string, outcome: AttemptOutcome): void {
    const { attempts } = this.#leg(owner, leg)
    attempts.set(outcome, (attempts.get(outcome) ?? 0) + 1)
  }

  observeDelivery(owner: string, leg: string, seconds: number, items: number): void {
    this.#leg(owner, leg).lag.observe(seconds, items)
  }

  read(owner: string, leg: string): LegTally {
    return this.#owners.get(owner)?.get(leg) ?? newLeg()
  }

  keepOnly(owners: ReadonlySet<string>): void {
    for (const owner of this.#owners.keys()) if (!owners.has(owner)) this.#owners.delete(owner)
  }

  #leg(owner: string, leg: string): LegTally {
    const legs = this.#owners.get(owner) ?? new Map<string, LegTally>()
    this.#owners.set(owner, legs)
    const tally = legs.get(leg) ?? newLeg()
    legs.set(leg, tally)
    return tally
  }
}

interface NamedLeg {
  readonly labels: Readonly<Record<string, string>>
  readonly view: LegView
  readonly tally: LegTally
}

/** `noun`: `mirror` or `stream`, first word of the families and name of their label. */
export function addDeliveryFamilies(
  families: Families,
  noun: string,
  source: {
    readonly views: () => readonly DeliveryView[]
    readonly tally: DeliveryTally
    readonly key: (name: string) => string
  },
): void {
  const legs = (): NamedLeg[] =>
    source.views().flatMap(({ name, legs }) =>
      legs.map((view) => ({
        labels: { [noun]: name, leg: view.name },
        view,
        tally: source.tally.read(source.key(name), view.name),
      })),
    )
  const one = (value: (view: LegView) => number) => () =>
    legs().map(({ labels, view }) => ({ labels, value: value(view) }))
  addCounts(families, noun, legs, one)
  families.gauge(
    `${noun}_waiting_bytes`,
    'Bytes on disk that wait for delivery.',
    one((leg) => leg.waiting_bytes),
  )
  families.gauge(
    `${noun}_oldest_waiting_seconds`,
    'Age of the oldest item that waits for delivery; 0 when none does.',
    one((leg) => ageSeconds(leg.oldest_waiting_at)),
  )
  families.gauge(
    `${noun}_durable_items`,
    'Items that would survive a kill now.',
    one((leg) => leg.durable_items),
  )
  families.gauge(`${noun}_state`, '1 for the state that the leg is in, 0 for the others.', () =>
    legs().flatMap(({ labels, view }) =>
      legStates.map((state) => ({ labels: { ...labels, state }, value: view.state === state ? 1 : 0 })),
    ),
  )
  families.counter(`${noun}_attempts_total`, 'Delivery attempts since the start, by outcome.', () =>
    legs().flatMap(attempts),
  )
  families.histogram(
    `${noun}_delivery_lag_seconds`,
    'Time from capture to acknowledgement, of items.',
    (name) => legs().flatMap(({ labels, tally }) => [...tally.lag.samples(name, labels)]),
  )
}

/** The five numbers of the identity: captured = delivered + waiting + dead-lettered + dropped. */
function addCounts(
  families: Families,
  noun: string,
  legs: () => NamedLeg[],
  one: (value: (view: LegView) => number) => () => Sample[],
): void {
  families.counter(
    `${noun}_captured_total`,
    'Items captured for a leg.',
    one(({ counts }) => counts.captured),
  )
  families.counter(
    `${noun}_delivered_total`,
    'Items acknowledged.',
    one(({ counts }) => counts.delivered),
  )
  families.gauge(
    `${noun}_waiting_items`,
    'Items that wait, in memory and on disk.',
    one(({ counts }) => counts.waiting),
  )
  families.gauge(
    `${noun}_dead_lettered_total`,
    'Items among the dead letters now: part of the identity, so it falls when they are replayed or deleted.',
    one(({ counts }) => counts.dead_lettered),
  )
  families.counter(`${noun}_dropped_total`, 'Items dropped, by reason.', () =>
    legs().flatMap(({ labels, view }) =>
      dropReasons.map((reason) => ({
        labels: { ...labels, reason },
        value: view.counts.dropped[reason] ?? 0,
      })),
    ),
  )
}

function attempts({ labels, tally: { attempts: counted } }: NamedLeg): Sample[] {
  return attemptOutcomes.map((outcome) => ({
    labels: { ...labels, outcome },
    value: counted.get(outcome) ?? 0,
  }))
}

function ageSeconds(at: string | null): number {
  return at === null ? 0 : Math.max(0, (Date.now() - Date.parse(at)) / 1000)
}
