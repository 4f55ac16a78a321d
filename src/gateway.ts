/** One running gateway: start, drain, stop. The order of things, nothing else. */
import { activityHost } from './control/activity-host.ts'
import type { Commands } from './admin/commands.ts'
import { type AdminServer, startAdmin } from './admin/server.ts'
import { GatewayTrail } from './control/trail.ts'
import { GatewayCommands } from './commands.ts'
import { loadConfig, type Usable } from './config/load.ts'
import { ConfigurationError, formatProblem, withAdvice } from './config/problems.ts'
import { runningPlugins } from './config/plugins.ts'
import type { Config } from './config/schema.ts'
import type { Plugins } from './config/validate.ts'
import { SecretTexts } from './config/secret-texts.ts'
import { configurationLoaded } from './control/configuration-entries.ts'
import type { ActivityLog } from './contract/activity.ts'
import { type Happening, theGateway } from './contract/audit-trail.ts'
import { assertLimits } from './contract/limits.ts'
import type { ProviderDefinition, SinkDefinition } from './contract/plugin.ts'
import { version } from './contract/version.ts'
import { DataThreads } from './proxy/threads.ts'
import { RecorderPool } from './recorder/pool.ts'
import { Recording } from './recording.ts'
import { IncidentWatch } from './control/incident-watch.ts'
import { LiveConfiguration } from './control/live-configuration.ts'
import { ResourceBook } from './control/resource-book.ts'
import { secretNews } from './control/secret-news.ts'
import { openSeal } from './secrets/seal.ts'
import { Secrets } from './secrets/secrets.ts'
import { Credentials } from './shipper/credentials.ts'
import { Episodes } from './shipper/episodes.ts'
import { Deliveries } from './shipper/deliveries.ts'
import type { LegHost } from './shipper/leg-host.ts'
import { ShipperPool } from './shipper/pool.ts'
import { type DataLock, lockDataDir } from './store/lock.ts'
import { type Command, Store } from './store/store.ts'
import { createLog, type Logger } from './telemetry/log.ts'
import { Metrics } from './telemetry/metrics.ts'

/** The file as it was loaded, and what is built in: */
export interface GatewayOptions extends Omit<Usable, 'ok'> {
  readonly sinks: readonly SinkDefinition[]
  readonly providers: readonly ProviderDefinition[]
  /** Entry of the worker threads; another one only in tests. */
  readonly worker?: URL
}

export interface Gateway {
  readonly commands: Commands
  readonly listen: { readonly host: string; readonly port: number }
  readonly admin: { readonly host: string; readonly port: number }
  /** Drains, delivers, writes the last state; `clean` is false when connections had to be cut. */
  stop(): Promise<{ clean: boolean }>
  /** Ends everything at once, as a kill would. */
  kill(): void
}

const HOUSEKEEPING_MS = 1000
/** At a stop: how long a healthy destination is still delivered to. What remains waits on disk. */
const DELIVER_REST_MS = 5000

/** Starts a gateway; throws StartError or ConfigurationError when it cannot. Clients are accepted last. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  assertLimits()
  // Bodies and counts on disk are the owner's alone, whoever writes the file.
  process.umask(0o077)
  const lock = await lockDataDir(options.config.data_dir)
  const gateway = await openGateway(options, lock)
  try {
    await gateway.start()
  } catch (error) {
    await gateway.undoStart()
    throw error
  }
  return gateway
}

/** The store knows what the API defined: only with it is the configuration whole. */
async function openGateway(options: GatewayOptions, lock: DataLock): Promise<RunningGateway> {
  const { config, file, source, sinks, providers } = options
  const store = new Store(config.data_dir)
  try {
    const seal = openSeal({
      keyFile: config.secrets.key_file,
      keyText: process.env['MIRRORGATE_SEAL_KEY'],
      dataDir: config.data_dir,
    })
    const plugins = await runningPlugins(config.plugins, { sinks, providers })
    const book = new ResourceBook(store.resources.all(), seal, new SecretTexts(plugins))
    const opened = { lock, store, book, plugins }
    if (book.list().length === 0) return new RunningGateway(options, opened)
    const { generation } = config
    const resources = book.list()
    const text = source.text
    const loaded = await loadConfig({ file, text, resources, generation, sinks, providers })
    if (!loaded.ok) throw new ConfigurationError(loaded.problems.map(withAdvice))
    return new RunningGateway({ ...options, ...loaded }, opened)
  } catch (error) {
    await store.close()
    await lock.release()
    throw error
  }
}

interface Opened {
  readonly lock: DataLock
  readonly store: Store
  readonly book: ResourceBook
  readonly plugins: Plugins
}

export class RunningGateway implements Gateway {
  readonly options: GatewayOptions
  /** What is built in, and what the file added. */
  readonly plugins: Plugins
  readonly log: Logger
  readonly store: Store
  readonly activity: ActivityLog
  readonly trail: GatewayTrail
  readonly metrics: Metrics
  readonly deliveries: Deliveries
  readonly shipper: ShipperPool
  readonly secrets: Secrets
  readonly credentials: Credentials
  readonly incidents: IncidentWatch
  readonly recorder: RecorderPool
  readonly threads: DataThreads
  readonly commands: GatewayCommands
  readonly startedAt = new Date()
  readonly uncleanShutdown: boolean
  readonly book: ResourceBook
  readonly configuration: LiveConfiguration
  state: 'starting' | 'ready' | 'draining' = 'starting'
  listen = { host: '', port: 0 }
  admin = { host: '', port: 0 }
  readonly #lock: DataLock
  readonly #episodes: Episodes
  #adminServer: AdminServer | null = null
  #timer: NodeJS.Timeout | null = null
  readonly #recording = new Recording(this)

  constructor(options: GatewayOptions, { lock, store, book, plugins }: Opened) {
    const { config } = options
    const worker = options.worker ?? new URL('./worker.ts', import.meta.url)
    this.options = options
    this.plugins = plugins
    this.#lock = lock
    this.log = createLog(config.logging)
    this.store = store
    this.book = book
    this.activity = this.store.activity
    this.uncleanShutdown = this.store.setting('clean') === false
    this.configuration = new LiveConfiguration(this, options, worker)
    this.shipper = new ShipperPool(worker, config.plugins)
    this.recorder = new RecorderPool(worker)
    this.threads = new DataThreads(this.configuration.plan(config), {
      log: this.log,
      slab: (thread, slab) => void this.#recording.record(thread, slab),
      lost: (slot, exchanges) => this.deliveries.captures.lost(slot, exchanges),
    })
    this.commands = new GatewayCommands(this)
    this.metrics = new Metrics(this.commands.metricsSource(), { version })
    const { activity, log } = this
    const countFailed = this.metrics.countActivityFailed.bind(this.metrics)
    this.trail = new GatewayTrail({ activity, log, countFailed, config: () => this.config })
    this.#episodes = new Episodes({ trail: this.trail, store, config: () => this.config })
    const news = secretNews(this)
    const ship = this.shipper.ship.bind(this.shipper)
    this.secrets = new Secrets(plugins.providers, config.secrets, news)
    this.credentials = new Credentials({ ship, secrets: this.secrets, refused: news.refused })
    this.incidents = new IncidentWatch(this)
    const host: LegHost = {
      ship: async (task) => {
        const result = await this.credentials.ship(task)
        this.incidents.shipped(task, result)
        return result
      },
      index: this.shipper.index.bind(this.shipper),
      probe: this.shipper.probe.bind(this.shipper),
      judgeEvents: this.shipper.judgeEvents.bind(this.shipper),
      writeEvents: this.shipper.writeEvents.bind(this.shipper),
      store: this.store,
      dataDir: config.data_dir,
      feed: this.store.activity.feed,
      log: this.log,
      countAttempt: this.metrics.countAttempt.bind(this.metrics),
      observeDelivery: this.metrics.observeDelivery.bind(this.metrics),
      news: (leg, news) => {
        this.#episodes.news(leg, news)
        this.incidents.legNews(leg, news)
      },
    }
    this.deliveries = new Deliveries(host, config.data_dir, () => this.threads.counters)
  }

  /** What is in force now. */
  get config(): Config {
    return this.configuration.current
  }

  async start(): Promise<void> {
    const { config, warnings, file } = this.options
    for (const warning of warnings)
      this.log.warn({ problem: formatProblem(warning) }, 'configuration warning')
    for (const problem of this.configuration.remarks(config))
      this.log.warn({ problem }, 'configuration warning')
    await this.store.apply([{ type: 'setting', name: 'clean', value: false }])
    if (this.uncleanShutdown)
      this.log.warn('the last run did not stop cleanly: counting goes on from what was durable')
    await this.deliveries.recover(config)
    await this.deliveries.prepare(config, this.configuration.slots)
    await this.deliveries.apply(config)
    this.#timer = setInterval(() => this.#housekeep(), HOUSEKEEPING_MS)
    this.store.activity.start(activityHost(this))
    const { log, commands, store, trail } = this
    this.#adminServer = await startAdmin({ commands, store, trail, log, dataDir: config.data_dir, version })
    this.admin = { host: this.#adminServer.host, port: this.#adminServer.port }
    this.log.info({ listener: 'admin', ...this.admin }, 'listening')
    this.listen = await this.threads.start(config.listen.threads)
    this.incidents.start()
    this.state = 'ready'
    this.log.info({ listener: 'proxy', ...this.listen, threads: config.listen.threads }, 'listening')
    const { collections, mirrors, streams, environment } = config
    this.log.info(
      {
        file,
        version,
        environment,
        collections: collections.length,
        mirrors: mirrors.length,
        streams: streams.length,
        data_dir: config.data_dir,
      },
      'ready',
    )
    // Not waited for: a disk that stalls now must not keep signals from being obeyed.
    void this.#tellStart()
  }

  #housekeep(): void {
    if (!this.#recording.settling && this.state !== 'draining')
      this.deliveries.closeAbandoned(this.recorder.alive())
    // Once a second: a full disk fails with every slab (trap A23).
    const error = this.#recording.takeError()
    if (error !== null) this.log.error({ error }, 'spool write failed')
    this.deliveries
      .housekeep()
      .catch((error: unknown) => this.log.error({ err: error }, 'housekeeping failed'))
    if (this.state !== 'starting') void this.incidents.tick()
  }

  /** Writes a change and the entry that tells of it in one transaction. */
  commit(commands: readonly Command[], ...happenings: readonly Happening[]): Promise<void> {
    return this.store.apply(commands, this.trail.entries(...happenings))
  }

  async stop(): Promise<{ clean: boolean }> {
    this.state = 'draining'
    const { drain_grace_ms: graceMs, drain_ms: drainMs } = this.config.listen.timeouts
    this.log.info({ grace_ms: graceMs, drain_ms: drainMs }, 'draining')
    const clean = await this.threads.drain(graceMs, drainMs)
    if (!clean) this.log.error('connections were still open when drain_ms was over: they were cut')
    await this.#recording.ended()
    await this.recorder.close()
    await this.commands.events.written()
    await this.deliveries.closeSegments()
    await this.deliveries.deliverRest(DELIVER_REST_MS)
    await this.deliveries.close()
    const totals = this.commands.status().totals
    // Whoever still asks is told of before the end is.
    await this.#adminServer?.close()
    this.#adminServer = null
    await this.#tellStop(clean)
    await this.#noteStop()
    await this.release()
    this.log.info({ clean, ...totals }, 'stopped')
    return { clean }
  }

  #tellStart(): Promise<boolean> {
    const { config, options, listen, uncleanShutdown } = this
    const actor = theGateway
    return this.trail.record(
      ...(uncleanShutdown ? [{ event: 'unclean_shutdown', actor } as const] : []),
      configurationLoaded(config, { actor, file: options.file }),
      { event: 'gateway_started', actor, details: { version, host: listen.host, port: listen.port } },
    )
  }

  /** The last entry of a run; before it, losses that no entry told of yet. */
  async #tellStop(clean: boolean): Promise<void> {
    this.#episodes.flush()
    await this.incidents.close()
    await this.trail.record({ event: 'gateway_stopped', actor: theGateway, details: { clean } })
    await this.trail.settled()
  }

  /** On a full disk the next start takes this stop for a crash; all else of it is done. */
  async #noteStop(): Promise<void> {
    await this.store
      .apply([{ type: 'setting', name: 'clean', value: true }])
      .catch((error: unknown) => this.log.error({ err: error }, 'the clean stop could not be noted'))
  }

  /** A start that failed has captured nothing: how the run before it ended still stands. */
  async undoStart(): Promise<void> {
    await this.store.apply([{ type: 'setting', name: 'clean', value: !this.uncleanShutdown }]).catch(() => {})
    await this.release()
  }

  /** Frees what was opened, in whatever state the start was left. */
  async release(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.threads.end()
    await this.#adminServer?.close()
    await this.recorder.close()
    await this.configuration.close()
    await this.secrets.close()
    await this.shipper.destroy()
    this.metrics.close()
    await this.store.close()
    await this.#lock.release()
  }

  kill(): void {
    this.log.fatal('stopped at once: what was on its way is not waited for')
    process.exit(4)
  }
}
