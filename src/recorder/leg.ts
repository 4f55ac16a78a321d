/**
 * One leg while slabs are recorded: its frame under way, what it may still append, and what it had to
 * drop.
 */
import type { DropReason } from '../contract/errors.ts'
import type { Half } from '../contract/plugin.ts'
import type { RecordDrop, RecordedFrame, RecordLeg, RecordMirror, RecordTask } from '../contract/tasks.ts'
import { FRAME_HEADER } from '../queue/spool-format.ts'
import type { ItemBuffer } from './item-buffer.ts'
import type { Writers } from './writers.ts'

const FRAME_BYTES_MIN = 65_536
/** Frame buffers wait here between slabs, so that memory follows the legs of one slab, not all legs. */
const spareFrames: Buffer[] = []
const SPARE_FRAMES_MAX = 8
const SPARE_BYTES_MAX = 4_194_304

export class LegRecorder {
  readonly leg: number
  readonly half: Half
  readonly #mirror: RecordMirror
  readonly #folder: string
  readonly #writers: Writers
  readonly #dropped = new Map<DropReason, number>()
  #task: RecordTask | null = null
  #room = 0
  #frame: Buffer | null = null
  #length = 0
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
  }

  /** False when an item need not even be encoded. */
  get hasRoom(): boolean {
    return this.#room > 0
  }

  drop(reason: DropReason): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1)
  }

  /** Takes one item with its newline; `startedAt` of its exchange in Unix milliseconds. */
  add(item: ItemBuffer, startedAt: number): void {
    const { frameItems, frameBytes, itemBytes } = this.#mirror
    const bytes = item.length
    if (bytes - 1 > itemBytes) return this.drop('item_too_large')
    if (this.#items > 0 && (this.#items >= frameItems || this.#length + bytes > frameBytes)) this.#append()
    const needed = this.#items === 0 ? bytes + FRAME_HEADER : bytes
    if (needed > this.#room) return this.drop('spool_full')
    this.#room -= needed
    const frame = this.#reserve(bytes)
    item.bytes.copy(frame, this.#length, 0, bytes)
    this.#length += bytes
    this.#oldest = this.#items === 0 ? startedAt : Math.min(this.#oldest, startedAt)
    this.#newest = this.#items === 0 ? startedAt : Math.max(this.#newest, startedAt)
    this.#items++
  }

  /** Appends what is left and hands over what came of this slab. */
  finish(frames: RecordedFrame[], drops: RecordDrop[]): void {
    if (this.#items > 0) this.#append()
    frames.push(...this.#frames)
    for (const [reason, items] of this.#dropped) drops.push({ leg: this.leg, reason, items })
    this.#frames = []
    this.#dropped.clear()
    if (this.#frame !== null) giveBack(this.#frame)
    this.#frame = null
    this.#task = null
  }

  #append(): void {
    const task = this.#task as RecordTask
    const payload = (this.#frame as Buffer).subarray(0, this.#length)
    const items = this.#items
    const info = {
      items,
      oldest: this.#oldest,
      newest: this.#newest,
      thread: task.thread,
      sequence: task.sequence,
    }
    this.#length = 0
    this.#items = 0
    const frame = this.#writers.append(this.#folder, payload, info, task.parked.includes(this.leg))
    if (frame !== null) this.#frames.push({ leg: this.leg, ...frame })
    else this.#dropped.set('spool_error', (this.#dropped.get('spool_error') ?? 0) + items)
  }

  #reserve(bytes: number): Buffer {
    this.#frame ??= spareFrames.pop() ?? Buffer.allocUnsafeSlow(FRAME_BYTES_MIN)
    const needed = this.#length + bytes
    if (needed <= this.#frame.length) return this.#frame
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#frame.length * 2))
    this.#frame.copy(larger, 0, 0, this.#length)
    this.#frame = larger
    return larger
  }
}

function giveBack(frame: Buffer): void {
  if (spareFrames.length < SPARE_FRAMES_MAX && frame.length <= SPARE_BYTES_MAX) spareFrames.push(frame)
}
