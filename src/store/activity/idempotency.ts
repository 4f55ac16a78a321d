/** Appends that came with an idempotency key: the same key gives the same ids for a day. */
import crypto from 'node:crypto'
import type { Database, RootDatabase } from 'lmdb'
import type { IdempotencyKey } from '../../contract/activity.ts'
import { IdempotencyError } from '../../contract/errors.ts'
import { limits } from '../../contract/limits.ts'

interface Remembered {
  readonly digest: string
  /** The ids of one append follow each other. */
  readonly first: number
  readonly count: number
  readonly at: number
}

/** Old keys that one new one may take along: forgetting keeps up, and no transaction grows long. */
const FORGET_PER_KEY = 4

/** Fixed length, whatever a client sends. */
function nameOf({ client, key }: IdempotencyKey): string {
  return crypto.hash('sha256', JSON.stringify([client, key]), 'base64url')
}

export class IdempotencyKeys {
  readonly #known: Database<Remembered, string>
  /** First id of the append → name: in order of time. */
  readonly #order: Database<string, number>
  readonly #pending = new Map<string, { digest: string; ids: Promise<number[]> }>()
  #count: number

  constructor(env: RootDatabase) {
    this.#known = env.openDB({ name: 'activity_keys' })
    this.#order = env.openDB({ name: 'activity_keys_order', encoding: 'string' })
    this.#count = (this.#order.getStats() as { entryCount: number }).entryCount
  }

  /**
   * The ids of an earlier append under this key, or what `append` gives now; `remember` belongs into its
   * transaction. Throws IdempotencyError when the key came with something else.
   */
  once(
    key: IdempotencyKey,
    count: number,
    append: (remember: (firstId: number) => void) => Promise<number[]>,
  ): Promise<number[]> {
    const name = nameOf(key)
    const now = Date.now()
    const pending = this.#pending.get(name)
    if (pending !== undefined) {
      assertSame(pending.digest, key)
      return pending.ids
    }
    const known = this.#known.get(name)
    if (known !== undefined && known.at > now - limits.idempotency_ms) {
      assertSame(known.digest, key)
      return Promise.resolve(Array.from({ length: known.count }, (_, at) => known.first + at))
    }
    const ids = append((first) => this.#remember(name, { digest: key.digest, first, count, at: now }))
    this.#pending.set(name, { digest: key.digest, ids })
    const done = () => this.#pending.delete(name)
    ids.then(done, done)
    return ids
  }

  /** Inside a transaction. */
  #remember(name: string, remembered: Remembered): void {
    this.#forget(remembered.at)
    const before = this.#known.get(name)
    if (before !== undefined) this.#order.remove(before.first)
    else this.#count += 1
    this.#known.put(name, remembered)
    this.#order.put(remembered.first, name)
  }

  #forget(now: number): void {
    for (const { key: first, value: name } of [...this.#order.getRange({ limit: FORGET_PER_KEY })]) {
      const old = (this.#known.get(name)?.at ?? 0) <= now - limits.idempotency_ms
      if (!old && this.#count < limits.idempotency_keys_max) return
      this.#order.remove(first)
      this.#known.remove(name)
      this.#count -= 1
    }
  }
}

function assertSame(digest: string, key: IdempotencyKey): void {
  if (digest === key.digest) return
  throw new IdempotencyError('the idempotency key was used with another body')
}
