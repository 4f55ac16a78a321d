/** The batches of a leg that are not settled: on their way, failed, or left open by an earlier process. */
import type { Batch } from './batch.ts'
import type { Segment } from './segment.ts'

export class OpenBatches {
  readonly flying = new Set<Batch>()
  /** They wait for their next try. */
  #failed: Batch[] = []
  /** They go first, under their old ids. */
  #reopened: Batch[]

  constructor(reopened: Batch[]) {
    this.#reopened = reopened
  }

  fail(batch: Batch): void {
    this.#failed.push(batch)
  }

  oldestFailed(): Batch | null {
    let oldest: Batch | null = null
    for (const batch of this.#failed) {
      const before = oldest === null || batch.segment.name < oldest.segment.name
      if (before || (batch.segment === oldest?.segment && batch.from < oldest.from)) oldest = batch
    }
    return oldest
  }

  /** It waits no more. */
  take(batch: Batch): Batch {
    this.#failed = this.#failed.filter((other) => other !== batch)
    this.#reopened = this.#reopened.filter((other) => other !== batch)
    return batch
  }

  /** The one that goes before anything new. */
  next(): Batch | null {
    const next = this.#reopened[0] ?? this.oldestFailed()
    return next === null ? null : this.take(next)
  }

  /** Not on their way. */
  waiting(): Batch[] {
    return [...this.#failed, ...this.#reopened]
  }

  of(segment: Segment): Batch[] {
    return [...this.flying, ...this.waiting()].filter((batch) => batch.segment === segment)
  }

  /** Everything that failed is due at once. */
  revive(): void {
    for (const batch of this.#failed) Object.assign(batch, { failures: 0, nextTryAt: 0 })
  }

  /** Start of the oldest exchange in any of them, Unix milliseconds; infinite when there is none. */
  oldest(): number {
    const starts = [...this.flying, ...this.waiting()].map(({ frames }) => frames[0]?.oldest)
    return Math.min(...starts.map((start) => start ?? Number.POSITIVE_INFINITY))
  }
}
