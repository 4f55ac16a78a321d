/**
 * Feeds legs from the activity log. It is read once for all of them as it grows, in slices on main, and what
 * a leg asked for becomes frames of its newest run:
 *
 *   ids   ├── run, closed ──┤├── run, closed ──┤├── run that grows ─▶
 *                                                        └ scanned: looked at up to here
 *   a range of time that is sent again ├── run ─▶ … until
 *
 * A run ends after 65,536 ids, or where the filter of its stream changes. How far a run was looked at is
 * written with the counts of its leg, in one transaction.
 */
import type { EntryFilter } from '../contract/activity.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import type { ActivityFeed, LogFollower } from '../store/activity/feed.ts'
import { Slices } from '../store/activity/slices.ts'
import { entryTest, type StoredEntry } from '../store/activity/stored-entry.ts'
import type { LogRun } from '../store/legs.ts'
import type { Logger } from '../telemetry/log.ts'
import { FrameBuilder } from './log-frames.ts'
import type { Leg } from './leg.ts'
import type { Segment } from './segment.ts'

/** Ids after which a run ends: what is read again at a start stays short. */
const RUN_IDS = 65_536
/** Entries between two looks at the clock. */
const CLOCK_ENTRIES = 64

/** One leg that is being fed. */
class Reading {
  readonly leg: Leg
  #segment: Segment
  #builder: FrameBuilder
  #next: number
  readonly #matches: (entry: StoredEntry) => boolean

  constructor(leg: Leg, segment: Segment) {
    this.leg = leg
    this.#segment = segment
    const { filter, scanned } = runOf(segment)
    this.#matches = entryTest(filter)
    this.#next = scanned
    this.#builder = this.#newBuilder()
  }

  /** The first id that was not looked at. */
  get next(): number {
    return this.#next
  }

  get segment(): Segment {
    return this.#segment
  }

  #newBuilder(): FrameBuilder {
    return new FrameBuilder(runOf(this.#segment).framed, this.leg.frameBounds)
  }

  /** It was a range, and all of that was looked at. */
  get isOver(): boolean {
    return runOf(this.#segment).end !== null
  }

  look(entry: StoredEntry): void {
    const { until } = runOf(this.#segment)
    if (until !== null && entry.id >= until) return
    while (entry.id >= runOf(this.#segment).from + RUN_IDS) this.#roll()
    this.#next = entry.id + 1
    if (!this.#matches(entry)) return
    const full = this.#builder.add(entry)
    if (full !== null) this.leg.found(this.#segment, full)
  }

  /** Everything below an id was looked at. */
  advance(upTo: number): void {
    const run = runOf(this.#segment)
    this.#cut()
    this.#next = Math.min(Math.max(this.#next, upTo), run.until ?? Number.POSITIVE_INFINITY)
    if (this.#next > run.scanned) {
      run.scanned = this.#next
      this.leg.noteSegment(this.#segment)
    }
    if (run.end === null && run.scanned === run.until) endRun(this.leg, this.#segment)
  }

  #cut(): void {
    const frame = this.#builder.cut()
    if (frame !== null) this.leg.found(this.#segment, frame)
  }

  #roll(): void {
    const { name } = this.#segment
    const run = runOf(this.#segment)
    const at = run.from + RUN_IDS
    this.#cut()
    run.scanned = at
    endRun(this.leg, this.#segment)
    this.#segment = openRun(this.leg, name.slice(0, -ID_DIGITS), { ...run, from: at })
    this.#next = at
    this.#builder = this.#newBuilder()
  }
}

export class LogLegs implements LogFollower {
  readonly #feed: ActivityFeed
  readonly #log: Logger
  readonly #readings = new Map<string, Reading>()
  #running: Promise<void> | null = null
  #stopped = false

  constructor(feed: ActivityFeed, log: Logger) {
    this.#feed = feed
    this.#log = log
    feed.follower = this
  }

  /** Feeds a leg with what passes a filter, from where it stood; a new one from where it is to begin. */
  async follow(leg: Leg, filter: EntryFilter, start: string): Promise<void> {
    const growing = growingRun(leg)
    const segment =
      growing === null
        ? openRun(leg, GROWING, { from: this.#startId(filter.environment, start), filter, until: null })
        : refilter(leg, growing, filter)
    // Anew each time: the bounds of batches may have changed.
    this.#readings.set(leg.ledger.key, new Reading(leg, segment))
    await leg.ledger.flush()
    const ranged = rangedRun(leg)
    if (ranged !== null && !this.#readings.has(rangeKey(leg)))
      this.#readings.set(rangeKey(leg), new Reading(leg, ranged))
    this.grown()
  }

  /** Sends what passes a filter again, up to now; false while an earlier range is still being looked for. */
  async again(leg: Leg, filter: EntryFilter): Promise<boolean> {
    if (rangedRun(leg) !== null) return false
    const from = this.#feed.firstFrom(filter.environment, filter.from ?? Number.NEGATIVE_INFINITY)
    const until = this.#feed.lastId + 1
    if (from >= until) return true
    const prefix = `again-${Date.now().toString(36)}-`
    this.#readings.set(rangeKey(leg), new Reading(leg, openRun(leg, prefix, { from, filter, until })))
    await leg.ledger.flush()
    this.grown()
    return true
  }

  /** Whether something of a range is still to be looked at, or sent. */
  sendsAgain(leg: Leg): boolean {
    return [...leg.queue.segments].some(({ log, pendingItems, flyingItems }) => {
      if (log === null || log.until === null) return false
      return log.end === null || pendingItems + flyingItems > 0
    })
  }

  #startId(environment: EnvironmentName, start: string): number {
    const { lastId } = this.#feed
    if (start === 'now') return lastId + 1
    if (start === 'beginning') return this.#feed.removedTo(environment) + 1
    return this.#feed.firstFrom(environment, Date.parse(start))
  }

  /** Feeds a leg no more; where it stood is kept as long as something of it waits. */
  leave(leg: Leg, forget: boolean): void {
    this.#readings.delete(leg.ledger.key)
    this.#readings.delete(rangeKey(leg))
    const growing = growingRun(leg)
    if (!forget || growing === null || leg.queue.waitingItems > 0) return
    endRun(leg, growing)
  }

  grown(): void {
    if (this.#stopped) return
    this.#running ??= this.#run()
      .catch((error: unknown) => this.#log.error({ err: error }, 'the activity log cannot be read'))
      .finally(() => {
        this.#running = null
      })
  }

  async caughtUp(): Promise<void> {
    this.grown()
    while (this.#running !== null) await this.#running
  }

  async #run(): Promise<void> {
    // What is committed in the same turn of the event loop is read together.
    await new Promise((resolve) => setImmediate(resolve))
    const slices = new Slices()
    while (!this.#stopped && this.#slice(slices)) await slices.rest()
  }

  /** Reads on until its time is over; false when everything was read. */
  #slice(slices: Slices): boolean {
    for (;;) {
      const { lastId } = this.#feed
      const behind = [...this.#readings.values()].filter(({ next }) => next <= lastId)
      if (behind.length === 0) return false
      const from = Math.min(...behind.map(({ next }) => next))
      let upTo = lastId + 1
      let looked = 0
      for (const entry of this.#feed.entries(from, lastId + 1)) {
        for (const reading of behind) if (reading.next <= entry.id) reading.look(entry)
        looked += 1
        if (looked % CLOCK_ENTRIES !== 0 || !slices.over) continue
        upTo = entry.id + 1
        break
      }
      for (const reading of behind) reading.advance(upTo)
      for (const [key, { isOver }] of this.#readings) if (isOver) this.#readings.delete(key)
      if (upTo <= lastId) return true
    }
  }

  /** What waited of the entries that retention took is lost. */
  async removed(environment: EnvironmentName, lastId: number): Promise<void> {
    for (const leg of new Set([...this.#readings.values()].map((reading) => reading.leg))) {
      for (const segment of leg.queue.segments) {
        if (segment.log?.filter.environment === environment) leg.expireTo(segment, lastId + 1)
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
    this.#log.debug({ streams: this.#readings.size }, 'the activity log is followed no more')
  }
}

function runOf({ name, log }: Segment): NonNullable<Segment['log']> {
  if (log === null) throw new Error(`segment ${name} is no run of the log`)
  return log
}

function growingRun(leg: Leg): Segment | null {
  return [...leg.queue.segments].find(({ log }) => log?.end === null && log.until === null) ?? null
}

/** The run of a range that is still being looked at. */
function rangedRun(leg: Leg): Segment | null {
  return [...leg.queue.segments].find(({ log }) => log?.end === null && log.until !== null) ?? null
}

function rangeKey(leg: Leg): string {
  return `${leg.ledger.key} again`
}

/** Names end in the first id, in as many digits as the largest has. */
const ID_DIGITS = 16
const GROWING = 'log-'

function openRun(
  leg: Leg,
  prefix: string,
  { from, filter, until }: Pick<LogRun, 'from' | 'filter' | 'until'>,
): Segment {
  const empty = { bytes: 0, oldest: Number.POSITIVE_INFINITY, newest: 0 }
  const run = { from, scanned: from, framed: from, end: null, until, filter, ...empty }
  const segment = leg.queue.segment(`${prefix}${String(from).padStart(ID_DIGITS, '0')}`, undefined, run)
  leg.noteSegment(segment)
  return segment
}

/** The run in which another filter goes on. */
function refilter(leg: Leg, growing: Segment, filter: EntryFilter): Segment {
  const run = runOf(growing)
  if (sameFilter(run.filter, filter)) return growing
  if (run.framed > run.from) {
    endRun(leg, growing)
    return openRun(leg, GROWING, { from: run.scanned, filter, until: null })
  }
  // Nothing in it was found by the old one.
  run.filter = filter
  leg.noteSegment(growing)
  return growing
}

function endRun(leg: Leg, segment: Segment): void {
  const run = runOf(segment)
  run.end = run.scanned
  leg.segmentClosed(segment.name)
}

function sameFilter(one: EntryFilter, other: EntryFilter): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
