/** Bounded waiting, and the identity that every mirror must keep. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Counts, DeliveryView } from '../../src/admin/commands.ts'

export interface Wait {
  /** What is waited for; ends the sentence when it does not come. */
  what: string
  within_ms?: number
  every_ms?: number
}

type Falsy = null | undefined | false | 0 | ''

/** Asks until the answer is truthy, and resolves with it; an asking that throws is asked again. */
export async function until<Value>(
  ask: () => Value | Promise<Value>,
  { what, within_ms = 10_000, every_ms = 20 }: Wait,
): Promise<Exclude<Value, Falsy>> {
  const deadline = performance.now() + within_ms
  let last: unknown
  for (;;) {
    try {
      last = await ask()
      if (last) return last as Exclude<Value, Falsy>
    } catch (error) {
      last = error
    }
    if (performance.now() >= deadline) break
    await delay(every_ms)
  }
  const shown = last instanceof Error ? last.message : JSON.stringify(last)
  throw new Error(`${what}: did not happen within ${within_ms} ms; last answer: ${shown?.slice(0, 2000)}`)
}

/** What happens afterwards bears a later time, to the millisecond, than what happened before. */
export async function clockMovesOn(): Promise<void> {
  const before = Date.now()
  await until(() => Date.now() > before, { what: 'a later millisecond', every_ms: 1 })
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0)

export const droppedOf = (counts: Counts): number => sum(Object.values(counts.dropped))

/** What captured must be: everything that became of the items. */
export const accountOf = (counts: Counts): number =>
  counts.delivered + counts.waiting + counts.dead_lettered + droppedOf(counts)

/** captured = delivered + waiting + dead_lettered + Σ dropped per leg; the mirror is the sum of its legs. */
export function expectIdentity(mirror: DeliveryView): void {
  for (const leg of mirror.legs) {
    expect(accountOf(leg.counts), `${mirror.name}/${leg.name}: ${JSON.stringify(leg.counts)}`).toBe(
      leg.counts.captured,
    )
    for (const [name, value] of Object.entries(leg.counts)) {
      if (name !== 'dropped') expect(value, `${mirror.name}/${leg.name} ${name}`).toBeGreaterThanOrEqual(0)
    }
  }
  for (const name of ['captured', 'delivered', 'waiting', 'dead_lettered'] as const) {
    const legs = sum(mirror.legs.map(({ counts }) => counts[name]))
    expect(mirror.counts[name], `${mirror.name} ${name} is the sum of its legs`).toBe(legs)
  }
  const dropped = sum(mirror.legs.map(({ counts }) => droppedOf(counts)))
  expect(droppedOf(mirror.counts), `${mirror.name} dropped is the sum of its legs`).toBe(dropped)
}
