/**
 * Loss accounting of one leg. Each of the five counts is counted where it happens; none is computed from
 * the others:
 *
 *   captured      data threads (shared cells) or what was found in the log, plus what earlier processes left
 *   waiting       in memory: put into slabs less what came back from the recorder; on disk: the queue's own
 * count
 *   delivered, dead_lettered, dropped: here, when the leg settles items, and in the shared cells
 */
import type { DropReason } from '../contract/errors.ts'
import type { BatchRecord, DeadLetter, LegCommand, LegRecord, SegmentRecord } from '../store/legs.ts'
import type { Store } from '../store/store.ts'

/** Counts of the leg's mirror in the data threads of this process, as of one moment. */
export interface MemoryCounts {
  readonly captured: number
  readonly slabbed: number
  readonly bufferFull: number
  readonly captureError: number
}

export const noRecord: LegRecord = Object.freeze({
  gone: 0,
  delivered: 0,
  dead_lettered: 0,
  dropped: {},
  attempts: 0,
  last_attempt_at: 0,
  last_response_code: null,
  last_error: null,
})

export class LegLedger {
  readonly key: string
  readonly #store: Store
  readonly #memory: () => MemoryCounts
  /** Captured by earlier processes: what is gone and what stands in segments. */
  capturedBefore = 0
  /** Found in the activity log, or posted, in this process. */
  found = 0
  /** Items that came back from the recorder, in frames or dropped. */
  recorded = 0
  gone: number
  delivered: number
  deadLettered: number
  readonly dropped: Partial<Record<DropReason, number>>
  attempts: number
  lastAttemptAt: number
  lastResponseCode: number | null
  lastError: string | null

  readonly #segments = new Map<string, SegmentRecord | null>()
  readonly #batches = new Map<string, BatchRecord | null>()
  readonly #dead = new Map<number, DeadLetter | null>()
  #dirty = false
  /** The write that is to begin, and the one before it. */
  #next: Promise<boolean> | null = null
  #last: Promise<boolean> | null = null
  readonly #flush = () => void this.flush()
  #persistedDrops = 0
  /** Drops that the log has told of. */
  readonly #reported: Map<DropReason, number>

  constructor(key: string, store: Store, memory: () => MemoryCounts, record: LegRecord | null) {
    this.key = key
    this.#store = store
    this.#memory = memory
    const from = record ?? noRecord
    this.gone = from.gone
    this.delivered = from.delivered
    this.deadLettered = from.dead_lettered
    this.dropped = { ...from.dropped }
    this.#reported = new Map(Object.entries(from.dropped) as [DropReason, number][])
    this.attempts = from.attempts
    this.lastAttemptAt = from.last_attempt_at
    this.lastResponseCode = from.last_response_code
    this.lastError = from.last_error
  }

  /** The five counts, `waitingOnDisk` being the queue's. */
  counts(waitingOnDisk: number): {
    captured: number
    delivered: number
    waiting: number
    dead_lettered: number
    dropped: Partial<Record<DropReason, number>>
  } {
    const memory = this.#memory()
    return {
      captured: this.capturedBefore + memory.captured + this.found,
      delivered: this.delivered,
      waiting: memory.slabbed - this.recorded + waitingOnDisk,
      dead_lettered: this.deadLettered,
      dropped: this.#dropsWith(memory),
    }
  }

  #dropsWith(memory: MemoryCounts): Partial<Record<DropReason, number>> {
    const dropped = { ...this.dropped }
    if (memory.bufferFull > 0) dropped.buffer_full = (dropped.buffer_full ?? 0) + memory.bufferFull
    if (memory.captureError > 0) dropped.capture_error = (dropped.capture_error ?? 0) + memory.captureError
    return dropped
  }

  /** The only place where items of a segment are dropped. */
  drop(reason: DropReason, items: number): void {
    if (items === 0) return
    this.dropped[reason] = (this.dropped[reason] ?? 0) + items
    this.touch()
  }

  /** What was dropped since the last call, by reason. */
  unreportedDrops(): { reason: DropReason; items: number }[] {
    const news: { reason: DropReason; items: number }[] = []
    for (const [name, total] of Object.entries(this.#dropsWith(this.#memory()))) {
      const reason = name as DropReason
      const items = total - (this.#reported.get(reason) ?? 0)
      if (items > 0) news.push({ reason, items })
      this.#reported.set(reason, total)
    }
    return news
  }

  /** Items that were lost between the slab and the disk. */
  dropBeforeDisk(reason: DropReason, items: number): void {
    this.gone += items
    this.recorded += items
    this.drop(reason, items)
  }

  /** Posted items that were taken, and given up at once. */
  dropPosted(reason: DropReason, items: number): void {
    this.found += items
    this.gone += items
    this.drop(reason, items)
  }

  touch(): void {
    this.#dirty = true
  }
  putSegment(name: string, record: SegmentRecord | null): void {
    this.#segments.set(name, record)
    this.touch()
  }
  putBatch(record: BatchRecord): void {
    this.#batches.set(record.id, { ...record, parts: record.parts.map(([a, b]) => [a, b]) })
    this.touch()
  }
  removeBatch(id: string): void {
    this.#batches.set(id, null)
    this.touch()
  }
  putDeadLetter(id: number, letter: DeadLetter | null): void {
    this.#dead.set(id, letter)
    this.touch()
  }

  /** Whether drops in memory have grown since they were last written. */
  get needsFlush(): boolean {
    const { bufferFull, captureError } = this.#memory()
    return this.#dirty || bufferFull + captureError !== this.#persistedDrops
  }

  /** Writes everything that changed; false when the store refused (it stays to be written). */
  async flush(): Promise<boolean> {
    // What is on its way may come back, to be written again.
    if (this.#next === null && !this.needsFlush && (await this.#last) !== false) return true
    this.#next ??= this.#write()
    return this.#next
  }

  /** Writes it with what is written next of any leg, or a moment later: it can be found out again. */
  flushSoon(): void {
    this.#store.withNextLegs(this.#flush)
  }

  async #write(): Promise<boolean> {
    await this.#last
    const taken: LegCommand[] = []
    try {
      await this.#store.applyLeg(() => {
        this.#last = this.#next
        this.#next = null
        const command = this.#take()
        taken.push(command)
        return command
      })
      return true
    } catch {
      for (const command of taken) this.#takeBack(command)
      return false
    }
  }

  #take(): LegCommand {
    const memory = this.#memory()
    const command: LegCommand = {
      type: 'leg',
      leg: this.key,
      record: this.#record(memory),
      segments: [...this.#segments],
      batches: [...this.#batches],
      dead: [...this.#dead],
    }
    this.#segments.clear()
    this.#batches.clear()
    this.#dead.clear()
    this.#dirty = false
    this.#persistedDrops = memory.bufferFull + memory.captureError
    return command
  }

  #record(memory: MemoryCounts): LegRecord {
    return {
      gone: this.gone + memory.bufferFull + memory.captureError,
      delivered: this.delivered,
      dead_lettered: this.deadLettered,
      dropped: this.#dropsWith(memory),
      attempts: this.attempts,
      last_attempt_at: this.lastAttemptAt,
      last_response_code: this.lastResponseCode,
      last_error: this.lastError,
    }
  }

  /** What could not be written is written next time, unless it has changed again since. */
  #takeBack(command: LegCommand): void {
    for (const [name, record] of command.segments)
      if (!this.#segments.has(name)) this.#segments.set(name, record)
    for (const [id, record] of command.batches) if (!this.#batches.has(id)) this.#batches.set(id, record)
    for (const [id, letter] of command.dead) if (!this.#dead.has(id)) this.#dead.set(id, letter)
    this.#dirty = true
  }
}
