/** The way of captured items to their legs: which of them a slot feeds, and what came of a slab. */
import type { Config, MirrorConfig, StreamConfig } from '../config/schema.ts'
import { limits } from '../contract/limits.ts'
import type { RecordMirror, RecordPlan, RecordResult, RecordTask } from '../contract/tasks.ts'
import { legSpoolBytes, makeRoom, roomOf } from './janitor.ts'
import type { Leg } from './leg.ts'
import type { LegHost } from './leg-host.ts'
import type { Legs } from './legs.ts'
import { takeOver } from './recover.ts'
import { recordMirror, recordStream } from './targets.ts'

/** Plans of earlier configurations that slabs on their way may still name. */
const PLANS_KEPT = 8

/** What a slab holds, as its data thread noted it: slot, exchanges, slot, exchanges … */
type SlabCounts = readonly number[]

/** Items of a slab that stand in frames, by leg index. */
type WrittenItems = RecordTask['written']

interface CrashedSlab {
  readonly thread: number
  readonly sequence: number
  readonly counts: SlabCounts
}

/** Counter slots of what takes exchanges. */
export interface CaptureSlots {
  mirror(mirror: MirrorConfig): number
  stream(stream: StreamConfig): number
}

export class CaptureRoutes {
  readonly #host: LegHost
  readonly #legs: Legs
  readonly #legsOfSlot = new Map<number, Leg[]>()
  readonly #plans = new Map<number, string>()

  constructor(host: LegHost, legs: Legs) {
    this.#host = host
    this.#legs = legs
  }

  /** Makes legs ready for a configuration: its captures may come from now on. */
  async prepare(config: Config, slots: CaptureSlots): Promise<void> {
    const mirrors: RecordMirror[] = []
    const { environment } = config
    const gateway = { environment, generatedKey: () => this.#host.store.redactionKey() }
    for (const mirror of config.mirrors) {
      const owner = { kind: 'mirrors', name: mirror.name } as const
      const legs: Leg[] = []
      for (const { name } of mirror.legs) legs.push(await this.#legs.open(owner, name, mirror))
      const slot = slots.mirror(mirror)
      mirrors.push(recordMirror(mirror, gateway, slot, this.#feed(legs, slot)))
    }
    for (const stream of config.streams) {
      const { name, legs } = stream
      if (!legs.some((leg) => leg.name === 'api')) continue
      const leg = await this.#legs.open({ kind: 'streams', name }, 'api', stream)
      const slot = slots.stream(stream)
      mirrors.push(recordStream(stream, gateway, slot, this.#feed([leg], slot)))
    }
    const plan: RecordPlan = { generation: config.generation, mirrors }
    this.#plans.set(config.generation, JSON.stringify(plan))
    for (const generation of this.#plans.keys()) {
      if (generation <= config.generation - PLANS_KEPT) this.#plans.delete(generation)
    }
  }

  #feed(legs: readonly Leg[], slot: number): { index: number; name: string; folder: string }[] {
    for (const leg of legs) this.#legs.feed(leg, slot)
    this.#legsOfSlot.set(slot, [...legs])
    return legs.map((leg) => ({
      index: this.#legs.list.indexOf(leg),
      name: leg.name,
      folder: leg.folder,
    }))
  }

  planOf(generation: number): string {
    return this.#plans.get(generation) ?? ([...this.#plans.values()].at(-1) as string)
  }

  /** Bytes that the recorder may still write, by leg index; and the legs whose segments may grow old. */
  recorderBounds(diskLow: boolean): { room: Record<number, number>; parked: number[] } {
    const room: Record<number, number> = {}
    const parked: number[] = []
    this.#legs.list.forEach((leg, index) => {
      // What was on its way when its mirror was removed joins the backlog.
      if (leg.settings === null) room[index] = limits.segment_bytes
      else room[index] = roomOf(leg, leg.settings.delivery, diskLow)
      if (leg.parked) parked.push(index)
    })
    return { room, parked }
  }

  /** What came of one slab, beside what was `written` of it before. */
  recorded(result: Omit<RecordResult, 'slab'>, counts: SlabCounts, written: WrittenItems): void {
    const { list } = this.#legs
    const missing = new Map<Leg, number>()
    for (const { leg, index, items } of this.#shares(counts)) missing.set(leg, items - (written[index] ?? 0))
    const settle = (index: number, items: number): Leg | undefined => {
      const leg = list[index]
      if (leg !== undefined) missing.set(leg, (missing.get(leg) ?? 0) - items)
      return leg
    }
    for (const { leg, reason, items } of result.drops)
      settle(leg, items)?.ledger.dropBeforeDisk(reason, items)
    for (const frame of result.frames) settle(frame.leg, frame.items)?.frame(frame)
    // A slab that could not be read to its end: what the recorder did not account for is lost.
    for (const [leg, items] of missing) if (items > 0) leg.ledger.dropBeforeDisk('capture_error', items)
    for (const { leg, segment } of result.closed) list[leg]?.segmentClosed(segment)
    for (const leg of missing.keys()) leg.pump()
    // At once, not with the next housekeeping: until there is room the newest would be dropped instead.
    for (const { leg } of result.closed) makeRoomFor(list[leg])
  }

  /** Exchanges of a slot that died in memory. */
  lost(slot: number, exchanges: number): void {
    for (const leg of this.#legsOfSlot.get(slot) ?? [])
      this.#crashed(leg, exchanges, 'items lost with a thread')
  }

  /** Takes over what a recorder had written of a slab when it died; with what was `written` before. */
  async settleCrash(slab: CrashedSlab, written: WrittenItems): Promise<WrittenItems> {
    const all: Record<number, number> = { ...written }
    for (const { leg, index } of this.#shares(slab.counts))
      all[index] = (all[index] ?? 0) + (await takeOver(leg, this.#host, slab))
    return all
  }

  /** Gives up what is not written of a slab. */
  giveUp(counts: SlabCounts, written: WrittenItems): void {
    for (const { leg, index, items } of this.#shares(counts)) {
      const missing = items - (written[index] ?? 0)
      if (missing > 0) this.#crashed(leg, missing, 'items lost with a recorder thread')
    }
  }

  /** The legs that a slab is for, and how many of its items are theirs. */
  *#shares(counts: SlabCounts): Generator<{ leg: Leg; index: number; items: number }> {
    for (let at = 0; at < counts.length; at += 2) {
      const items = counts[at + 1] as number
      for (const leg of this.#legsOfSlot.get(counts[at] as number) ?? [])
        yield { leg, index: this.#legs.list.indexOf(leg), items }
    }
  }

  #crashed(leg: Leg, items: number, what: string): void {
    leg.ledger.dropBeforeDisk('worker_crash', items)
    this.#host.log.error({ ...leg.labels, items }, what)
  }
}

/** With drop_oldest, when a segment of a leg was finished. */
export function makeRoomFor(leg: Leg | undefined): void {
  const mirror = leg?.settings?.delivery
  if (leg !== undefined && mirror?.spool.when_full === 'drop_oldest') makeRoom(leg, legSpoolBytes(mirror))
}
