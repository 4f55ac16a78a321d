/**
 * Signed checkpoints: where every chain stood at a time. Without them, entries that are cut off at the end of
 * a log would not be missed.
 */
import type { Database, RootDatabase } from 'lmdb'
import type { Chains } from './chains.ts'
import { type Checkpoint, databases, signedCheckpoint } from './format.ts'
import { type SigningKey, signingKey } from './signing.ts'
import { Slices } from './slices.ts'

/** Newest checkpoints that are all kept; of older ones the last of each day is. */
const KEPT_ALL = 1000
/** Looked at in one turn of the event loop, and removed in one transaction. */
const THINNED_AT_ONCE = 100

export class Checkpoints {
  readonly #table: Database<string, number>
  readonly #key: SigningKey
  /** Of the newest one: what had happened to the chains by then. */
  #signed: { sequence: number; changes: number }

  constructor(env: RootDatabase, dataDir: string) {
    this.#table = env.openDB({ name: databases.checkpoints, encoding: 'string' })
    this.#key = signingKey(dataDir)
    const [last] = [...this.#table.getRange({ reverse: true, limit: 1 })]
    const { environments = {} } = last === undefined ? {} : (JSON.parse(last.value) as Checkpoint)
    const changes = Object.values(environments).reduce(
      (sum, { entries, removed }) => sum + entries + 2 * removed,
      0,
    )
    this.#signed = { sequence: last?.key ?? 0, changes }
  }

  jwks(): SigningKey['jwks'] {
    return this.#key.jwks
  }

  /** The newest one as it is stored; null before the first. */
  newest(): string | null {
    return this.#table.get(this.#signed.sequence) ?? null
  }

  /** Entries that were appended or removed since the newest checkpoint. */
  changesSince(chains: Chains): number {
    return chains.changes - this.#signed.changes
  }

  /** Signs where the chains stand; the result writes it, inside the transaction that takes them there. */
  sign(chains: Chains): { write: () => void; signed: () => void } {
    const sequence = this.#signed.sequence + 1
    const { changes } = chains
    const text = signedCheckpoint(
      {
        sequence,
        time: new Date().toISOString(),
        key_id: this.#key.id,
        environments: Object.fromEntries(chains.used()),
      },
      this.#key.privateKey,
    )
    return {
      write: () => void this.#table.put(sequence, text),
      signed: () => {
        this.#signed = { sequence, changes }
      },
    }
  }

  /** Sequence numbers of those that are old and not the last of their day; reads on as they are taken. */
  async *thinnable(): AsyncGenerator<readonly number[]> {
    const slices = new Slices()
    let [start, laterDay] = [this.#signed.sequence - KEPT_ALL, '']
    for (;;) {
      const found: number[] = []
      const before = start
      // From the newest of the old ones on, so that each meets the one after it first.
      for (const { key, value } of this.#table.getRange({ start, reverse: true, limit: THINNED_AT_ONCE })) {
        const day = (JSON.parse(value) as Checkpoint).time.slice(0, 10)
        if (day === laterDay) found.push(key)
        laterDay = day
        start = key - 1
      }
      if (start === before) return
      if (found.length > 0) yield found
      await slices.rest()
    }
  }

  /** Inside a transaction. */
  remove(sequences: readonly number[]): void {
    for (const sequence of sequences) this.#table.remove(sequence)
  }
}
