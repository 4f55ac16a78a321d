/**
 * The backlog of one leg: its segments in order, which frames still wait, which are on their way, which are
 * settled. Knows files by name only; reading and deleting them is the leg's.
 *
 *   segment   |settled|settled| flying | flying | pending | pending |
 *                                 └ in a batch      └ taken as runs of neighbouring frames
 */
import type { LogRun, SegmentRecord } from '../store/legs.ts'
import { type Frame, mergeRange, type ReadFrame, type Run, type Segment } from './segment.ts'

export interface RunLimits {
  readonly maxItems: number
  readonly maxBytes: number
  readonly maxWaitMs: number
}

/** What `take` found: a run to send, a segment whose frames must be read first, or when to look again. */
export type Taken = { run: Run } | { load: Segment } | { wakeAt: number }

/** Segments at the head of the queue whose frames stay in memory. */
const LOADED_AHEAD = 4
/** A segment with fewer waiting frames than this is not worth unloading. */
const UNLOAD_FRAMES_MIN = 64

export class LegQueue {
  readonly #segments = new Map<string, Segment>()
  waitingItems = 0
  waitingBytes = 0
  /** Bytes of all files. */
  fileBytes = 0
  /** Segments that are files. */
  fileCount = 0

  get segments(): IterableIterator<Segment> {
    return this.#segments.values()
  }
  get(name: string): Segment | undefined {
    return this.#segments.get(name)
  }

  /** The segment of a name, made when it is new. */
  segment(name: string, record?: SegmentRecord, log: LogRun | null = null): Segment {
    const known = this.#segments.get(name)
    if (known !== undefined) return known
    const segment: Segment = {
      name,
      closed: false,
      size: 0,
      settled: record?.settled ?? [],
      settledItems: record?.settled_items ?? 0,
      pending: [],
      pendingItems: 0,
      pendingBytes: 0,
      flyingItems: 0,
      oldest: Number.POSITIVE_INFINITY,
      newest: 0,
      damaged: false,
      removing: false,
      log,
    }
    this.#segments.set(name, segment)
    if (log === null) this.fileCount += 1
    return segment
  }

  /** A frame that was just appended, or found at start-up. */
  add(segment: Segment, frame: Frame): void {
    this.#wait(segment, frame)
    segment.pending?.push(frame)
    if (segment.log === null) this.grow(segment, frame.offset + frame.length)
    if (segment.closed || this.#segments.size <= LOADED_AHEAD) return
    this.#unloadBehindHead()
  }

  /** Forgets the frames of a segment that was read at the start, when others come before it (trap B11). */
  unloadRead(segment: Segment): void {
    if (this.#segments.size > LOADED_AHEAD) unload(segment)
  }

  grow(segment: Segment, size: number): void {
    if (size <= segment.size) return
    this.fileBytes += size - segment.size
    segment.size = size
  }

  #wait(segment: Segment, frame: Frame): void {
    segment.pendingItems += frame.items
    segment.pendingBytes += frame.bytes
    segment.oldest = Math.min(segment.oldest, frame.oldest)
    segment.newest = Math.max(segment.newest, frame.newest)
    this.waitingItems += frame.items
    this.waitingBytes += frame.bytes
  }

  /** Frames of a segment read again from its file: those that are neither settled nor flying. */
  load(
    segment: Segment,
    frames: readonly ReadFrame[],
    flying: readonly { from: number; to: number }[],
  ): void {
    const busy = [...segment.settled.map(([from, to]) => ({ from, to })), ...flying]
    segment.pending = frames
      .filter((frame) => !busy.some(({ from, to }) => frame.offset >= from && frame.offset < to))
      .map((frame) => ({ ...frame, arrivedAt: 0 }))
    // Of what was not in memory the bytes may have been a guess.
    const bytes = segment.pending.reduce((sum, frame) => sum + frame.bytes, 0)
    this.waitingBytes += bytes - segment.pendingBytes
    segment.pendingBytes = bytes
  }

  /** What waits in a segment whose frames are read when their turn comes. */
  addUnread(segment: Segment, items: number, bytes: number): void {
    segment.pending = null
    segment.pendingItems += items
    segment.pendingBytes += bytes
    this.waitingItems += items
    this.waitingBytes += bytes
  }

  #unloadBehindHead(): void {
    let place = 0
    for (const segment of this.#segments.values()) {
      place += 1
      if (place > LOADED_AHEAD) unload(segment)
    }
  }

  /** The next run of waiting frames, oldest segment first. */
  take(bounds: RunLimits, now: number, hurry: boolean): Taken {
    let wakeAt = Number.POSITIVE_INFINITY
    for (const segment of this.#segments.values()) {
      if (segment.pendingItems === 0 || segment.removing) continue
      if (segment.pending === null) return { load: segment }
      const run = headRun(segment, segment.pending, bounds)
      if (run === null) continue
      const due = (run.frames[0] as Frame).arrivedAt + bounds.maxWaitMs
      const full = run.frames.length < segment.pending.length || run.items >= bounds.maxItems
      if (!hurry && !full && !segment.closed && due > now) {
        wakeAt = Math.min(wakeAt, due)
        continue
      }
      segment.pending.splice(0, run.frames.length)
      this.#fly(segment, run)
      return { run }
    }
    return { wakeAt }
  }

  /** A batch that was on its way when the process ended: its frames leave the waiting ones again. */
  takeRange(segment: Segment, from: number, to: number): Run | null {
    const inside = (segment.pending ?? []).filter(({ offset }) => offset >= from && offset < to)
    if (inside.length === 0) return null
    segment.pending = (segment.pending ?? []).filter(({ offset }) => offset < from || offset >= to)
    const items = inside.reduce((sum, frame) => sum + frame.items, 0)
    const bytes = inside.reduce((sum, frame) => sum + frame.bytes, 0)
    const run = { segment, frames: inside, items, bytes }
    this.#fly(segment, run)
    return run
  }

  #fly(segment: Segment, run: Run): void {
    segment.pendingItems -= run.items
    segment.pendingBytes -= run.bytes
    segment.flyingItems += run.items
  }

  /** Items of a flying batch need nothing more. */
  settleItems(segment: Segment, items: number): void {
    segment.flyingItems -= items
    segment.settledItems += items
    this.waitingItems -= items
  }

  /** Items that were waiting turn out to be gone from their file; `pending` holds those that are there. */
  settlePending(segment: Segment, items: number): void {
    segment.pendingItems -= items
    segment.settledItems += items
    this.waitingItems -= items
  }

  /** The whole range of a batch is settled. */
  settleRange(segment: Segment, from: number, to: number, bytes: number): void {
    segment.settled = mergeRange(segment.settled, from, to)
    this.waitingBytes -= bytes
  }

  /** The first waiting frame loses what is gone of it; `left` is the rest, if any. The items lost. */
  cutFirst(segment: Segment, left: Frame | null): number {
    const frame = segment.pending?.shift()
    if (frame === undefined) return 0
    const items = frame.items - (left?.items ?? 0)
    const bytes = frame.bytes - (left?.bytes ?? 0)
    segment.pendingItems -= items
    segment.pendingBytes -= bytes
    segment.settledItems += items
    this.waitingItems -= items
    this.settleRange(segment, frame.offset, left?.offset ?? frame.offset + frame.length, bytes)
    if (left !== null) segment.pending?.unshift(left)
    return items
  }

  /** Frames of a batch that is dissolved wait again. */
  putBack(segment: Segment, frames: readonly Frame[]): void {
    for (const frame of frames) {
      segment.flyingItems -= frame.items
      segment.pendingItems += frame.items
      segment.pendingBytes += frame.bytes
    }
    if (segment.pending !== null) {
      segment.pending = [...segment.pending, ...frames].sort((a, b) => a.offset - b.offset)
    }
  }

  /** Everything that waits in a segment is given up; the count of items, for the caller to account. */
  giveUp(segment: Segment, until = Number.POSITIVE_INFINITY): number {
    const frames = segment.pending
    if (frames === null || until === Number.POSITIVE_INFINITY) return this.#giveUpAll(segment)
    let items = 0
    while (frames[0] !== undefined && frames[0].newest < until) {
      const frame = frames.shift() as Frame
      items += frame.items
      segment.pendingItems -= frame.items
      segment.pendingBytes -= frame.bytes
      segment.settledItems += frame.items
      this.waitingItems -= frame.items
      this.settleRange(segment, frame.offset, frame.offset + frame.length, frame.bytes)
    }
    return items
  }

  #giveUpAll(segment: Segment): number {
    const items = segment.pendingItems
    segment.settledItems += items
    this.waitingItems -= items
    this.waitingBytes -= segment.pendingBytes
    for (const frame of segment.pending ?? []) {
      segment.settled = mergeRange(segment.settled, frame.offset, frame.offset + frame.length)
    }
    // Not loaded means closed and nothing flying: the whole file is done.
    if (segment.pending === null) segment.settled = [wholeOf(segment)]
    segment.pending = []
    segment.pendingItems = 0
    segment.pendingBytes = 0
    return items
  }

  /** Closed segments with nothing left to do: their files may go. */
  *finished(): Generator<Segment> {
    for (const segment of this.#segments.values()) {
      const waiting = segment.pendingItems + segment.flyingItems
      if (segment.closed && waiting === 0 && !segment.removing) yield segment
    }
  }

  forget(segment: Segment): void {
    if (!this.#segments.delete(segment.name)) return
    this.fileBytes -= segment.size
    if (segment.log === null) this.fileCount -= 1
  }

  /** Start of the oldest exchange that waits and is in no batch, Unix milliseconds; null when none does. */
  oldest(): number | null {
    for (const segment of this.#segments.values()) {
      if (segment.pendingItems > 0) return segment.pending?.[0]?.oldest ?? segment.oldest
    }
    return null
  }
}

/** Offsets of everything that was found in a segment. */
function wholeOf({ log, size }: Segment): [from: number, to: number] {
  return log === null ? [0, size] : [log.from, log.scanned]
}

function unload(segment: Segment): void {
  if (!segment.closed || segment.flyingItems > 0) return
  if (segment.pending !== null && segment.pending.length >= UNLOAD_FRAMES_MIN) segment.pending = null
}

/** The longest run of neighbouring frames within the bounds; always at least one frame. */
function headRun(segment: Segment, pending: readonly Frame[], bounds: RunLimits): Run | null {
  const frames: Frame[] = []
  let items = 0
  let bytes = 0
  for (const frame of pending) {
    const last = frames.at(-1)
    const follows = last === undefined || last.offset + last.length === frame.offset
    const fits = items + frame.items <= bounds.maxItems && bytes + frame.bytes <= bounds.maxBytes
    if (!follows || (last !== undefined && !fits)) break
    frames.push(frame)
    items += frame.items
    bytes += frame.bytes
  }
  return frames.length === 0 ? null : { segment, frames, items, bytes }
}
