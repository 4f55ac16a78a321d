/**
 * The cache of secrets: values in memory, each read once however many deliveries want it, read again in the
 * background before its time is over, and used beyond it for a while when it cannot be read.
 *
 *   0 ──────────────── ttl ──────── ttl + stale
 *   │  used at once  │▒│ read first; │  gone
 *   │                ▒ │ used if that fails
 *   └ read again in the background from 90 % on
 */
import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { referenceText, type SecretReference } from '../contract/secret-reference.ts'
import { SecretError } from '../contract/secrets.ts'

export interface CacheSettings {
  readonly ttl_ms: number
  readonly stale_ms: number
  readonly negative_ms: number
  readonly max_entries: number
  readonly timeout_ms: number
}

/** A value and when it was read, on the monotonic clock. */
export interface Secret {
  readonly value: string
  readonly readAt: number
}

export interface CacheHost {
  read(reference: SecretReference, signal: AbortSignal, timeoutMs: number): Promise<string>
  /** A secret that was known has another value now. */
  changed(reference: SecretReference): void
  succeeded(reference: SecretReference): void
  /** `usable`: the value that was read before can still be used. */
  failed(reference: SecretReference, error: SecretError, usable: boolean): void
}

/** From this part of its time on, a secret that is used is read again in the background. */
const REFRESH_AHEAD = 0.9

export class SecretsCache {
  readonly settings: CacheSettings
  readonly #host: CacheHost
  readonly #entries: LRUCache<string, Secret, SecretReference>
  /** What could not be read lately. */
  readonly #failures: LRUCache<string, SecretError>
  /** Of the last value of each, also of those that were forgotten: tells whether another one was read. */
  readonly #digests: LRUCache<string, string>
  readonly #digestKey = randomBytes(32)
  #clears = 0
  /** When a provider said that its secrets may have changed: what was read before must be read again. */
  readonly #changedAt = new Map<string, number>()
  #closed = false

  constructor(settings: CacheSettings, host: CacheHost) {
    this.settings = settings
    this.#host = host
    this.#entries = new LRUCache({
      max: settings.max_entries,
      // Its age is looked at here: lru-cache only has to forget what is of no use any more.
      ttl: settings.ttl_ms + settings.stale_ms,
      allowStaleOnFetchRejection: true,
      fetchMethod: (key, _stale, { signal, context }) => this.#fetch(key, context, signal),
    })
    this.#failures = new LRUCache({ max: settings.max_entries, ttl: Math.max(1, settings.negative_ms) })
    this.#digests = new LRUCache({ max: settings.max_entries })
  }

  get size(): number {
    return this.#entries.size
  }

  /** The secret; throws a `SecretError` when it can neither be read nor was lately. */
  async read(reference: SecretReference): Promise<Secret> {
    const key = referenceText(reference)
    const known = this.#entries.get(key, { allowStale: true, noDeleteOnStaleGet: true })
    const age = known === undefined ? Number.POSITIVE_INFINITY : performance.now() - known.readAt
    const changedAt = this.#changedAt.get(reference.provider) ?? Number.NEGATIVE_INFINITY
    if (known !== undefined && known.readAt > changedAt && age < this.settings.ttl_ms) {
      // Whatever becomes of it, this value is good for now.
      if (age >= this.settings.ttl_ms * REFRESH_AHEAD && this.#failedLately(key) === undefined)
        this.#refresh(reference).catch(() => {})
      return known
    }
    const failure = this.#failedLately(key)
    if (failure === undefined) return this.#refresh(reference)
    if (known !== undefined && this.#usable(known)) return known
    throw failure
  }

  /**
   * The secret, read again unless it was read since `usedAt`: then another delivery has had it read. When
   * that fails, the value that was refused stays for those that are not refused.
   */
  async readAgain(reference: SecretReference, usedAt: number): Promise<Secret> {
    const known = this.#entries.peek(referenceText(reference), { allowStale: true })
    if (known !== undefined && known.readAt > usedAt) return known
    const fresh = await this.#refresh(reference)
    if (fresh.readAt <= usedAt) throw this.#failureOf(reference)
    return fresh
  }

  /** Forgets every value; reads on their way are begun anew. */
  clear(): void {
    this.#clears += 1
    this.#entries.clear()
    this.#failures.clear()
  }

  /** Values of a provider must be read again before they are used. */
  outdate(provider: string): void {
    this.#changedAt.set(provider, performance.now())
    for (const key of [...this.#failures.keys()]) {
      if (key.startsWith(`\${secret:${provider}:`)) this.#failures.delete(key)
    }
  }

  /** Gives up what is being read. */
  close(): void {
    this.#closed = true
    this.clear()
  }

  /** Joins a read that is on its way. */
  async #refresh(reference: SecretReference): Promise<Secret> {
    for (;;) {
      const clears = this.#clears
      const entry = await this.#entries
        .fetch(referenceText(reference), { context: reference, forceRefresh: true })
        .catch(() => undefined)
      if (this.#closed) throw new SecretError('unavailable', 'the read was given up')
      // Cleared while it was read: what comes of it may be what was to be forgotten.
      if (clears !== this.#clears) continue
      if (entry === undefined || !this.#usable(entry)) throw this.#failureOf(reference)
      return entry
    }
  }

  #usable({ readAt }: Secret): boolean {
    return performance.now() - readAt < this.settings.ttl_ms + this.settings.stale_ms
  }

  async #fetch(key: string, reference: SecretReference, signal: AbortSignal): Promise<Secret> {
    const clears = this.#clears
    const readAt = performance.now()
    try {
      const value = await this.#host.read(reference, signal, this.settings.timeout_ms)
      this.#failures.delete(key)
      this.#compare(key, value, reference)
      this.#host.succeeded(reference)
      return { value, readAt }
    } catch (error) {
      if (clears === this.#clears) {
        this.#failures.set(key, error as SecretError)
        const known = this.#entries.peek(key, { allowStale: true })
        this.#host.failed(reference, error as SecretError, known !== undefined && this.#usable(known))
      }
      throw error
    }
  }

  #compare(key: string, value: string, reference: SecretReference): void {
    const digest = createHmac('sha256', this.#digestKey).update(value).digest('base64')
    const before = this.#digests.get(key)
    this.#digests.set(key, digest)
    if (before !== undefined && before !== digest) this.#host.changed(reference)
  }

  #failedLately(key: string): SecretError | undefined {
    return this.settings.negative_ms === 0 ? undefined : this.#failures.get(key)
  }

  #failureOf(reference: SecretReference): SecretError {
    // Kept longer than it counts: without it nobody could say why.
    const failure = this.#failures.get(referenceText(reference), { allowStale: true })
    return failure ?? new SecretError('unavailable', 'it cannot be read')
  }
}
