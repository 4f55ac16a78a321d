/** Where the hash chain of every environment stands; written with every transaction that changes it. */
import type { Database } from 'lmdb'
import { type EnvironmentName, environments } from '../../contract/environments.ts'
import { type ChainState, emptyChain, HASH_BYTES, HEAD_BYTES } from './format.ts'

export class Chains {
  readonly #table: Database<string, string>
  readonly #states: Map<EnvironmentName, ChainState>
  readonly #tails: Map<EnvironmentName, Buffer>
  readonly #changed = new Set<EnvironmentName>()

  private constructor(
    table: Database<string, string>,
    states: Map<EnvironmentName, ChainState>,
    tails: Map<EnvironmentName, Buffer>,
  ) {
    this.#table = table
    this.#states = states
    this.#tails = tails
  }

  static read(table: Database<string, string>): Chains {
    const states = new Map<EnvironmentName, ChainState>()
    const tails = new Map<EnvironmentName, Buffer>()
    for (const environment of environments) {
      const text = table.get(environment)
      const state = text === undefined ? emptyChain : (JSON.parse(text) as ChainState)
      states.set(environment, state)
      tails.set(environment, Buffer.from(state.last_hash, 'hex'))
    }
    return new Chains(table, states, tails)
  }

  copy(): Chains {
    return new Chains(this.#table, new Map(this.#states), new Map(this.#tails))
  }

  state(environment: EnvironmentName): ChainState {
    return this.#states.get(environment) ?? emptyChain
  }

  /** Chains that have, or once had, entries. */
  used(): [EnvironmentName, ChainState][] {
    return [...this.#states].filter(([, { last_id }]) => last_id > 0)
  }

  /** The newest entry of all environments. */
  get lastId(): number {
    return Math.max(...[...this.#states.values()].map(({ last_id }) => last_id))
  }

  /** Entries that stand, of all environments. */
  get entries(): number {
    return [...this.#states.values()].reduce((sum, { entries }) => sum + entries, 0)
  }

  /** Hash that the next entry of an environment follows. */
  tail(environment: EnvironmentName): Buffer {
    return this.#tails.get(environment) ?? Buffer.alloc(HASH_BYTES)
  }

  append(environment: EnvironmentName, id: number, value: Buffer): void {
    const state = this.state(environment)
    this.#tails.set(environment, value.subarray(HASH_BYTES, HEAD_BYTES))
    this.#states.set(environment, {
      ...state,
      first_id: state.entries === 0 ? id : state.first_id,
      last_id: id,
      entries: state.entries + 1,
    })
    this.#changed.add(environment)
  }

  /** Entries up to an anchor were removed; `firstId` is the first that stands, 0 when none does. */
  remove(
    environment: EnvironmentName,
    anchor: { id: number; hash: string },
    count: number,
    firstId: number,
  ): void {
    const state = this.state(environment)
    this.#states.set(environment, {
      ...state,
      anchor_id: anchor.id,
      anchor_hash: anchor.hash,
      removed: state.removed + count,
      first_id: firstId,
      entries: state.entries - count,
    })
    this.#changed.add(environment)
  }

  /** Completes the states, once per transaction instead of once per entry. */
  seal(): void {
    for (const environment of this.#changed) {
      const last_hash = this.tail(environment).toString('hex')
      this.#states.set(environment, { ...this.state(environment), last_hash })
    }
  }

  /** Inside a transaction. */
  write(): void {
    for (const environment of this.#changed)
      this.#table.put(environment, JSON.stringify(this.state(environment)))
  }
}
