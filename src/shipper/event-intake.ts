/**
 * Takes posted events in, in shipper threads: a whole body is judged before its first event is written, then
 * each stream that asks for them gets its frames, and all of it is on the disk when the result is given.
 */
import { createReadStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { limits } from '../contract/limits.ts'
import type {
  EventLeg,
  EventsResult,
  EventsTask,
  EventsVerdict,
  PostedBody,
  RecordDrop,
  RecordedFrame,
} from '../contract/tasks.ts'
import { FRAME_HEADER, segmentName } from '../queue/spool-format.ts'
import { SegmentFile } from '../queue/spool-file.ts'
import { summaryOf, typeOfEvent } from './event-rules.ts'
import { EventProblem, type ScannedEvent, scanEvents } from './event-scan.ts'

/** Never rejects for what a body holds. */
export async function judgeEvents(body: PostedBody): Promise<EventsVerdict> {
  try {
    return { ok: true, types: (await typesOf(body)).join('\n') }
  } catch (error) {
    if (!(error instanceof EventProblem)) throw error
    return { ok: false, kind: 'invalid', line: error.line, message: error.message }
  }
}

function eventsOf({ body, lines }: PostedBody): AsyncGenerator<ScannedEvent> {
  const chunks = 'path' in body ? createReadStream(body.path) : [Buffer.from(body.bytes)]
  return scanEvents(chunks as Iterable<Buffer> | AsyncIterable<Buffer>, lines)
}

/** The type of each event, in order. */
async function typesOf(body: PostedBody): Promise<string[]> {
  const types: string[] = []
  for await (const event of eventsOf(body)) {
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
  readonly written: RecordedFrame[] = []
  tooLarge = 0
  #file: SegmentFile | null = null
  #begun = false
  #lines: Buffer[] = []
  #bytes = 0
  #room: number

  constructor(leg: EventLeg) {
    this.leg = leg
    this.#room = leg.room
  }

  async add(event: Buffer): Promise<void> {
    if (event.length > this.leg.itemBytes) {
      this.tooLarge += 1
      return
    }
    const { frameItems, frameBytes } = this.leg
    const bytes = event.length + 1
    const isFull = this.#lines.length / 2 >= frameItems || this.#bytes + bytes > frameBytes
    if (isFull) await this.#flush()
    this.#lines.push(event, newline)
    this.#bytes += bytes
  }

  async #flush(): Promise<void> {
    if (this.#lines.length === 0) return
    const now = Date.now()
    const items = this.#lines.length / 2
    const info = { items, oldest: now, newest: now, thread: 0, sequence: 0 }
    const payload = Buffer.concat(this.#lines)
    this.#room -= FRAME_HEADER + payload.length
    if (this.#room < 0) throw new NoRoomError(this.leg.stream)
    const file = await this.#fileFor(FRAME_HEADER + payload.length)
    this.written.push({ leg: this.leg.leg, ...(await file.append(payload, info)) })
    this.#lines = []
    this.#bytes = 0
  }

  /** The segment of before as long as there is room in it, then new ones. */
  async #fileFor(bytes: number): Promise<SegmentFile> {
    const { folder, segment, segmentBytes } = this.leg
    if (!this.#begun && segment !== null && segment.size + bytes <= segmentBytes)
      this.#file = await SegmentFile.goOn(path.join(folder, segment.name), segment.name, segment.size)
    else if (this.#file !== null && this.#file.size + bytes > segmentBytes) await this.#close()
    this.#begun = true
    if (this.#file !== null) return this.#file
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const name = segmentName(Date.now())
    this.#file = await SegmentFile.create(path.join(folder, name), name)
    return this.#file
  }

  async #close(): Promise<void> {
    const file = this.#file
    this.#file = null
    await file?.close()
  }

  /** Resolves when all of it is on the disk. */
  async end(): Promise<void> {
    await this.#flush()
    await this.#close()
  }

  async abandon(): Promise<void> {
    await this.#file?.abandon()
  }
}

const newline = Buffer.from('\n')

class NoRoomError extends Error {
  constructor(stream: string) {
    super(`the spool of stream ${stream} has no room`)
  }
}

/** Never rejects for a disk that refuses. */
export async function writeEvents(task: EventsTask): Promise<EventsResult> {
  const types = task.types.split('\n')
  const unclaimed = types.find((type) => !task.legs.some((leg) => takes(leg, type)))
  if (unclaimed !== undefined) return { ok: false, kind: 'unclaimed', message: unclaimed }
  const legs = task.legs.map((leg) => new LegFrames(leg))
  try {
    await writeFrames(task, types, legs)
  } catch (error) {
    await Promise.allSettled(legs.map((one) => one.abandon()))
    if (error instanceof NoRoomError) return { ok: false, kind: 'full', message: error.message }
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    return { ok: false, kind: 'full', message: `the disk refuses: ${(error as Error).message}` }
  }
  const drops = legs.flatMap(({ leg, tooLarge }): RecordDrop[] =>
    tooLarge === 0 ? [] : [{ leg: leg.leg, reason: 'item_too_large', items: tooLarge }],
  )
  return { ok: true, accepted: types.length, frames: legs.flatMap(({ written }) => written), drops }
}

async function writeFrames(
  task: EventsTask,
  types: readonly string[],
  legs: readonly LegFrames[],
): Promise<void> {
  let at = 0
  for await (const { bytes } of eventsOf(task)) {
    const type = types[at] ?? ''
    for (const one of legs) {
      if (!takes(one.leg, type)) continue
      const isSummary = type === 'job_details' && !one.leg.kinds.includes(type)
      await one.add(isSummary ? summaryOf(bytes) : bytes)
    }
    at += 1
  }
  // All of them have stopped before anyone takes anything back.
  const ends = await Promise.allSettled(legs.map((one) => one.end()))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
