/** Where the hash chain of every environment stands; written with every transaction that changes it. */
import type { Database } from 'lmdb'
import { type EnvironmentName, environments } from '../../contract/environments.ts'
import { type ChainState, emptyChain, HASH_BYTES, HEAD_BYTES } from './format.ts'

/** Appending is the hot path: the tail stays bytes, and nothing is copied per entry. */
interface Chain {
  state: { -readonly [key in keyof ChainState]: ChainState[key] }
  tail: Buffer
}

export class Chains {
  readonly #table: Database<string, string>
  readonly #chains: ReadonlyMap<EnvironmentName, Chain>
  readonly #changed = new Set<EnvironmentName>()

  private constructor(table: Database<string, string>, chains: ReadonlyMap<EnvironmentName, Chain>) {
    this.#table = table
    this.#chains = chains
  }

  static read(table: Database<string, string>): Chains {
    const chains = environments.map((name): [EnvironmentName, Chain] => {
      const text = table.get(name)
      const state = { ...emptyChain, ...(text === undefined ? {} : (JSON.parse(text) as ChainState)) }
      return [name, { state, tail: Buffer.from(state.last_hash, 'hex') }]
    })
    return new Chains(table, new Map(chains))
  }

  /** To be changed by the next transaction; the chains as they are stay as they are. */
  copy(): Chains {
    const chains = [...this.#chains].map(([name, { state, tail }]): [EnvironmentName, Chain] => [
      name,
      { state: { ...state }, tail },
    ])
    return new Chains(this.#table, new Map(chains))
  }

  #chain(environment: EnvironmentName): Chain {
    const chain = this.#chains.get(environment)
    if (chain === undefined) throw new Error(`there is no environment ${environment}`)
    return chain
  }

  state(environment: EnvironmentName): ChainState {
    return this.#chain(environment).state
  }

  /** Chains that have, or once had, entries. */
  used(): [EnvironmentName, ChainState][] {
    return [...this.#chains]
      .map(([name, { state }]): [EnvironmentName, ChainState] => [name, state])
      .filter(([, { last_id }]) => last_id > 0)
  }

  /** The newest entry of all environments. */
  get lastId(): number {
    return Math.max(...[...this.#chains.values()].map(({ state }) => state.last_id))
  }

  /** Entries that were ever appended, and again those that were removed. */
  get changes(): number {
    return this.used().reduce((sum, [, { entries, removed }]) => sum + entries + 2 * removed, 0)
  }

  /** Hash that the next entry of an environment follows. */
  tail(environment: EnvironmentName): Buffer {
    return this.#chain(environment).tail
  }

  append(environment: EnvironmentName, id: number, value: Buffer): void {
    const chain = this.#chain(environment)
    const { state } = chain
    chain.tail = value.subarray(HASH_BYTES, HEAD_BYTES)
    if (state.entries === 0) state.first_id = id
    state.last_id = id
    state.entries += 1
    this.#changed.add(environment)
  }

  /** Entries up to an anchor were removed; `firstId` is the first that stands, 0 when none does. */
  remove(
    environment: EnvironmentName,
    anchor: { readonly id: number; readonly hash: string },
    count: number,
    firstId: number,
  ): void {
    const { state } = this.#chain(environment)
    state.anchor_id = anchor.id
    state.anchor_hash = anchor.hash
    state.removed += count
    state.first_id = firstId
    state.entries -= count
    this.#changed.add(environment)
  }

  /** After the last change: writes out what is kept as bytes until then. */
  seal(): void {
    for (const environment of this.#changed) {
      const { state, tail } = this.#chain(environment)
      state.last_hash = tail.toString('hex')
    }
  }

  /** Inside a transaction. */
  write(): void {
    for (const environment of this.#changed)
      this.#table.put(environment, JSON.stringify(this.state(environment)))
  }
}
