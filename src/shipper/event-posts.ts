/**
 * Posted events on main: which streams ask for them, into which segments they go, and their frames once they
 * are on the disk. Bodies are judged side by side and written one after the other, so that each knows what
 * room the one before has left, and none is written behind one that is taken back.
 */
import { readdir, rm, truncate } from 'node:fs/promises'
import path from 'node:path'
import type { StreamConfig } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'
import { postedKinds } from '../contract/stream-events.ts'
import type { EventLeg, EventsResult, PostedBody, RecordedFrame } from '../contract/tasks.ts'
import { makeRoomFor } from './capture-routes.ts'
import { legSpoolBytes, roomOf } from './janitor.ts'
import type { Leg } from './leg.ts'
import type { LegHost } from './leg-host.ts'
import type { Legs } from './legs.ts'
import { type Segment, segmentBytesFor } from './segment.ts'

/** What a body finds when its turn comes. */
interface Situation {
  readonly streams: readonly StreamConfig[]
  readonly diskLow: boolean
}

interface OpenSegment {
  readonly segment: Segment
  readonly openedAt: number
}

export class EventPosts {
  readonly #legs: Legs
  readonly #host: LegHost
  /** What the next body goes on with; no thread holds it open. */
  readonly #open = new Map<Leg, OpenSegment>()
  readonly #writing = new Set<Leg>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(legs: Legs, host: LegHost) {
    this.#legs = legs
    this.#host = host
  }

  /** All of a body, or nothing of it; durable when it resolves with `ok`. */
  async take(body: PostedBody, situation: () => Situation): Promise<EventsResult> {
    const verdict = await this.#host.judgeEvents(body)
    if (!verdict.ok) return verdict
    const written = this.#turn.then(() => this.#write({ ...body, types: verdict.types }, situation()))
    this.#turn = written.catch(() => {})
    return written
  }

  /** Whether its segments are written here, by whichever thread is free. */
  feeds({ owner, name }: Leg): boolean {
    return owner.kind === 'streams' && name === 'events'
  }

  /** Once a second: a segment that is old, or whose stream is gone, ends. */
  housekeep(now: number): void {
    for (const [leg, { openedAt }] of this.#open) {
      const ageMax = leg.parked ? limits.segment_age_parked_ms : limits.segment_age_ms
      if (!this.#writing.has(leg) && (leg.settings === null || now - openedAt >= ageMax)) this.#close(leg)
    }
  }

  async #write(
    body: PostedBody & { readonly types: string },
    { streams, diskLow }: Situation,
  ): Promise<EventsResult> {
    const legs = new Map(streams.flatMap((stream) => this.#legOf(stream, diskLow)))
    for (const leg of legs.keys()) this.#writing.add(leg)
    try {
      const result = await this.#host.writeEvents({ ...body, legs: [...legs.values()] })
      if (result.ok) this.#took(result)
      else if (result.kind === 'full') await this.#takeBack([...legs.keys()])
      return result
    } catch (error) {
      // Its thread has died.
      await this.#takeBack([...legs.keys()])
      throw error
    } finally {
      this.#writing.clear()
    }
  }

  #took({ frames, drops }: Extract<EventsResult, { ok: true }>): void {
    const { list } = this.#legs
    for (const frame of frames) {
      const leg = list[frame.leg]
      if (leg !== undefined) this.#add(leg, frame)
    }
    for (const { leg, reason, items } of drops) list[leg]?.ledger.dropPosted(reason, items)
  }

  #add(leg: Leg, frame: RecordedFrame): void {
    if (this.#open.get(leg)?.segment.name !== frame.segment) this.#close(leg)
    leg.posted(frame)
    const segment = leg.queue.segment(frame.segment)
    if (!this.#open.has(leg)) this.#open.set(leg, { segment, openedAt: Date.now() })
  }

  #close(leg: Leg): void {
    const open = this.#open.get(leg)
    if (open === undefined) return
    this.#open.delete(leg)
    leg.segmentClosed(open.segment.name)
    makeRoomFor(leg)
  }

  /** What stays of a body that was not taken whole is told: a restart would take it for accepted. */
  async #takeBack(legs: readonly Leg[]): Promise<void> {
    for (const leg of legs) {
      const outcomes = await Promise.allSettled([this.#cut(leg), removeUnknown(leg)])
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue
        leg.logError(outcome.reason, 'refused events cannot be taken back: the next start may find them')
      }
    }
  }

  async #cut(leg: Leg): Promise<void> {
    const open = this.#open.get(leg)
    if (open === undefined) return
    try {
      await truncate(path.join(leg.folder, open.segment.name), open.segment.size)
    } catch (error) {
      // Nothing may follow what could not be cut.
      this.#close(leg)
      throw error
    }
  }

  #legOf(stream: StreamConfig, diskLow: boolean): [Leg, EventLeg][] {
    const leg = this.#legs.find({ kind: 'streams', name: stream.name }, 'events')
    const kinds = postedKinds(stream.events)
    if (!stream.enabled || kinds.length === 0 || leg === undefined) return []
    const { match, batch } = stream
    const open = this.#open.get(leg)
    const task: EventLeg = {
      leg: this.#legs.list.indexOf(leg),
      stream: stream.name,
      folder: leg.folder,
      kinds,
      include: match.event_types,
      exclude: match.exclude_event_types,
      frameItems: batch.max_items,
      frameBytes: Math.min(batch.max_bytes, limits.posted_event_bytes_max),
      itemBytes: stream.item_bytes_max,
      segmentBytes: segmentBytesFor(legSpoolBytes(stream)),
      segment: open === undefined ? null : { name: open.segment.name, size: open.segment.size },
      room: roomOf(leg, stream, diskLow),
    }
    return [[leg, task]]
  }
}

/** Files that were begun and are in no queue. */
async function removeUnknown(leg: Leg): Promise<void> {
  const names = await readdir(leg.folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names)
    if (name.endsWith('.seg') && leg.queue.get(name) === undefined) await rm(path.join(leg.folder, name))
}
