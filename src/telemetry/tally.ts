/**
 * What happens often, told seldom: the first of a kind at once, what follows within a minute as one count at
 * its end. So the telling is early, complete, and at most one per kind and minute.
 */

interface Window<About> {
  about: About
  count: number
  readonly endsAt: number
}

export interface TallyOptions<About> {
  /** Kinds that are told apart at a time; one more is counted together with all others under `others`. */
  readonly kindsMax: number
  readonly others: About
  /** `about` is that of the last one counted. */
  readonly tell: (about: About, count: number) => void
  readonly windowMs?: number
}

const MINUTE_MS = 60_000
const OTHERS = ''

export class Tally<About> {
  readonly #options: TallyOptions<About>
  readonly #windowMs: number
  /** In the order of their ends. */
  readonly #windows = new Map<string, Window<About>>()
  #timer: NodeJS.Timeout | null = null

  constructor(options: TallyOptions<About>) {
    this.#options = options
    this.#windowMs = options.windowMs ?? MINUTE_MS
  }

  add(kind: string, about: About, count = 1): void {
    const { kindsMax, others, tell } = this.#options
    const isFull = !this.#windows.has(kind) && this.#windows.size >= kindsMax
    const [key, what] = isFull ? [OTHERS, others] : [kind, about]
    const known = this.#windows.get(key)
    if (known === undefined) {
      this.#open(key, what)
      tell(what, count)
      return
    }
    known.count += count
    known.about = what
  }

  #open(key: string, about: About): void {
    this.#windows.set(key, { about, count: 0, endsAt: Date.now() + this.#windowMs })
    this.#timer ??= setTimeout(() => this.#sweep(), this.#windowMs).unref()
  }

  /** Tells what was counted in windows that are over; a kind that goes on gets its next window. */
  #sweep(): void {
    this.#timer = null
    const now = Date.now()
    for (const [key, { about, count, endsAt }] of this.#windows) {
      if (endsAt > now) {
        this.#timer = setTimeout(() => this.#sweep(), endsAt - now).unref()
        return
      }
      this.#windows.delete(key)
      if (count === 0) continue
      this.#open(key, about)
      this.#options.tell(about, count)
    }
  }

  /** Tells at once whatever was counted, and forgets all windows. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const counted = [...this.#windows.values()].filter(({ count }) => count > 0)
    this.#windows.clear()
    for (const { about, count } of counted) this.#options.tell(about, count)
  }
}
