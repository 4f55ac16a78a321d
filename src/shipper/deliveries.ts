/**
 * All mirrors and streams of the gateway on main: their legs, and what people ask of them. One that the
 * configuration no longer names keeps its backlog until it is purged or comes back.
 */
import path from 'node:path'
import type { DeliveryView } from '../admin/commands.ts'
import type { Config, DeliveryConfig, StreamConfig } from '../config/schema.ts'
import type { NewActivity } from '../contract/activity.ts'
import { limits } from '../contract/limits.ts'
import type { DeliveryKind } from '../contract/resources.ts'
import type { EventsResult, PostedBody } from '../contract/tasks.ts'
import { syncFile } from '../queue/spool.ts'
import type { Counters } from '../telemetry/counters.ts'
import { CaptureRoutes, type CaptureSlots } from './capture-routes.ts'
import { EventPosts } from './event-posts.ts'
import {
  type DeadLetterPage,
  type DeadLettersFound,
  deleteDeadLetters,
  listDeadLetters,
  replayDeadLetters,
} from './dead-letters.ts'
import { DiskWatch } from './disk-watch.ts'
import { housekeep, purge } from './janitor.ts'
import type { Leg } from './leg.ts'
import type { LegHost } from './leg-host.ts'
import { Legs, ownersOf } from './legs.ts'
import { filterOf } from './log-filter.ts'
import { LogLegs } from './log-legs.ts'
import { isSame, type Owner, ownerKey } from './owners.ts'
import { renderRules, targetOf } from './targets.ts'
import { deliveryView } from './views.ts'

export class Deliveries {
  readonly #host: LegHost
  readonly #legs: Legs
  readonly captures: CaptureRoutes
  readonly logLegs: LogLegs
  readonly #posts: EventPosts
  #streams: readonly StreamConfig[] = []
  #configs: { readonly owner: Owner; readonly delivery: DeliveryConfig }[] = []
  /** Keys of those that the API defined. */
  #fromApi: ReadonlySet<string> = new Set()
  /** Keys of those that a person paused. */
  readonly #paused: Set<string>
  readonly #disconnected: Set<string>
  readonly disk: DiskWatch

  constructor(host: LegHost, dataDir: string, counters: () => readonly Counters[]) {
    this.#host = host
    this.disk = new DiskWatch(dataDir, host.log)
    this.#legs = new Legs(host, dataDir, counters)
    this.captures = new CaptureRoutes(host, this.#legs)
    this.logLegs = new LogLegs(host.feed, host.log)
    this.#posts = new EventPosts(this.#legs, host)
    this.#paused = new Set(host.store.settingsOn('paused:'))
    this.#disconnected = new Set(host.store.settingsOn('disconnected:'))
  }

  /** Reads back every leg that an earlier process left. */
  recover(config: Config): Promise<void> {
    return this.#legs.recover(config)
  }

  /**
   * Makes legs ready for a configuration; its captures may come from now on. `apply` then lets them
   * deliver.
   */
  async prepare(config: Config, slots: CaptureSlots): Promise<void> {
    await this.captures.prepare(config, slots)
    for (const stream of config.streams) {
      for (const { name } of stream.legs)
        await this.#legs.open({ kind: 'streams', name: stream.name }, name, stream)
    }
  }

  /** Lets deliveries follow a configuration; resolves when streams know where they stand in the log. */
  async apply(config: Config): Promise<void> {
    this.#configs = ownersOf(config)
    this.#streams = config.streams
    const { api } = config
    const defined = (kind: DeliveryKind) => api[kind].map((name) => ownerKey({ kind, name }))
    this.#fromApi = new Set([...defined('mirrors'), ...defined('streams')])
    const origin = { environment: config.environment, workspaceId: config.workspace.id }
    const connections = new Map(config.connections.map((connection) => [connection.name, connection]))
    const streams = new Map(config.streams.map((stream) => [stream.name, stream]))
    for (const leg of this.#legs.list) {
      const delivery = this.#configOf(leg.owner)
      const spec = delivery?.legs.find(({ name }) => name === leg.name)
      if (delivery === undefined || spec === undefined) {
        leg.configure(null)
        this.logLegs.leave(leg, true)
        continue
      }
      leg.paused = this.#isPaused(leg.owner, delivery)
      const connection = connections.get(delivery.connection ?? '')
      const stream = leg.owner.kind === 'streams' ? streams.get(delivery.name) : undefined
      const render = stream === undefined ? null : renderRules(stream, config)
      const target = targetOf(leg.owner, delivery, connection, { origin, render })
      leg.configure({ delivery, url: spec.url, target })
    }
    for (const stream of config.streams) await this.#follow(stream, config)
  }

  async #follow(stream: StreamConfig, { environment }: Config): Promise<void> {
    const leg = this.#legs.find({ kind: 'streams', name: stream.name }, 'activity')
    if (leg === undefined || leg.settings === null) return
    if (stream.enabled) await this.logLegs.follow(leg, filterOf(stream, environment), stream.start)
    else this.logLegs.leave(leg, false)
  }

  #configOf(owner: Owner): DeliveryConfig | undefined {
    return this.#configs.find((one) => isSame(one.owner, owner))?.delivery
  }

  /** Secrets may have other values now: legs that wait for those are tried at once. */
  retryWithSecrets(): void {
    for (const leg of this.#legs.list)
      if ((leg.parked || leg.busy) && leg.settings?.target.templates.length) leg.replay()
  }

  /** Sends a range of the log again to a stream of it; false while an earlier one is being looked for. */
  async again(stream: StreamConfig, config: Config, range: { from: number; to: number }): Promise<boolean> {
    const leg = this.#legs.find({ kind: 'streams', name: stream.name }, 'activity')
    if (leg === undefined) return false
    return this.logLegs.again(leg, { ...filterOf(stream, config.environment), ...range })
  }

  /** Whether a stream still has something of such a range to send. */
  sendsAgain(stream: string): boolean {
    const leg = this.#legs.find({ kind: 'streams', name: stream }, 'activity')
    return leg !== undefined && this.logLegs.sendsAgain(leg)
  }

  /** Takes posted events: all of a body or nothing of it. */
  post(body: PostedBody): Promise<EventsResult> {
    return this.#posts.take(body, () => ({ streams: this.#streams, diskLow: this.disk.low }))
  }

  isDisconnected(connection: string): boolean {
    return this.#disconnected.has(connection)
  }

  #isPaused(owner: Owner, { connection }: DeliveryConfig): boolean {
    return this.#paused.has(ownerKey(owner)) || this.#disconnected.has(connection ?? '')
  }

  recorderBounds(): ReturnType<CaptureRoutes['recorderBounds']> {
    return this.captures.recorderBounds(this.disk.low)
  }

  /** Segments of recorders that are no longer alive are never appended to again. */
  closeAbandoned(alive: ReadonlySet<number>): void {
    for (const leg of this.#legs.list)
      if (!this.#posts.feeds(leg)) leg.closeSegments((writer) => !alive.has(writer))
  }

  /** Once a second: retention, spool caps, free disk, and what waits to be written to the store. */
  async housekeep(): Promise<void> {
    const now = Date.now()
    await this.disk.look()
    this.#posts.housekeep(now)
    for (const leg of this.#legs.list) {
      if (leg.settings !== null) housekeep(leg, leg.settings.delivery, now)
      leg.reportDrops()
      if (leg.ledger.needsFlush) await leg.ledger.flush()
      await this.#boundDeadLetters(leg)
    }
  }

  async #boundDeadLetters(leg: Leg): Promise<void> {
    const tooMany = leg.ledger.deadLettered - limits.dead_letters_per_leg_max
    if (tooMany > 0) await deleteDeadLetters(leg, this.#host.store, 'spool_full', tooMany)
  }

  views(kind: DeliveryKind): DeliveryView[] {
    const owners = [...this.#configs, ...this.#legs.list].map(({ owner }) => owner)
    const names = new Set(owners.filter((owner) => owner.kind === kind).map(({ name }) => name))
    return [...names].map((name) => this.view({ kind, name })).filter((view) => view !== null)
  }

  /** Null for a name that neither the configuration nor any backlog knows. */
  view(owner: Owner): DeliveryView | null {
    const config = this.#configOf(owner)
    const legs = this.#legsOf(owner)
    if (config === undefined && !legs.some(holdsItems)) return null
    return deliveryView(owner.name, config, legs, this.#fromApi.has(ownerKey(owner)))
  }

  #legsOf(owner: Owner): Leg[] {
    const order = this.#configOf(owner)?.legs.map((leg) => leg.name) ?? []
    // Legs of an earlier sink show up only while something of theirs is left.
    return this.#legs
      .of(owner)
      .filter((leg) => order.length === 0 || order.includes(leg.name) || holdsItems(leg))
      .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  }

  /** The legs that a configured mirror or stream has now, in its order. */
  activeLegs(owner: Owner): { config: DeliveryConfig; legs: Leg[] } | null {
    const config = this.#configOf(owner)
    if (config === undefined) return null
    const legs = config.legs.map((leg) => this.#legs.find(owner, leg.name)).filter((leg) => leg !== undefined)
    return { config, legs }
  }

  isPaused(owner: Owner): boolean {
    return this.#paused.has(ownerKey(owner))
  }

  /** `entries` tell of it, in the same transaction. */
  async setPaused(owner: Owner, paused: boolean, entries: readonly NewActivity[]): Promise<void> {
    const key = ownerKey(owner)
    await this.#keep(`paused:${key}`, paused, entries)
    if (paused) this.#paused.add(key)
    else this.#paused.delete(key)
    this.#refreshPaused()
  }

  async setConnected(name: string, connected: boolean, entries: readonly NewActivity[] = []): Promise<void> {
    await this.#keep(`disconnected:${name}`, !connected, entries)
    if (connected) this.#disconnected.delete(name)
    else this.#disconnected.add(name)
    this.#refreshPaused()
  }

  #keep(name: string, on: boolean, entries: readonly NewActivity[]): Promise<void> {
    return this.#host.store.apply([{ type: 'setting', name, value: on ? true : null }], entries)
  }

  #refreshPaused(): void {
    for (const leg of this.#legs.list) {
      if (leg.settings === null) continue
      leg.paused = this.#isPaused(leg.owner, leg.settings.delivery)
      leg.pump()
    }
  }

  /** These three resolve with the count of items. */
  async purge(owner: Owner): Promise<number> {
    const items = await this.#sum(owner, (leg) => purge(leg, 'purged'))
    if (this.#configOf(owner) === undefined)
      for (const leg of this.#legs.of(owner)) this.logLegs.leave(leg, true)
    return items
  }

  async #sum(owner: Owner, act: (leg: Leg) => Promise<number>): Promise<number> {
    let items = 0
    for (const leg of this.#legs.of(owner)) items += await act(leg)
    return items
  }

  deadLetters(owner: Owner, page: DeadLetterPage): Promise<DeadLettersFound> {
    return listDeadLetters(this.#legs.of(owner), this.#host.store, page)
  }

  replayDeadLetters(owner: Owner): Promise<number> {
    return this.#sum(owner, (leg) => replayDeadLetters(leg, this.#host.store))
  }

  deleteDeadLetters(owner: Owner): Promise<number> {
    return this.#sum(owner, (leg) => deleteDeadLetters(leg, this.#host.store, 'purged'))
  }

  /** The recorders have ended: their segments are flushed to the disk and closed for good. */
  async closeSegments(): Promise<void> {
    for (const leg of this.#legs.list) {
      // A closed one may have been full only a moment ago.
      for (const { name, log } of leg.queue.segments)
        if (log === null) await this.#sync(path.join(leg.folder, name))
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
    await this.logLegs.stop()
    const until = Date.now() + ms
    for (const leg of this.#legs.list) leg.hurry()
    while (this.#legs.list.some((leg) => leg.willDeliver()) && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, DELIVER_REST_POLL_MS))
    }
    for (const leg of this.#legs.list) leg.stop()
  }

  /** Writes the last state; the counts of the next start continue from it. */
  async close(): Promise<void> {
    for (const leg of this.#legs.list) {
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
