/**
 * All mirrors of the gateway on main: their legs, what the recorder hands to them, and what people ask of
 * them.
 * A mirror that the configuration no longer names keeps its backlog until it is purged or the mirror returns.
 */
import { statfs } from 'node:fs/promises'
import path from 'node:path'
import type { DeadLetterView, MirrorView } from '../admin/commands.ts'
import type { Config, MirrorConfig } from '../config/schema.ts'
import type { NewActivity } from '../contract/activity.ts'
import { limits } from '../contract/limits.ts'
import type { RecordPlan, RecordResult } from '../contract/tasks.ts'
import { syncFile } from '../queue/spool.ts'
import type { Counters } from '../telemetry/counters.ts'
import { deleteDeadLetters, replayDeadLetters } from './dead-letters.ts'
import { housekeep, legSpoolBytes, makeRoom, purge, roomOf } from './janitor.ts'
import type { Leg, LegHost } from './leg.ts'
import type { MemoryCounts } from './ledger.ts'
import { knownLegs, recoverLeg, takeOver } from './recover.ts'
import { legFolder, recordMirror, targetOf } from './targets.ts'
import { mirrorView } from './views.ts'

/** Plans of earlier configurations that slabs on their way may still name. */
const PLANS_KEPT = 8

export class Mirrors {
  readonly #host: LegHost
  readonly #dataDir: string
  readonly #counters: () => readonly Counters[]
  readonly #legs: Leg[] = []
  /** Counter slots that feed a leg: more than one after its mirror changed its legs. */
  readonly #slotsOfLeg = new Map<string, Set<number>>()
  readonly #legsOfSlot = new Map<number, Leg[]>()
  readonly #plans = new Map<number, string>()
  #configs: readonly MirrorConfig[] = []
  #fromApi: ReadonlySet<string> = new Set()
  readonly #pausedMirrors: Set<string>
  readonly #disconnected: Set<string>
  #diskLow = false

  constructor(host: LegHost, dataDir: string, counters: () => readonly Counters[]) {
    this.#host = host
    this.#dataDir = dataDir
    this.#counters = counters
    this.#pausedMirrors = new Set(host.store.settingsOn('paused:'))
    this.#disconnected = new Set(host.store.settingsOn('disconnected:'))
  }

  /** Reads back every leg that an earlier process left. */
  async recover(): Promise<void> {
    for (const { mirror, name } of knownLegs(this.#host.store, path.join(this.#dataDir, 'spool'))) {
      await this.#leg(mirror, name)
    }
  }

  async #leg(mirror: string, name: string): Promise<Leg> {
    const known = this.#find(mirror, name)
    if (known !== undefined) return known
    const slots = new Set<number>()
    this.#slotsOfLeg.set(`${mirror}/${name}`, slots)
    const identity = { mirror, name, folder: legFolder(this.#dataDir, mirror, name) }
    const leg = await recoverLeg(identity, this.#host, () => this.#memoryOf(slots))
    this.#legs.push(leg)
    this.#host.news(leg, { kind: 'begun' })
    return leg
  }

  #find(mirror: string, name: string): Leg | undefined {
    return this.#legs.find((leg) => leg.mirror === mirror && leg.name === name)
  }

  #memoryOf(slots: ReadonlySet<number>): MemoryCounts {
    const sum = { captured: 0, slabbed: 0, bufferFull: 0, captureError: 0 }
    for (const counters of this.#counters()) {
      for (const slot of slots) {
        const cells = counters.readMirror(slot)
        sum.captured += cells.captured
        sum.slabbed += cells.slabbed
        sum.bufferFull += cells.bufferFull
        sum.captureError += cells.captureError
      }
    }
    return sum
  }

  /**
   * Makes legs ready for a configuration; its captures may come from now on. `apply` then lets them
   * deliver.
   */
  async prepare(config: Config, slotOf: (mirror: MirrorConfig) => number): Promise<void> {
    const plan: RecordPlan = { generation: config.generation, mirrors: [] }
    const mirrors: ReturnType<typeof recordMirror>[] = []
    for (const mirror of config.mirrors) {
      const slot = slotOf(mirror)
      const legs: Leg[] = []
      for (const { name } of mirror.legs) {
        const leg = await this.#leg(mirror.name, name)
        this.#slotsOfLeg.get(`${mirror.name}/${name}`)?.add(slot)
        legs.push(leg)
      }
      this.#legsOfSlot.set(slot, legs)
      const parts = legs.map((leg) => ({
        index: this.#legs.indexOf(leg),
        name: leg.name,
        folder: leg.folder,
      }))
      mirrors.push(recordMirror(mirror, config.environment, slot, parts))
    }
    this.#plans.set(config.generation, JSON.stringify({ ...plan, mirrors }))
    for (const generation of this.#plans.keys()) {
      if (generation <= config.generation - PLANS_KEPT) this.#plans.delete(generation)
    }
  }

  /** Lets deliveries follow a configuration. */
  apply(config: Config): void {
    this.#configs = config.mirrors
    this.#fromApi = new Set(config.api.mirrors)
    const connections = new Map(config.connections.map((connection) => [connection.name, connection]))
    for (const leg of this.#legs) {
      const mirror = config.mirrors.find(({ name }) => name === leg.mirror)
      const spec = mirror?.legs.find(({ name }) => name === leg.name)
      if (mirror === undefined || spec === undefined) {
        leg.configure(null)
        continue
      }
      leg.paused = this.#isPaused(mirror)
      leg.configure({
        mirror,
        url: spec.url,
        target: targetOf(mirror, connections.get(mirror.connection ?? '')),
      })
    }
  }

  /** Secrets may have other values now: legs that wait for those are tried at once. */
  retryWithSecrets(): void {
    for (const leg of this.#legs) if (leg.parked && leg.settings?.target.templates.length) leg.replay()
  }

  isDisconnected(connection: string): boolean {
    return this.#disconnected.has(connection)
  }

  #isPaused(mirror: MirrorConfig): boolean {
    return this.#pausedMirrors.has(mirror.name) || this.#disconnected.has(mirror.connection ?? '')
  }

  planOf(generation: number): string {
    return this.#plans.get(generation) ?? ([...this.#plans.values()].at(-1) as string)
  }

  /** Bytes that the recorder may still write, by leg index; and the legs whose segments may grow old. */
  recorderBounds(): { room: Record<number, number>; parked: number[] } {
    const room: Record<number, number> = {}
    const parked: number[] = []
    this.#legs.forEach((leg, index) => {
      // What was on its way when its mirror was removed joins the backlog.
      if (leg.settings === null) room[index] = limits.segment_bytes
      else room[index] = roomOf(leg, leg.settings.mirror, this.#diskLow)
      if (leg.parked) parked.push(index)
    })
    return { room, parked }
  }

  /**
   * What came of one slab. `counts`, as its data thread noted them, are flat: slot, exchanges, slot,
   * exchanges …
   */
  recorded(result: Omit<RecordResult, 'slab'>, counts: readonly number[]): void {
    const missing = new Map<Leg, number>()
    for (let at = 0; at < counts.length; at += 2) {
      for (const leg of this.#legsOfSlot.get(counts[at] as number) ?? [])
        missing.set(leg, counts[at + 1] as number)
    }
    const settle = (index: number, items: number): Leg | undefined => {
      const leg = this.#legs[index]
      if (leg !== undefined) missing.set(leg, (missing.get(leg) ?? 0) - items)
      return leg
    }
    for (const { leg, reason, items } of result.drops)
      settle(leg, items)?.ledger.dropBeforeDisk(reason, items)
    for (const frame of result.frames) settle(frame.leg, frame.items)?.frame(frame)
    // A slab that could not be read to its end: what the recorder did not account for is lost.
    for (const [leg, items] of missing) if (items > 0) leg.ledger.dropBeforeDisk('capture_error', items)
    for (const { leg, segment } of result.closed) this.#legs[leg]?.segmentClosed(segment)
    // At once, not with the next housekeeping: until there is room the newest would be dropped instead.
    for (const { leg } of result.closed) this.#makeRoom(this.#legs[leg])
  }

  #makeRoom(leg: Leg | undefined): void {
    const mirror = leg?.settings?.mirror
    if (leg !== undefined && mirror?.spool.when_full === 'drop_oldest') makeRoom(leg, legSpoolBytes(mirror))
  }

  /** Exchanges of a slot that died in memory. */
  lost(slot: number, exchanges: number): void {
    for (const leg of this.#legsOfSlot.get(slot) ?? []) {
      leg.ledger.dropBeforeDisk('worker_crash', exchanges)
      this.#host.log.error(
        { mirror: leg.mirror, leg: leg.name, items: exchanges },
        'items lost with a thread',
      )
    }
  }

  /**
   * Settles a slab whose recorder died: what it had written is on disk and is taken over, the rest is
   * counted.
   * `counts` is flat: slot, exchanges, slot, exchanges …
   */
  async settleCrash(slab: { thread: number; sequence: number; counts: readonly number[] }): Promise<void> {
    for (let at = 0; at < slab.counts.length; at += 2) {
      for (const leg of this.#legsOfSlot.get(slab.counts[at] as number) ?? []) {
        const found = await takeOver(leg, this.#host, slab)
        const missing = (slab.counts[at + 1] as number) - found
        if (missing <= 0) continue
        leg.ledger.dropBeforeDisk('worker_crash', missing)
        this.#host.log.error(
          { mirror: leg.mirror, leg: leg.name, items: missing },
          'items lost with a recorder thread',
        )
      }
    }
  }

  /** Segments of recorders that are no longer alive are never appended to again. */
  closeAbandoned(alive: ReadonlySet<number>): void {
    for (const leg of this.#legs) leg.closeSegments((writer) => !alive.has(writer))
  }

  /** Once a second: retention, spool caps, free disk, and what waits to be written to the store. */
  async housekeep(): Promise<void> {
    const now = Date.now()
    await this.#checkDisk()
    for (const leg of this.#legs) {
      if (leg.settings !== null) housekeep(leg, leg.settings.mirror, now)
      leg.reportDrops()
      if (leg.ledger.needsFlush) await leg.ledger.flush()
      await this.#boundDeadLetters(leg)
    }
  }

  async #checkDisk(): Promise<void> {
    try {
      const { bavail, blocks, bsize } = await statfs(this.#dataDir)
      const floor = Math.min(limits.disk_free_min_bytes, blocks * bsize * limits.disk_free_min_share)
      const low = bavail * bsize < floor
      if (low && !this.#diskLow)
        this.#host.log.error({ free_bytes: bavail * bsize }, 'disk nearly full: spooling stops')
      if (!low && this.#diskLow) this.#host.log.info({ free_bytes: bavail * bsize }, 'disk has room again')
      this.#diskLow = low
    } catch (error) {
      this.#host.log.error({ err: error }, 'free disk space cannot be read')
    }
  }

  async #boundDeadLetters(leg: Leg): Promise<void> {
    const tooMany = leg.ledger.deadLettered - limits.dead_letters_per_leg_max
    if (tooMany > 0) await deleteDeadLetters(leg, this.#host.store, 'spool_full', tooMany)
  }

  views(): MirrorView[] {
    const names = new Set([
      ...this.#configs.map(({ name }) => name),
      ...this.#legs.map(({ mirror }) => mirror),
    ])
    return [...names].map((name) => this.view(name)).filter((view) => view !== null)
  }

  /** Null for a name that neither the configuration nor any backlog knows. */
  view(name: string): MirrorView | null {
    const config = this.#configs.find((mirror) => mirror.name === name)
    const legs = this.#legsOf(name)
    if (config === undefined && !legs.some(holdsItems)) {
      return null
    }
    return mirrorView(name, config, legs, this.#fromApi.has(name))
  }

  #legsOf(name: string): Leg[] {
    const legs = this.#legs.filter(({ mirror }) => mirror === name)
    const order = this.#configs.find((mirror) => mirror.name === name)?.legs.map((leg) => leg.name) ?? []
    // Legs of an earlier sink show up only while something of theirs is left.
    return legs
      .filter((leg) => order.length === 0 || order.includes(leg.name) || holdsItems(leg))
      .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  }

  /** The legs that a configured mirror has now, in its order. */
  activeLegs(name: string): { config: MirrorConfig; legs: Leg[] } | null {
    const config = this.#configs.find((mirror) => mirror.name === name)
    if (config === undefined) return null
    const legs = config.legs.map((leg) => this.#find(name, leg.name)).filter((leg) => leg !== undefined)
    return { config, legs }
  }

  isPaused(mirror: string): boolean {
    return this.#pausedMirrors.has(mirror)
  }

  /** `entries` tell of it, in the same transaction. */
  async setPaused(name: string, paused: boolean, entries: readonly NewActivity[]): Promise<void> {
    await this.#keep(`paused:${name}`, paused, entries)
    if (paused) this.#pausedMirrors.add(name)
    else this.#pausedMirrors.delete(name)
    this.#refreshPaused()
  }

  async setConnected(
    name: string,
    connected: boolean,
    entries: readonly NewActivity[] = [],
  ): Promise<void> {
    await this.#keep(`disconnected:${name}`, !connected, entries)
    if (connected) this.#disconnected.delete(name)
    else this.#disconnected.add(name)
    this.#refreshPaused()
  }

  #keep(name: string, on: boolean, entries: readonly NewActivity[]): Promise<void> {
    return this.#host.store.apply([{ type: 'setting', name, value: on ? true : null }], entries)
  }

  #refreshPaused(): void {
    for (const leg of this.#legs) {
      if (leg.settings === null) continue
      leg.paused = this.#isPaused(leg.settings.mirror)
      leg.pump()
    }
  }

  /** These three resolve with the count of items. */
  purge(name: string): Promise<number> {
    return this.#sum(name, (leg) => purge(leg, 'purged'))
  }

  async #sum(name: string, act: (leg: Leg) => Promise<number>): Promise<number> {
    let items = 0
    for (const leg of this.#legs.filter(({ mirror }) => mirror === name)) items += await act(leg)
    return items
  }

  deadLetters(
    name: string,
    page: { after: string | null; size: number },
  ): { data: DeadLetterView[]; total: number } {
    const legs = this.#legs.filter(({ mirror }) => mirror === name)
    const [afterLeg = '', afterId = '0'] = (page.after ?? '').split(':')
    const data: DeadLetterView[] = []
    for (const leg of legs.toSorted((a, b) => a.name.localeCompare(b.name))) {
      if (leg.name < afterLeg) continue
      const from = leg.name === afterLeg ? Number(afterId) : 0
      for (const { id, letter } of this.#host.store.deadLetters(leg.ledger.key, from)) {
        if (data.length === page.size) break
        data.push({
          id: `${leg.name}:${id}`,
          leg: leg.name,
          at: new Date(letter.at).toISOString(),
          reason: letter.reason,
          status: letter.status,
          answer: letter.answer,
          batch_id: letter.batch_id,
          item: parseItem(letter.item),
        })
      }
    }
    return { data, total: legs.reduce((sum, leg) => sum + leg.ledger.deadLettered, 0) }
  }

  replayDeadLetters(name: string): Promise<number> {
    return this.#sum(name, (leg) => replayDeadLetters(leg, this.#host.store))
  }

  deleteDeadLetters(name: string): Promise<number> {
    return this.#sum(name, (leg) => deleteDeadLetters(leg, this.#host.store, 'purged'))
  }

  /** The recorders have ended: their segments are flushed to the disk and closed for good. */
  async closeSegments(): Promise<void> {
    for (const leg of this.#legs) {
      for (const { name, closed } of leg.queue.segments)
        if (!closed) await this.#sync(path.join(leg.folder, name))
      leg.closeSegments(() => true)
    }
  }

  async #sync(file: string): Promise<void> {
    try {
      await syncFile(file)
    } catch (error) {
      this.#host.log.error({ file, err: error }, 'spool cannot be flushed')
    }
  }

  /** Delivers what a healthy destination takes, at most for `ms`; what remains waits on disk. */
  async deliverRest(ms: number): Promise<void> {
    const until = Date.now() + ms
    for (const leg of this.#legs) leg.hurry()
    while (this.#legs.some((leg) => leg.willDeliver()) && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, DELIVER_REST_POLL_MS))
    }
    for (const leg of this.#legs) leg.stop()
  }

  /** Writes the last state; the counts of the next start continue from it. */
  async close(): Promise<void> {
    for (const leg of this.#legs) {
      await leg.removeFinished()
      leg.ledger.touch()
      await leg.ledger.flush()
    }
  }
}

const DELIVER_REST_POLL_MS = 20

/** Waiting, on disk or on their way there, or dead-lettered. */
function holdsItems(leg: Leg): boolean {
  return leg.ledger.deadLettered > 0 || leg.ledger.counts(leg.queue.waitingItems).waiting > 0
}

function parseItem(item: string): unknown {
  try {
    return JSON.parse(item)
  } catch {
    return item
  }
}
