/** A batch: a run of whole frames of one segment, under an id that its range alone decides. */
import { createHash } from 'node:crypto'
import type { BatchRecord } from '../store/legs.ts'
import type { Frame, Run, Segment } from './segment.ts'

export interface Batch {
  readonly segment: Segment
  readonly frames: readonly Frame[]
  readonly from: number
  readonly to: number
  readonly items: number
  /** Bytes in the segment, headers included. */
  readonly bytes: number
  readonly id: string
  /** Item ranges still to be delivered, ascending; more than one after a split. */
  parts: [from: number, to: number][]
  /** Written to the store, or about to be. */
  stored: boolean
  /** The store has it. */
  recorded: boolean
  /** Failed tries since its last progress. */
  failures: number
  firstFailedAt: number
  nextTryAt: number
  /** Its last failure was no answer at all. */
  unanswered: boolean
  /** No connection came about the last time one was tried. */
  unreachable: boolean
}

/**
 * The same (leg, segment, range) gives the same id: after a crash the batch is recognised by its receiver.
 */
function batchId(leg: string, segment: string, from: number, to: number): string {
  return createHash('sha256').update(`${leg}\0${segment}\0${from}-${to}`).digest('base64url').slice(0, 24)
}

export function makeBatch(leg: string, run: Run): Batch {
  const from = (run.frames[0] as Frame).offset
  const last = run.frames.at(-1) as Frame
  const to = last.offset + last.length
  return {
    segment: run.segment,
    frames: run.frames,
    from,
    to,
    items: run.items,
    bytes: run.bytes,
    id: batchId(leg, run.segment.name, from, to),
    parts: [[0, run.items]],
    stored: false,
    recorded: false,
    failures: 0,
    firstFailedAt: 0,
    nextTryAt: 0,
    unanswered: false,
    unreachable: false,
  }
}

/** Its segment can say that it was sent; of the log, and of parts of a batch, the store must. */
export function isMarkable({ segment, parts, items }: Batch): boolean {
  const [part, ...others] = parts
  return segment.log === null && others.length === 0 && part?.[0] === 0 && part[1] === items
}

/** Item ranges that are still to be delivered of each frame, counted from the frame's own first item. */
export function restByFrame({ frames, parts }: Batch): [frame: Frame, rest: [from: number, to: number][]][] {
  let start = 0
  return frames.map((frame) => {
    const end = start + frame.items
    const rest = parts
      .map(([from, to]): [number, number] => [Math.max(from, start) - start, Math.min(to, end) - start])
      .filter(([from, to]) => from < to)
    start = end
    return [frame, rest]
  })
}

/** Id of the part that is sent next: the batch's own while it is whole. */
export function partId(batch: Batch): string {
  const [from, to] = batch.parts[0] as [number, number]
  return from === 0 && to === batch.items ? batch.id : `${batch.id}.${from}-${to}`
}

export function batchRecord(batch: Batch): BatchRecord {
  const { segment, from, to, items, id, parts } = batch
  return { segment: segment.name, from, to, items, id, parts }
}

/** Replaces the part that is next by its halves. */
export function halve(batch: Batch): void {
  const [from, to] = batch.parts[0] as [number, number]
  const middle = from + Math.ceil((to - from) / 2)
  batch.parts.splice(0, 1, [from, middle], [middle, to])
}
