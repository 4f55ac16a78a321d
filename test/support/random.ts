/** Repeatable randomness: one seed, one sequence. */

export interface Random {
  /** From 0 to below `end`. */
  below(end: number): number
  pick<Value>(values: readonly Value[]): Value
  /** True once in so many times. */
  once(times: number): boolean
}

/** Marsaglia's xorshift of 32 bits, stirred so that seeds beside each other differ. */
export function randomOf(seed: number): Random {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  for (let warm = 0; warm < 8; warm += 1) next()
  const below = (end: number): number => next() % end
  return {
    below,
    pick: (values) => values[below(values.length)] as (typeof values)[number],
    once: (times) => below(times) === 0,
  }
}
