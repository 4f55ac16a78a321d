/** Posted events on main: which streams ask for them, and their frames once they are on the disk. */
import type { StreamConfig } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'
import { postedKinds } from '../contract/stream-events.ts'
import type { EventLeg, EventsResult, EventsTask } from '../contract/tasks.ts'
import { makeRoomFor } from './capture-routes.ts'
import { legSpoolBytes, roomOf } from './janitor.ts'
import type { Legs } from './legs.ts'
import { segmentBytesFor } from './segments.ts'

export class EventPosts {
  readonly #legs: Legs
  readonly #take: (task: EventsTask) => Promise<EventsResult>

  constructor(legs: Legs, take: (task: EventsTask) => Promise<EventsResult>) {
    this.#legs = legs
    this.#take = take
  }

  /** All of a body, or nothing of it; durable when it resolves with `ok`. */
  async take(
    body: Pick<EventsTask, 'body' | 'lines'>,
    streams: readonly StreamConfig[],
    diskLow: boolean,
  ): Promise<EventsResult> {
    const legs = streams.flatMap((stream) => this.#legOf(stream, diskLow))
    const result = await this.#take({ ...body, legs })
    if (!result.ok) return result
    const { list } = this.#legs
    for (const frame of result.frames) list[frame.leg]?.posted(frame)
    for (const { leg, reason, items } of result.drops) list[leg]?.ledger.dropPosted(reason, items)
    for (const { leg, segment } of result.closed) {
      list[leg]?.segmentClosed(segment)
      makeRoomFor(list[leg])
    }
    return result
  }

  #legOf(stream: StreamConfig, diskLow: boolean): EventLeg[] {
    const leg = this.#legs.find({ kind: 'streams', name: stream.name }, 'events')
    const kinds = postedKinds(stream.events)
    if (!stream.enabled || kinds.length === 0 || leg === undefined) return []
    const { match, batch } = stream
    return [
      {
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
        room: roomOf(leg, stream, diskLow),
      },
    ]
  }
}
