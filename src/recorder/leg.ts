/**
 * One leg while slabs are recorded: its frame under way, what it may still append, and what it had to
 * drop.
 */
import type { DropReason } from '../contract/errors.ts'
import type { Half } from '../contract/plugin.ts'
import type { RecordDrop, RecordedFrame, RecordLeg, RecordMirror, RecordTask } from '../contract/tasks.ts'
import { FRAME_HEADER } from '../queue/spool-format.ts'
import type { SlabReader } from '../queue/slab-reader.ts'
import type { ItemEncoder } from './encode.ts'
import { ItemBuffer } from './item-buffer.ts'
import type { Writers } from './writers.ts'

/** Frames wait here between slabs, so that memory follows the legs of one slab, not all legs. */
const spareFrames: ItemBuffer[] = []
const SPARE_FRAMES_MAX = 8

export class LegRecorder {
  readonly leg: number
  readonly half: Half
  readonly #mirror: RecordMirror
  readonly #folder: string
  readonly #writers: Writers
  readonly #dropped = new Map<DropReason, number>()
  #task: RecordTask | null = null
  #room = 0
  /** Why nothing more of this slab is kept: its beginning is, so that a count says which items those are. */
  #refusal: DropReason | null = null
  /** Items still to be passed over: another recorder wrote them before it died. */
  #written = 0
  /** Items are written where they are sent to the disk from. */
  #frame: ItemBuffer | null = null
  /** Where the frame begins in it: after an item that was too much for the one before, at that. */
  #from = 0
  #items = 0
  #oldest = 0
  #newest = 0
  #frames: RecordedFrame[] = []

  constructor(mirror: RecordMirror, leg: RecordLeg, writers: Writers) {
    this.leg = leg.leg
    this.half = leg.half
    this.#mirror = mirror
    this.#folder = leg.folder
    this.#writers = writers
  }

  get started(): boolean {
    return this.#task !== null
  }

  begin(task: RecordTask): void {
    this.#task = task
    this.#room = task.room[this.leg] ?? 0
    this.#refusal = this.#room > 0 ? null : 'spool_full'
    this.#written = task.written[this.leg] ?? 0
  }

  /** Why an item need not even be encoded; null when it has to be. */
  get refusal(): DropReason | null {
    return this.#written > 0 ? null : this.#refusal
  }

  drop(reason: DropReason): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1)
  }

  /** Takes the item of an exchange; `turn` counts those. What its encoder throws leaves no trace. */
  add(encoder: ItemEncoder, record: SlabReader, turn: number): void {
    const { frameItems, frameBytes, itemBytes } = this.#mirror
    if (this.#items >= frameItems) this.#append()
    if (this.refusal !== null) return this.drop(this.refusal)
    const frame = (this.#frame ??= spareFrames.pop() ?? new ItemBuffer())
    if (this.#from > 0) {
      frame.dropFirst(this.#from)
      this.#from = 0
    }
    const start = frame.length
    try {
      encoder.item(record, this.half, turn, frame)
    } catch (thrown) {
      frame.length = start
      throw thrown
    }
    const bytes = frame.length - start
    if (bytes - 1 > itemBytes) return this.#refuse(start, 'item_too_large')
    if (this.#written > 0) {
      this.#written--
      frame.length = start
      return
    }
    const follows = this.#items > 0 && frame.length <= frameBytes
    const needed = follows ? bytes : bytes + FRAME_HEADER
    if (needed > this.#room) this.#refusal = 'spool_full'
    else if (this.#items > 0 && !follows) this.#append(start)
    if (this.#refusal !== null) return this.#refuse(start, this.#refusal)
    this.#room -= needed
    const { startedAt } = record
    this.#oldest = this.#items === 0 ? startedAt : Math.min(this.#oldest, startedAt)
    this.#newest = this.#items === 0 ? startedAt : Math.max(this.#newest, startedAt)
    this.#items++
  }

  #refuse(start: number, reason: DropReason): void {
    ;(this.#frame as ItemBuffer).length = start
    this.drop(reason)
  }

  /** Appends what is left and hands over what came of this slab. */
  finish(frames: RecordedFrame[], drops: RecordDrop[]): void {
    if (this.#items > 0) this.#append()
    frames.push(...this.#frames)
    for (const [reason, items] of this.#dropped) drops.push({ leg: this.leg, reason, items })
    this.#frames = []
    this.#dropped.clear()
    this.#frame?.reset()
    if (this.#frame !== null && spareFrames.length < SPARE_FRAMES_MAX) spareFrames.push(this.#frame)
    this.#frame = null
    this.#from = 0
    this.#task = null
  }

  /** Appends the items before `end`; the one behind it, if any, stays where it is. */
  #append(end = (this.#frame as ItemBuffer).length): void {
    const task = this.#task as RecordTask
    const frame = this.#frame as ItemBuffer
    const payload = frame.bytes.subarray(this.#from, end)
    const items = this.#items
    const info = {
      items,
      oldest: this.#oldest,
      newest: this.#newest,
      thread: task.thread,
      sequence: task.sequence,
    }
    this.#items = 0
    const recorded = this.#writers.append(this.#folder, payload, info, task.parked.includes(this.leg))
    if (recorded !== null) this.#frames.push({ leg: this.leg, ...recorded })
    else {
      this.#refusal = 'spool_error'
      this.#dropped.set(this.#refusal, (this.#dropped.get(this.#refusal) ?? 0) + items)
    }
    this.#from = end
    if (end < frame.length) return
    this.#from = 0
    frame.reset()
  }
}
