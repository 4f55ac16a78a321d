/**
 * Frames over the activity log: runs of ids with the count of what matches in them. A frame begins where the
 * one before it ended, so that a batch of several frames is one range; it ends behind a match.
 */
import type { ActivityFeed } from '../store/activity/feed.ts'
import { HEAD_BYTES } from '../store/activity/format.ts'
import { entryTest, type StoredEntry } from '../store/activity/stored-entry.ts'
import type { LogRun } from '../store/legs.ts'
import type { ReadFrame } from './segment.ts'

/** A frame never exceeds the batches of its stream. */
export interface FrameBounds {
  readonly items: number
  readonly bytes: number
}

/** Small enough that a batch is filled well with whole frames. */
const FRAME_ITEMS = 50
const FRAME_BYTES = 128 * 1024

export function frameBounds(batch: { readonly max_items: number; readonly max_bytes: number }): FrameBounds {
  return { items: Math.min(FRAME_ITEMS, batch.max_items), bytes: Math.min(FRAME_BYTES, batch.max_bytes) }
}

/** Bytes of an entry as an item: its payload and a newline. */
export const itemBytes = ({ value }: StoredEntry): number => value.length - HEAD_BYTES + 1

/** Collects matches into frames. */
export class FrameBuilder {
  #from: number
  readonly #bounds: FrameBounds
  #end = 0
  #items = 0
  #bytes = 0
  #oldest = Number.POSITIVE_INFINITY
  #newest = 0

  constructor(from: number, bounds: FrameBounds) {
    this.#from = from
    this.#bounds = bounds
  }

  /** Adds a match; the frame before it when it does not fit into that any more. */
  add(entry: StoredEntry): ReadFrame | null {
    const bytes = itemBytes(entry)
    const isFull = this.#items >= this.#bounds.items || this.#bytes + bytes > this.#bounds.bytes
    const full = isFull ? this.cut() : null
    this.#items += 1
    this.#bytes += bytes
    this.#end = entry.id + 1
    this.#oldest = Math.min(this.#oldest, entry.timestamp)
    this.#newest = Math.max(this.#newest, entry.timestamp)
    return full
  }

  /** The frame of what was added since the last one; null when nothing was. */
  cut(): ReadFrame | null {
    if (this.#items === 0) return null
    const frame = {
      offset: this.#from,
      length: this.#end - this.#from,
      items: this.#items,
      bytes: this.#bytes,
      oldest: this.#oldest,
      newest: this.#newest,
    }
    this.#from = this.#end
    this.#items = 0
    this.#bytes = 0
    this.#oldest = Number.POSITIVE_INFINITY
    this.#newest = 0
    return frame
  }
}

/**
 * Frames of what was looked at of a run, read again. None of them reaches over a border of `ranges`, and what
 * is within a range that is `settled` is left out.
 */
export async function indexRun(
  feed: ActivityFeed,
  run: LogRun,
  bounds: FrameBounds,
  ranges: { readonly settled: readonly Span[]; readonly batches: readonly Span[] },
): Promise<ReadFrame[]> {
  const matches = entryTest(run.filter)
  const frames: ReadFrame[] = []
  for (const [from, to] of spansToRead(run, ranges)) {
    const builder = new FrameBuilder(from, bounds)
    const keep = (frame: ReadFrame | null) => void (frame !== null && frames.push(frame))
    await feed.each(from, to, (entry) => {
      if (matches(entry)) keep(builder.add(entry))
    })
    keep(builder.cut())
  }
  return frames
}

type Span = readonly [from: number, to: number]

function spansToRead(
  { from, scanned }: LogRun,
  { settled, batches }: { readonly settled: readonly Span[]; readonly batches: readonly Span[] },
): Span[] {
  const borders = [...settled, ...batches].flat().filter((id) => id > from && id < scanned)
  const cuts = [...new Set([from, ...borders, scanned])].sort((a, b) => a - b)
  return cuts
    .slice(0, -1)
    .map((start, at): Span => [start, cuts[at + 1] ?? scanned])
    .filter(([start]) => !settled.some(([a, b]) => start >= a && start < b))
}
