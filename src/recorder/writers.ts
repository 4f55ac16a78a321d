/** The open segments of one recorder thread, one writer per leg folder. */
import type { RecordMirror, RecordPlan, RecordResult } from '../contract/tasks.ts'
import type { FrameInfo, SegmentFrame } from '../queue/spool-format.ts'
import { SegmentWriter } from '../queue/spool.ts'

interface Entry {
  readonly writer: SegmentWriter
  readonly leg: number
  readonly segmentBytes: number
  readonly fsyncMs: number
}

export class Writers {
  readonly #byFolder = new Map<string, Entry>()
  #newest = -1
  #closed: { leg: number; segment: string }[] = []
  #error: string | null = null

  /**
   * Opens writers for what a plan adds or changes, and closes the segments of legs that are gone. A plan
   * older than the newest one, for a slab that was under way during a reload, only adds.
   */
  apply(plan: RecordPlan): void {
    const newer = plan.generation > this.#newest
    const wanted = new Set<string>()
    for (const mirror of plan.mirrors) {
      for (const { leg, folder } of mirror.legs) {
        wanted.add(folder)
        const entry = this.#byFolder.get(folder)
        if (entry !== undefined && (!newer || fits(entry, mirror))) continue
        if (entry !== undefined) this.#close(entry)
        const { segmentBytes, fsyncMs } = mirror
        const writer = new SegmentWriter(folder, { segmentBytes, fsyncMs })
        this.#byFolder.set(folder, { writer, leg, segmentBytes, fsyncMs })
      }
    }
    if (!newer) return
    this.#newest = plan.generation
    for (const [folder, entry] of this.#byFolder) {
      if (wanted.has(folder)) continue
      this.#close(entry)
      this.#byFolder.delete(folder)
    }
  }

  /** Null when the disk refused it; the error waits for `takeError`. */
  append(folder: string, payload: Buffer, info: FrameInfo, parked: boolean): SegmentFrame | null {
    const entry = this.#byFolder.get(folder)
    if (entry === undefined) throw new Error('a leg must have a writer before it appends')
    try {
      return entry.writer.append(payload, info, { parked })
    } catch (error) {
      this.#note('appending to', error)
      return null
    }
  }

  /** Segments that were closed since the last call. */
  takeClosed(): RecordResult['closed'] {
    for (const entry of this.#byFolder.values()) this.#collect(entry)
    const closed = this.#closed
    this.#closed = []
    return closed
  }

  /** First error since the last call. */
  takeError(): string | null {
    const error = this.#error
    this.#error = null
    return error
  }

  #close(entry: Entry): void {
    entry.writer.close()
    this.#collect(entry)
  }

  #collect({ writer, leg }: Entry): void {
    for (const segment of writer.takeClosed()) this.#closed.push({ leg, segment })
    const error = writer.takeSyncError()
    if (error !== null) this.#note('flushing', error)
  }

  #note(doing: string, error: unknown): void {
    this.#error ??= `${doing} the spool: ${error instanceof Error ? error.message : String(error)}`
  }
}

function fits(entry: Entry, mirror: RecordMirror): boolean {
  return entry.segmentBytes === mirror.segmentBytes && entry.fsyncMs === mirror.fsyncMs
}
