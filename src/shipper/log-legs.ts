/**
 * Feeds legs from the activity log. It is read once for all of them as it grows, in slices on main, and what
 * a leg asked for becomes frames of its newest run:
 *
 *   ids   ├── run, closed ──┤├── run, closed ──┤├── run that grows ─▶
 *                                                        └ scanned: looked at up to here
 *
 * A run ends after 65,536 ids, or where the filter of its stream changes. How far a run was looked at is
 * written with the counts of its leg, in one transaction.
 */
import type { ActivityFilter } from '../contract/activity.ts'
import type { EnvironmentName } from '../contract/environments.ts'
import type { ActivityFeed, LogFollower } from '../store/activity/feed.ts'
import { Slices } from '../store/activity/slices.ts'
import { entryTest, type StoredEntry } from '../store/activity/stored-entry.ts'
import type { Logger } from '../telemetry/log.ts'
import { FrameBuilder } from './log-frames.ts'
import type { Leg } from './leg.ts'
import type { Segment } from './segments.ts'

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

  look(entry: StoredEntry): void {
    const { from, end } = runOf(this.#segment)
    if (end === null && entry.id >= from + RUN_IDS) this.#roll(from + RUN_IDS)
    if (end !== null && entry.id >= end) return
    this.#next = entry.id + 1
    if (!this.#matches(entry)) return
    const full = this.#builder.add(entry)
    if (full !== null) this.leg.found(this.#segment, full)
  }

  /** Everything below an id was looked at. */
  advance(upTo: number): void {
    const run = runOf(this.#segment)
    this.#cut()
    this.#next = Math.min(Math.max(this.#next, upTo), run.end ?? Number.POSITIVE_INFINITY)
    if (this.#next <= run.scanned) return
    run.scanned = this.#next
    this.leg.noteSegment(this.#segment)
    if (run.scanned === run.end) this.leg.segmentClosed(this.#segment.name)
  }

  #cut(): void {
    const frame = this.#builder.cut()
    if (frame !== null) this.leg.found(this.#segment, frame)
  }

  #roll(at: number): void {
    const run = runOf(this.#segment)
    this.#cut()
    run.end = at
    run.scanned = at
    this.leg.segmentClosed(this.#segment.name)
    this.#segment = openRun(this.leg, at, run.filter)
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
  async follow(leg: Leg, filter: ActivityFilter, start: string): Promise<void> {
    const known = this.#readings.get(leg.ledger.key)
    const growing = known?.segment ?? growingRun(leg)
    if (known === undefined || !sameFilter(runOf(known.segment).filter, filter)) {
      const segment =
        growing === null
          ? openRun(leg, this.#startId(filter.environment, start), filter)
          : refilter(leg, growing, filter)
      this.#readings.set(leg.ledger.key, new Reading(leg, segment))
      await leg.ledger.flush()
    }
    this.grown()
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
    const growing = growingRun(leg)
    if (!forget || growing === null || leg.queue.waitingItems > 0) return
    endRun(leg, growing)
  }

  grown(): void {
    if (this.#stopped) return
    this.#running ??= this.#run().finally(() => {
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
      if (upTo <= lastId) return true
    }
  }

  /** What waited of the entries that retention took is lost. */
  async removed(environment: EnvironmentName, lastId: number): Promise<void> {
    for (const { leg } of this.#readings.values()) {
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
  return [...leg.queue.segments].find(({ log }) => log !== null && log.end === null) ?? null
}

/** Names in the order of their ids. */
function openRun(leg: Leg, from: number, filter: ActivityFilter): Segment {
  const name = `log-${String(from).padStart(16, '0')}`
  const empty = { bytes: 0, oldest: Number.POSITIVE_INFINITY, newest: 0 }
  const run = { from, scanned: from, framed: from, end: null, filter, ...empty }
  const segment = leg.queue.segment(name, undefined, run)
  leg.noteSegment(segment)
  return segment
}

/** The run in which another filter goes on. */
function refilter(leg: Leg, growing: Segment, filter: ActivityFilter): Segment {
  const run = runOf(growing)
  if (sameFilter(run.filter, filter)) return growing
  if (run.framed > run.from) {
    endRun(leg, growing)
    return openRun(leg, run.scanned, filter)
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

function sameFilter(one: ActivityFilter, other: ActivityFilter): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
