/** What a row of the table is: something that forwards, started fresh for every round. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Shape } from '../bed/payload.ts'
import type { Bed, CollectorStats } from './bed.ts'
import type { Child } from './child.ts'
import type { Tool } from './machine.ts'

/** What became of the copies of a measurement. */
export interface Mirrored {
  /** Exchanges whose every half was delivered or waits on disk. */
  readonly exchanges: number
  /** Items dropped, by reason. */
  readonly dropped: Readonly<Record<string, number>>
}

export interface Target {
  readonly child: Child
  readonly port: number
  /** Called before a measurement. */
  begin?(): Promise<void>
  /**
   * Called after the load: waits, within a bound, until the copies of its requests are delivered or on disk,
   * so that their CPU is counted. Only for targets that copy.
   */
  settle?(requests: number): Promise<Mirrored>
}

export interface Row {
  readonly name: string
  /** What the row is for, one sentence. */
  readonly goal: string
  readonly needs: readonly Tool[]
  /** Starts it on the measured core with its files under `folder`. */
  start(bed: Bed, folder: string): Promise<Target>
  /** Why the collector's samples do not prove what the row claims, or null. */
  proof?(stats: CollectorStats, shape: Shape): string | null
}

/** Why samples lack a word that they must hold, or null. */
export function holds(stats: CollectorStats, words: readonly string[]): string | null {
  const all = Object.values(stats.samples).join('\n')
  if (stats.items === 0) return 'the collector received no item'
  const missing = words.filter((word) => !all.includes(word))
  return missing.length === 0 ? null : `the collector's items lack ${missing.join(' and ')}`
}

/** For rivals, which count nothing: waits, at most 5 s, until the collector has an item for every request. */
export async function received(bed: Bed, requests: number): Promise<Mirrored> {
  let { items } = await bed.stats()
  for (let tries = 0; tries < 20 && items < requests; tries += 1) {
    await wait(250)
    items = (await bed.stats()).items
  }
  return { exchanges: items, dropped: items < requests ? { lost: requests - items } : {} }
}
