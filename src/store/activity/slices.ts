/**
 * Long queries run on main in slices. However many run at a time, one of them gets one slice per turn of the
 * event loop: what main does for the traffic waits for a few milliseconds at most.
 */

/** How long a slice may take. */
const SLICE_MS = 5

/** Queries that wait for their next slice, in order. */
const waiting: (() => void)[] = []
let scheduled = false

function schedule(): void {
  if (scheduled || waiting.length === 0) return
  scheduled = true
  setImmediate(() => {
    scheduled = false
    waiting.shift()?.()
    schedule()
  })
}

export class Slices {
  readonly signal: AbortSignal
  #until = performance.now() + SLICE_MS

  constructor(signal: AbortSignal = new AbortController().signal) {
    this.signal = signal
  }

  get over(): boolean {
    return performance.now() >= this.#until
  }

  /** Gives way to everything else, and to other queries; rejects when nobody wants the answer any more. */
  async rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      waiting.push(resolve)
      schedule()
    })
    this.signal.throwIfAborted()
    this.#until = performance.now() + SLICE_MS
  }
}
