/** What people do to mirrors and to streams: the same to both, told of in the log under their own names. */
import { randomUUID } from 'node:crypto'
import { ConflictError, type DeadLetterView, type DeliveryView, type TestResult } from '../admin/commands.ts'
import type { DeliveryCommands } from '../admin/delivery-commands.ts'
import type { DeliveryConfig } from '../config/schema.ts'
import type { Json } from '../contract/activity.ts'
import type { ActivityEvent } from '../contract/activity-events.ts'
import type { Actor } from '../contract/audit-trail.ts'
import type { Half } from '../contract/plugin.ts'
import { type DeliveryKind, resourceNouns } from '../contract/resources.ts'
import type { RunningGateway } from '../gateway.ts'
import type { Leg } from '../shipper/leg.ts'
import type { Owner } from '../shipper/owners.ts'
import { sampleItem } from '../shipper/sample.ts'

/** What is told, by what it is done to. */
const events = Object.freeze({
  mirrors: {
    paused: 'mirror_paused',
    resumed: 'mirror_resumed',
    replayed: 'mirror_replayed',
    tested: 'mirror_tested',
    purged: 'mirror_purged',
    lettersReplayed: 'mirror_dead_letters_replayed',
    lettersDeleted: 'mirror_dead_letters_deleted',
  },
  streams: {
    paused: 'stream_paused',
    resumed: 'stream_resumed',
    replayed: 'stream_replayed',
    tested: 'stream_tested',
    purged: 'stream_purged',
    lettersReplayed: 'stream_dead_letters_replayed',
    lettersDeleted: 'stream_dead_letters_deleted',
  },
} as const satisfies Record<DeliveryKind, Record<string, ActivityEvent>>)

export class GatewayDeliveries implements DeliveryCommands {
  readonly #gateway: RunningGateway
  readonly #kind: DeliveryKind
  readonly #noun: string

  constructor(gateway: RunningGateway, kind: DeliveryKind) {
    this.#gateway = gateway
    this.#kind = kind
    this.#noun = resourceNouns[kind]
  }

  #owner(name: string): Owner {
    return { kind: this.#kind, name }
  }

  list(): DeliveryView[] {
    return this.#gateway.deliveries.views(this.#kind)
  }

  view(name: string): DeliveryView | null {
    return this.#gateway.deliveries.view(this.#owner(name))
  }

  pause = (name: string, actor: Actor): Promise<DeliveryView | null> => this.#setPaused(name, true, actor)
  resume = (name: string, actor: Actor): Promise<DeliveryView | null> => this.#setPaused(name, false, actor)

  async #setPaused(name: string, paused: boolean, actor: Actor): Promise<DeliveryView | null> {
    const { deliveries, log, trail } = this.#gateway
    const owner = this.#owner(name)
    if (deliveries.activeLegs(owner) === null) return this.#removed(name)
    // What is so already is no change, and no entry.
    if (deliveries.isPaused(owner) === paused) return deliveries.view(owner)
    const event = events[this.#kind][paused ? 'paused' : 'resumed']
    await deliveries.setPaused(owner, paused, trail.entries({ event, actor, resource: { name } }))
    log.info({ [this.#noun]: name }, `${this.#noun} ${paused ? 'paused' : 'resumed'}`)
    return deliveries.view(owner)
  }

  /** Tells what was done; it is done, with or without an entry. */
  async #tell(
    what: keyof (typeof events)['mirrors'],
    name: string,
    actor: Actor,
    details: Record<string, Json> = {},
  ): Promise<void> {
    const event = events[this.#kind][what]
    await this.#gateway.trail.record({ event, actor, resource: { name }, details })
  }

  /** Null for an unknown name; one that only has a backlog left cannot be commanded. */
  #removed(name: string): null {
    if (this.view(name) === null) return null
    throw new ConflictError(
      `${this.#noun} ${name} is not in the configuration any more: only its backlog can be purged`,
    )
  }

  replay = async (name: string, actor: Actor): Promise<DeliveryView | null> => {
    const active = this.#gateway.deliveries.activeLegs(this.#owner(name))
    if (active === null) return this.#removed(name)
    this.#assertDelivers(active.config, active.legs)
    for (const leg of active.legs) leg.replay()
    this.#gateway.log.info({ [this.#noun]: name }, `${this.#noun} replayed`)
    await this.#tell('replayed', name, actor)
    return this.view(name)
  }

  #assertDelivers(config: DeliveryConfig, legs: readonly Leg[]): void {
    if (!config.enabled) throw new ConflictError(`${this.#noun} ${config.name} is disabled: enable it first`)
    if (!legs.some(({ paused }) => paused)) return
    const { connection, name } = config
    if (connection !== undefined && this.#gateway.deliveries.isDisconnected(connection))
      throw new ConflictError(`connection ${JSON.stringify(connection)} is disconnected: connect it first`)
    throw new ConflictError(`${this.#noun} ${name} is paused: resume it first`)
  }

  async test(name: string, actor: Actor): Promise<TestResult | null> {
    const active = this.#gateway.deliveries.activeLegs(this.#owner(name))
    if (active === null) return this.#removed(name)
    const { config, legs } = active
    const results = legs.map(async (leg, at) => {
      const target = leg.settings?.target
      if (target === undefined) throw new ConflictError(`${this.#noun} ${name} has no destination`)
      const result = await this.#gateway.credentials.ship({
        target,
        leg: leg.name,
        batchId: `test-${randomUUID()}`,
        timeoutMs: config.timeout_ms,
        source: { ndjson: this.#sample(config, config.legs[at]?.half ?? 'exchange'), items: 1 },
        keepItem: false,
      })
      const latency = Math.round(result.latencyMs * 10) / 10
      const error = result.ok ? null : result.message
      return { name: leg.name, ok: result.ok, status: result.status, latency_ms: latency, error }
    })
    const tested = await Promise.all(results)
    await this.#tell('tested', name, actor, {
      legs: tested.map(({ name: leg, ok, status }) => ({ name: leg, ok, status })),
    })
    return { legs: tested }
  }

  #sample(config: DeliveryConfig, half: Half): string {
    const { environment, mirrors } = this.#gateway.config
    const mirror = this.#kind === 'mirrors' ? mirrors.find(({ name }) => name === config.name) : undefined
    return sampleItem(half, environment, mirror ?? { item_format: 'exchange' })
  }

  purgeBacklog = async (name: string, actor: Actor): Promise<DeliveryView | null> => {
    const { deliveries, log } = this.#gateway
    const before = this.view(name)
    if (before === null) return null
    const items = await deliveries.purge(this.#owner(name))
    log.warn({ [this.#noun]: name, items }, 'backlog purged')
    await this.#tell('purged', name, actor, { items })
    return this.view(name) ?? { ...before, counts: { ...before.counts, waiting: 0 }, legs: [] }
  }

  async deadLetters(
    name: string,
    page: { after: string | null; size: number },
  ): Promise<{ data: DeadLetterView[]; total: number } | null> {
    return this.view(name) === null ? null : this.#gateway.deliveries.deadLetters(this.#owner(name), page)
  }

  replayDeadLetters = async (name: string, actor: Actor): Promise<DeliveryView | null> => {
    const owner = this.#owner(name)
    if (this.#gateway.deliveries.activeLegs(owner) === null) return this.#removed(name)
    const items = await this.#gateway.deliveries.replayDeadLetters(owner)
    await this.#tell('lettersReplayed', name, actor, { items })
    return this.view(name)
  }

  deleteDeadLetters = async (name: string, actor: Actor): Promise<DeliveryView | null> => {
    const before = this.view(name)
    if (before === null) return null
    const items = await this.#gateway.deliveries.deleteDeadLetters(this.#owner(name))
    this.#gateway.log.warn({ [this.#noun]: name, items }, 'dead letters deleted')
    await this.#tell('lettersDeleted', name, actor, { items })
    return this.view(name) ?? before
  }
}
