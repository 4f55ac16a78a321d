/**
 * Takes posted events in, in a shipper thread: every one is judged before the first is written, then each
 * stream that asks for them gets its frames, and all of it is on the disk when the result is given.
 */
import { createReadStream, truncate } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { limits } from '../contract/limits.ts'
import type { EventLeg, EventsResult, EventsTask, RecordDrop, RecordedFrame } from '../contract/tasks.ts'
import { SegmentWriter } from '../queue/spool.ts'
import { summaryOf, typeOfEvent } from './event-rules.ts'
import { EventProblem, type ScannedEvent, scanEvents } from './event-scan.ts'

const cut = promisify(truncate)
/** Flushed by hand, once for all frames of a body. */
const NEVER_MS = 2 ** 31 - 1

/** By folder; what they have open lives as long as the thread. */
const writers = new Map<string, { readonly writer: SegmentWriter; readonly segmentBytes: number }>()

/** Never rejects for what a body holds, nor for a disk that refuses. */
export async function takeEvents(task: EventsTask): Promise<EventsResult> {
  try {
    const types = await judge(task)
    const unclaimed = types.find((type) => !task.legs.some((leg) => takes(leg, type)))
    if (unclaimed !== undefined) return { ok: false, kind: 'unclaimed', line: 0, message: unclaimed }
    return await write(task, types)
  } catch (error) {
    if (!(error instanceof EventProblem)) throw error
    return { ok: false, kind: 'invalid', line: error.line, message: error.message }
  }
}

function eventsOf({ body, lines }: EventsTask): AsyncGenerator<ScannedEvent> {
  const chunks = 'path' in body ? createReadStream(body.path) : [Buffer.from(body.bytes)]
  return scanEvents(chunks as Iterable<Buffer> | AsyncIterable<Buffer>, lines)
}

/** The type of each event, in order. */
async function judge(task: EventsTask): Promise<string[]> {
  const types: string[] = []
  for await (const event of eventsOf(task)) {
    types.push(typeOfEvent(event))
    const most = limits.posted_events_max
    if (types.length > most)
      throw new EventProblem(event.line, `must be at most event ${most} of the request`)
  }
  if (types.length === 0) throw new EventProblem(1, 'must hold an event')
  return types
}

/** Whether a stream asks for events of a type; a job with its lines is a summary too. */
function takes({ kinds, include, exclude }: EventLeg, type: string): boolean {
  const asked = kinds.includes(type) || (type === 'job_details' && kinds.includes('job_summary'))
  return asked && (include.length === 0 || include.includes(type)) && !exclude.includes(type)
}

/** Frames of one leg on their way. */
class LegFrames {
  readonly leg: EventLeg
  readonly writer: SegmentWriter
  readonly written: RecordedFrame[] = []
  tooLarge = 0
  #lines: Buffer[] = []
  #bytes = 0
  #room: number

  constructor(leg: EventLeg) {
    this.leg = leg
    this.writer = writerFor(leg)
    this.#room = leg.room
  }

  add(event: Buffer): void {
    if (event.length > this.leg.itemBytes) {
      this.tooLarge += 1
      return
    }
    const { frameItems, frameBytes } = this.leg
    const bytes = event.length + 1
    if (this.#lines.length >= frameItems || (this.#bytes > 0 && this.#bytes + bytes > frameBytes))
      this.flush()
    this.#lines.push(event, newline)
    this.#bytes += bytes
  }

  flush(): void {
    if (this.#lines.length === 0) return
    const now = Date.now()
    const items = this.#lines.length / 2
    const info = { items, oldest: now, newest: now, thread: 0, sequence: 0 }
    this.#room -= this.#bytes
    if (this.#room < 0) throw new NoRoomError(this.leg.stream)
    const frame = this.writer.append(Buffer.concat(this.#lines), info, { parked: false })
    this.written.push({ leg: this.leg.leg, ...frame })
    this.#lines = []
    this.#bytes = 0
  }
}

const newline = Buffer.from('\n')

class NoRoomError extends Error {
  constructor(stream: string) {
    super(`the spool of stream ${stream} has no room`)
  }
}

function writerFor({ folder, segmentBytes }: EventLeg): SegmentWriter {
  const known = writers.get(folder)
  if (known?.segmentBytes === segmentBytes) return known.writer
  known?.writer.close()
  const writer = new SegmentWriter(folder, { segmentBytes, fsyncMs: NEVER_MS })
  writers.set(folder, { writer, segmentBytes })
  return writer
}

async function write(task: EventsTask, types: readonly string[]): Promise<EventsResult> {
  const legs = task.legs.map((leg) => new LegFrames(leg))
  try {
    let at = 0
    for await (const { bytes } of eventsOf(task)) {
      const type = types[at] ?? ''
      for (const one of legs) {
        if (!takes(one.leg, type)) continue
        const isSummary = type === 'job_details' && !one.leg.kinds.includes(type)
        one.add(isSummary ? summaryOf(bytes) : bytes)
      }
      at += 1
    }
    for (const one of legs) one.flush()
    await Promise.all(legs.filter(({ written }) => written.length > 0).map(({ writer }) => writer.flush()))
  } catch (error) {
    await takeBack(legs)
    const reason =
      error instanceof NoRoomError ? error.message : `the disk refuses: ${(error as Error).message}`
    return { ok: false, kind: 'full', line: 0, message: reason }
  }
  const drops = legs.flatMap(({ leg, tooLarge }): RecordDrop[] =>
    tooLarge === 0 ? [] : [{ leg: leg.leg, reason: 'item_too_large', items: tooLarge }],
  )
  const closed = legs.flatMap(({ leg, writer }) =>
    writer.takeClosed().map((segment) => ({ leg: leg.leg, segment })),
  )
  return { ok: true, accepted: types.length, frames: legs.flatMap(({ written }) => written), drops, closed }
}

/** Nothing of a body that could not be written whole may stay. */
async function takeBack(legs: readonly LegFrames[]): Promise<void> {
  for (const { leg, writer, written } of legs) {
    if (written.length === 0) continue
    writer.close()
    const first = new Map<string, number>()
    for (const { segment, offset } of written)
      first.set(segment, Math.min(offset, first.get(segment) ?? offset))
    for (const [segment, offset] of first) await cut(path.join(leg.folder, segment), offset).catch(() => {})
  }
}
