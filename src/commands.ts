/** What the admin port may ask of a running gateway, answered from its parts. */
import type { CollectionView, Commands, ReloadResult, StatusView } from './admin/commands.ts'
import { formatProblem } from './config/problems.ts'
import type { AdminConfig, Config } from './config/schema.ts'
import type { Actor } from './contract/audit-trail.ts'
import type { DeliveryKind } from './contract/resources.ts'
import { version } from './contract/version.ts'
import type { RunningGateway } from './gateway.ts'
import { GatewayDeliveries } from './control/delivery-commands.ts'
import { IncidentDesk } from './control/incident-desk.ts'
import { PostedEvents } from './control/posted-events.ts'
import { GatewayStreams } from './control/stream-commands.ts'
import { Resources } from './control/resource-changes.ts'
import { ownerKey } from './shipper/owners.ts'
import { addCounts } from './shipper/views.ts'
import { Counters, rejectReasons, statusClasses, threadCell, upstreamCell } from './telemetry/counters.ts'
import type { MetricsSource } from './telemetry/metrics.ts'

export class GatewayCommands implements Commands {
  readonly resources: Resources
  readonly deliveries: Readonly<Record<DeliveryKind, GatewayDeliveries>>
  readonly incidents: IncidentDesk
  readonly #gateway: RunningGateway

  readonly streams: GatewayStreams
  readonly events: PostedEvents

  constructor(gateway: RunningGateway) {
    this.#gateway = gateway
    this.events = new PostedEvents(gateway)
    this.streams = new GatewayStreams(gateway)
    this.resources = new Resources(gateway)
    this.deliveries = {
      mirrors: new GatewayDeliveries(gateway, 'mirrors'),
      streams: new GatewayDeliveries(gateway, 'streams'),
    }
    this.incidents = new IncidentDesk(gateway)
  }

  config(): Config {
    return this.#gateway.config
  }

  admin(): AdminConfig {
    return this.#gateway.config.admin
  }

  placeOf(pointer: string): string {
    const { file, places } = this.#gateway.configuration.loaded
    return `${file}:${places.value(pointer).line}`
  }

  status(): StatusView {
    const { config, configuration, threads, recorder, shipper, startedAt, state, options } = this.#gateway
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
        loaded_at: configuration.loadedAt.toISOString(),
        generation: config.generation,
        hash: config.hash,
        last_rejected: configuration.lastRejected,
      },
      capture: {
        paused: !configuration.capturing,
        buffer_used_bytes: this.#sum(threadCell.captureBytes),
        buffer_limit_bytes: config.capture.buffer_bytes,
      },
      totals: {
        ...addCounts(this.deliveries.mirrors.list().map(({ counts }) => counts)),
        streams: addCounts(this.deliveries.streams.list().map(({ counts }) => counts)),
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
    const { config, configuration } = this.#gateway
    const { slots } = configuration
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
      mirrors: () => this.deliveries.mirrors.list(),
      streams: () => this.deliveries.streams.list(),
      streamKey: (name) => ownerKey({ kind: 'streams', name }),
      activity: () => this.#gateway.store.activity.figures(),
      captureBuffer: () => ({
        used: this.#sum(threadCell.captureBytes),
        limit: this.#gateway.config.capture.buffer_bytes,
      }),
      uncleanShutdown: () => this.#gateway.uncleanShutdown,
      incidents: () => this.#gateway.incidents.notifier.figures(),
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
        const slot = this.#gateway.configuration.slots.upstream(name, url)
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

  postEvents(body: AsyncIterable<Buffer>, lines: boolean): Promise<{ accepted: number }> {
    return this.events.take(body, lines)
  }

  async setConnection(
    name: string,
    connected: boolean,
    actor: Actor,
  ): Promise<{ name: string; connected: boolean } | null> {
    const { deliveries, log, trail } = this.#gateway
    if (!this.config().connections.some((connection) => connection.name === name)) return null
    if (deliveries.isDisconnected(name) !== connected) return { name, connected }
    const event = connected ? 'connection_connected' : 'connection_disconnected'
    await deliveries.setConnected(name, connected, trail.entries({ event, actor, resource: { name } }))
    if (connected) this.#gateway.incidents.connected(name)
    else this.#gateway.incidents.disconnected(name, actor.name)
    log.warn({ connection: name }, connected ? 'connection connected' : 'connection disconnected')
    return { name, connected }
  }

  async setCapture(capturing: boolean, actor: Actor): Promise<{ paused: boolean }> {
    const { log } = this.#gateway
    const event = capturing ? 'capture_resumed' : 'capture_paused'
    const changed = await this.#gateway.configuration.setCapturing(capturing, { event, actor })
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
    return this.#gateway.configuration.reload(actor)
  }

  async checkConfig(yaml: string | null): Promise<ReloadResult> {
    const verdict = await this.#gateway.configuration.check(yaml)
    if (!verdict.ok) return verdict
    return { ...verdict, warnings: verdict.warnings.map(formatProblem) }
  }

  followTags(handles: readonly string[]): Promise<void> {
    return this.#gateway.configuration.followTags(handles)
  }

  metrics(): Promise<{ type: string; text: string }> {
    return this.#gateway.metrics.text()
  }
}
