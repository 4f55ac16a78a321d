/** What the admin port may ask of a running gateway, answered from its parts. */
import { randomUUID } from 'node:crypto'
import {
  type CollectionView,
  type Commands,
  ConflictError,
  type DeadLetterView,
  type MirrorView,
  type ReloadResult,
  type StatusView,
  type TestResult,
} from './admin/commands.ts'
import { formatProblem } from './config/problems.ts'
import type { AdminConfig, Config, MirrorConfig } from './config/schema.ts'
import type { Json } from './contract/activity.ts'
import type { ActivityEvent } from './contract/activity-events.ts'
import type { Actor } from './contract/audit-trail.ts'
import { version } from './contract/version.ts'
import type { RunningGateway } from './gateway.ts'
import { Resources } from './control/resource-changes.ts'
import type { Leg } from './shipper/leg.ts'
import { sampleItem } from './shipper/sample.ts'
import { addCounts } from './shipper/views.ts'
import { Counters, rejectReasons, statusClasses, threadCell, upstreamCell } from './telemetry/counters.ts'
import type { MetricsSource } from './telemetry/metrics.ts'

export class GatewayCommands implements Commands {
  readonly resources: Resources
  readonly #gateway: RunningGateway

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
    this.resources = new Resources(gateway)
  }

  config(): Config {
    return this.#gateway.config
  }

  admin(): AdminConfig {
    return this.#gateway.config.admin
  }

  placeOf(pointer: string): string {
    const { file, places } = this.#gateway.loaded
    return `${file}:${places.value(pointer).line}`
  }

  status(): StatusView {
    const { config, threads, recorder, shipper, startedAt, loadedAt, lastRejected, state, options } =
      this.#gateway
    return {
      version,
      node: process.version,
      state,
      uptime_seconds: Math.round(process.uptime()),
      started_at: startedAt.toISOString(),
      environment: config.environment,
      unclean_shutdown: this.#gateway.uncleanShutdown,
      threads: { data: threads.size, recorder: recorder.threads, shipper: shipper.threads },
      config: {
        file: options.file,
        loaded_at: loadedAt.toISOString(),
        generation: config.generation,
        hash: config.hash,
        last_rejected: lastRejected,
      },
      capture: {
        paused: !this.#gateway.capturing,
        buffer_used_bytes: this.#sum(threadCell.captureBytes),
        buffer_limit_bytes: config.capture.buffer_bytes,
      },
      totals: {
        ...addCounts(this.mirrors().map(({ counts }) => counts)),
        requests: this.#requests(),
        rejected: rejectReasons.reduce((sum, _reason, at) => sum + this.#sum(threadCell.rejected + at), 0),
        connections_open: this.#sum(threadCell.connectionsOpen),
      },
      listen: this.#gateway.listen,
      secrets: { entries: this.#gateway.secrets.entries, providers: this.#gateway.secrets.providers() },
    }
  }

  #sum(cell: number): number {
    return this.#gateway.threads.counters.reduce((sum, { cells }) => sum + (cells[cell] ?? 0), 0)
  }

  #requests(): number {
    let requests = 0
    for (const { slot } of this.#collectionSlots()) {
      for (let at = 0; at < statusClasses.length; at++) requests += this.#sum(Counters.collection(slot, at))
    }
    return requests
  }

  #collectionSlots() {
    const { config, slots } = this.#gateway
    return config.collections.map(({ name, upstreams }) => ({
      name,
      slot: slots.collection(name),
      upstreams: upstreams.map(({ url }) => ({ url, slot: slots.upstream(name, url) })),
    }))
  }

  metricsSource(): MetricsSource {
    return {
      counters: () => this.#gateway.threads.counters,
      collections: () => this.#collectionSlots(),
      mirrors: () => this.mirrors(),
      activity: () => this.#gateway.store.activity.figures(),
      captureBuffer: () => ({
        used: this.#sum(threadCell.captureBytes),
        limit: this.#gateway.config.capture.buffer_bytes,
      }),
      uncleanShutdown: () => this.#gateway.uncleanShutdown,
      secrets: () => ({ entries: this.#gateway.secrets.entries, reads: this.#gateway.secrets.reads() }),
    }
  }

  ready(): { status: 'ready' | 'starting' | 'draining'; reasons: string[] } {
    const { state } = this.#gateway
    const reasons = {
      ready: [],
      starting: ['not every listener accepts yet'],
      draining: ['the gateway is shutting down'],
    }
    return { status: state, reasons: reasons[state] }
  }

  collections(): CollectionView[] {
    const { collections, api } = this.#gateway.config
    return collections.map(({ name, hosts, prefix, mirrors, upstreams }) => ({
      name,
      hosts: [...hosts],
      prefix,
      mirrors: [...mirrors],
      managed_by: api.collections.includes(name) ? 'api' : 'file',
      upstreams: upstreams.map(({ url, weight }) => {
        const slot = this.#gateway.slots.upstream(name, url)
        const cell = (at: number): number => this.#sum(Counters.upstream(slot, at))
        return {
          url,
          weight,
          healthy: cell(upstreamCell.ejected) === 0,
          requests_in_flight: cell(upstreamCell.inFlight),
          requests: cell(upstreamCell.requests),
          failures: cell(upstreamCell.failures),
        }
      }),
    }))
  }

  mirrors(): MirrorView[] {
    return this.#gateway.mirrors.views()
  }

  mirror(name: string): MirrorView | null {
    return this.#gateway.mirrors.view(name)
  }

  async pauseMirror(name: string, actor: Actor): Promise<MirrorView | null> {
    return this.#setPaused(name, true, actor)
  }

  async resumeMirror(name: string, actor: Actor): Promise<MirrorView | null> {
    return this.#setPaused(name, false, actor)
  }

  async #setPaused(name: string, paused: boolean, actor: Actor): Promise<MirrorView | null> {
    const { mirrors, log, trail } = this.#gateway
    if (mirrors.activeLegs(name) === null) return this.#removed(name)
    // What is so already is no change, and no entry.
    if (mirrors.isPaused(name) === paused) return mirrors.view(name)
    const event = paused ? 'mirror_paused' : 'mirror_resumed'
    await mirrors.setPaused(name, paused, trail.entries({ event, actor, resource: { name } }))
    log.info({ mirror: name }, paused ? 'mirror paused' : 'mirror resumed')
    return mirrors.view(name)
  }

  /** Tells what was done to a mirror; it is done, with or without an entry. */
  async #tell(event: ActivityEvent, name: string, actor: Actor, details: Record<string, Json> = {}) {
    await this.#gateway.trail.record({ event, actor, resource: { name }, details })
  }

  /** Null for an unknown mirror; one that only has a backlog left cannot be commanded. */
  #removed(name: string): null {
    if (this.mirror(name) === null) return null
    throw new ConflictError(
      `mirror ${name} is not in the configuration any more: only its backlog can be purged`,
    )
  }

  async replayMirror(name: string, actor: Actor): Promise<MirrorView | null> {
    const active = this.#gateway.mirrors.activeLegs(name)
    if (active === null) return this.#removed(name)
    this.#assertDelivers(active.config, active.legs)
    for (const leg of active.legs) leg.replay()
    this.#gateway.log.info({ mirror: name }, 'mirror replayed')
    await this.#tell('mirror_replayed', name, actor)
    return this.mirror(name)
  }

  #assertDelivers(config: MirrorConfig, legs: readonly Leg[]): void {
    if (!config.enabled) throw new ConflictError(`mirror ${config.name} is disabled: enable it first`)
    if (!legs.some(({ paused }) => paused)) return
    const { connection, name } = config
    if (connection !== undefined && this.#gateway.mirrors.isDisconnected(connection))
      throw new ConflictError(`connection ${JSON.stringify(connection)} is disconnected: connect it first`)
    throw new ConflictError(`mirror ${name} is paused: resume it first`)
  }

  async testMirror(name: string, actor: Actor): Promise<TestResult | null> {
    const active = this.#gateway.mirrors.activeLegs(name)
    if (active === null) return this.#removed(name)
    const { config, legs } = active
    const results = legs.map(async (leg, at) => {
      const target = leg.settings?.target
      if (target === undefined) throw new ConflictError(`mirror ${name} has no destination`)
      const result = await this.#gateway.credentials.ship({
        target,
        leg: leg.name,
        batchId: `test-${randomUUID()}`,
        timeoutMs: config.timeout_ms,
        source: {
          ndjson: sampleItem(config.legs[at]?.half ?? 'exchange', this.config().environment, config),
          items: 1,
        },
        keepItem: false,
      })
      const latency = Math.round(result.latencyMs * 10) / 10
      const error = result.ok ? null : result.message
      return { name: leg.name, ok: result.ok, status: result.status, latency_ms: latency, error }
    })
    const tested = await Promise.all(results)
    await this.#tell('mirror_tested', name, actor, {
      legs: tested.map(({ name: leg, ok, status }) => ({ name: leg, ok, status })),
    })
    return { legs: tested }
  }

  async purgeBacklog(name: string, actor: Actor): Promise<MirrorView | null> {
    const { mirrors, log } = this.#gateway
    const before = this.mirror(name)
    if (before === null) return null
    const items = await mirrors.purge(name)
    log.warn({ mirror: name, items }, 'backlog purged')
    await this.#tell('mirror_purged', name, actor, { items })
    return mirrors.view(name) ?? { ...before, counts: { ...before.counts, waiting: 0 }, legs: [] }
  }

  deadLetters(
    name: string,
    page: { after: string | null; size: number },
  ): { data: DeadLetterView[]; total: number } | null {
    return this.mirror(name) === null ? null : this.#gateway.mirrors.deadLetters(name, page)
  }

  async replayDeadLetters(name: string, actor: Actor): Promise<MirrorView | null> {
    if (this.#gateway.mirrors.activeLegs(name) === null) return this.#removed(name)
    const items = await this.#gateway.mirrors.replayDeadLetters(name)
    await this.#tell('mirror_dead_letters_replayed', name, actor, { items })
    return this.mirror(name)
  }

  async deleteDeadLetters(name: string, actor: Actor): Promise<MirrorView | null> {
    const before = this.mirror(name)
    if (before === null) return null
    const items = await this.#gateway.mirrors.deleteDeadLetters(name)
    this.#gateway.log.warn({ mirror: name, items }, 'dead letters deleted')
    await this.#tell('mirror_dead_letters_deleted', name, actor, { items })
    return this.mirror(name) ?? before
  }

  async setConnection(
    name: string,
    connected: boolean,
    actor: Actor,
  ): Promise<{ name: string; connected: boolean } | null> {
    const { mirrors, log, trail } = this.#gateway
    if (!this.config().connections.some((connection) => connection.name === name)) return null
    if (mirrors.isDisconnected(name) !== connected) return { name, connected }
    const event = connected ? 'connection_connected' : 'connection_disconnected'
    await mirrors.setConnected(name, connected, trail.entries({ event, actor, resource: { name } }))
    log.warn({ connection: name }, connected ? 'connection connected' : 'connection disconnected')
    return { name, connected }
  }

  async setCapture(capturing: boolean, actor: Actor): Promise<{ paused: boolean }> {
    const { log } = this.#gateway
    const event = capturing ? 'capture_resumed' : 'capture_paused'
    const changed = await this.#gateway.setCapturing(capturing, { event, actor })
    if (changed) log.warn(capturing ? 'capture resumed' : 'capture paused')
    return { paused: !capturing }
  }

  async clearSecrets(actor: Actor): Promise<void> {
    const { secrets, log, trail } = this.#gateway
    secrets.clear()
    log.info('secrets cache cleared')
    await trail.record({ event: 'secrets_cache_cleared', actor, resource: { name: 'all' } })
  }

  async setLogLevel(level: string, actor: Actor): Promise<void> {
    const { log, trail } = this.#gateway
    const before = log.level
    log.level = level
    const details = { from: before, to: level }
    if (before !== level) await trail.record({ event: 'log_level_changed', actor, details })
  }

  reload(actor: Actor): Promise<ReloadResult> {
    return this.#gateway.reload(actor)
  }

  async checkConfig(yaml: string | null): Promise<ReloadResult> {
    const verdict = await this.#gateway.check(yaml)
    if (!verdict.ok) return verdict
    return { ...verdict, warnings: verdict.warnings.map(formatProblem) }
  }

  followTags(handles: readonly string[]): Promise<void> {
    return this.#gateway.followTags(handles)
  }

  metrics(): Promise<{ type: string; text: string }> {
    return this.#gateway.metrics.text()
  }
}
