/** Searches for text read every entry that the other filters leave: how many may run at once, how long. */
import { SearchBusyError, SearchTooLongError } from '../../contract/errors.ts'
import { limits } from '../../contract/limits.ts'

export class Searches {
  readonly #ms: number
  #running = 0

  constructor(ms: number = limits.activity_search_ms) {
    this.#ms = ms
  }

  /**
   * Rejects with SearchBusyError when enough of them run, with SearchTooLongError after its time, and with
   * the reason of the signal when who asked went away; the work has to heed the signal it is given.
   */
  async run<Found>(
    asked: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Found>,
  ): Promise<Found> {
    asked?.throwIfAborted()
    if (this.#running >= limits.activity_searches_max) {
      throw new SearchBusyError(`at most ${limits.activity_searches_max} searches for text may run at a time`)
    }
    const late = new AbortController()
    const rule = `a search for text must take at most ${this.#ms} ms`
    const advice = 'narrow it with from and to, users or types, or take an export'
    const timer = setTimeout(() => late.abort(new SearchTooLongError(`${rule}: ${advice}`)), this.#ms)
    this.#running += 1
    try {
      return await work(AbortSignal.any(asked === undefined ? [late.signal] : [asked, late.signal]))
    } finally {
      this.#running -= 1
      clearTimeout(timer)
    }
  }
}
