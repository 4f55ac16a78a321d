/**
 * The time of a data thread: a coarse clock that a single interval moves on, and the open connections whose
 * deadlines that interval checks. None has a timer of its own.
 */

/** How often deadlines are checked, milliseconds: a time-out is two of these late at most, never early. */
export const TICK_MS = 100

/** `now` is monotonic milliseconds, at most one tick old. */
export const clock = { now: performance.now() }

/** A sign of life that no tick has seen yet: its silence begins with the next, never before it was there. */
export const UNSEEN = Number.POSITIVE_INFINITY

/** Monotonic milliseconds as Unix milliseconds; follows corrections of the system clock. */
export function unixTime(monotonic: number): number {
  return monotonic + wallOffset
}
let wallOffset = Date.now() - performance.now()

export function tickClock(): void {
  clock.now = performance.now()
  wallOffset = Date.now() - clock.now
}

/** What has a place in the table of deadlines. */
export interface Open {
  /** Where it stands in the table; -1 when it does not. Kept by the table. */
  place: number
  checkDeadline(now: number): void
}

/** The open connections, packed, in no order. */
export class OpenTable {
  readonly #open: Open[] = []

  get size(): number {
    return this.#open.length
  }

  add(entry: Open): void {
    entry.place = this.#open.length
    this.#open.push(entry)
  }

  remove(entry: Open): void {
    const last = this.#open.pop() as Open
    if (last !== entry) {
      this.#open[entry.place] = last
      last.place = entry.place
    }
    entry.place = -1
  }

  /** Backwards: an entry that removes itself moves the last one to its place, which was already checked. */
  checkDeadlines(now: number): void {
    for (let i = this.#open.length - 1; i >= 0; i--) this.#open[i]?.checkDeadline(now)
  }
}
