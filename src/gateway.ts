/** One running gateway: start, reload, drain, stop. The order of things, nothing else. */
import { activityHost } from './control/activity-host.ts'
import type { Commands, ReloadResult } from './admin/commands.ts'
import { type AdminServer, startAdmin } from './admin/server.ts'
import { GatewayTrail } from './control/trail.ts'
import { GatewayCommands } from './commands.ts'
import { referencedTexts } from './config/changes.ts'
import { type Loaded, loadConfig, type Usable } from './config/load.ts'
import type { Verdict } from './config/load-task.ts'
import { changesOfFixedKeys } from './config/fixed-keys.ts'
import { ConfigurationError, formatProblem, type Problem, withAdvice } from './config/problems.ts'
import { runningPlugins } from './config/plugins.ts'
import type { Config } from './config/schema.ts'
import type { Plugins } from './config/validate.ts'
import { unknownTags } from './config/unknown-tags.ts'
import { SecretTexts } from './config/secret-texts.ts'
import {
  configurationChanged,
  configurationLoaded,
  configurationRejected,
} from './control/configuration-entries.ts'
import type { ActivityLog } from './contract/activity.ts'
import { type Actor, type Happening, theGateway } from './contract/audit-trail.ts'
import { NamesSpentError } from './contract/errors.ts'
import { assertLimits } from './contract/limits.ts'
import type { ProviderDefinition, SinkDefinition } from './contract/plugin.ts'
import type { ApiResource } from './contract/resources.ts'
import { version } from './contract/version.ts'
import { descriptorsMax, descriptorWarnings } from './proxy/descriptors.ts'
import { dataPlan, type PlanParts, PlanSlots } from './proxy/plan.ts'
import { DataThreads } from './proxy/threads.ts'
import { RecorderPool } from './recorder/pool.ts'
import { Recording } from './recording.ts'
import { ConfigurationReader } from './control/configuration-reader.ts'
import { IncidentWatch } from './control/incident-watch.ts'
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
  readonly reader: ConfigurationReader
  readonly threads: DataThreads
  readonly slots = new PlanSlots()
  readonly commands: GatewayCommands
  readonly startedAt = new Date()
  readonly uncleanShutdown: boolean
  readonly book: ResourceBook
  config: Config
  /** Where the configuration in force came from. */
  loaded: Omit<Usable, 'ok'>
  loadedAt = new Date()
  lastRejected: { at: string; problems: Problem[] } | null = null
  state: 'starting' | 'ready' | 'draining' = 'starting'
  capturing = true
  listen = { host: '', port: 0 }
  admin = { host: '', port: 0 }
  readonly #lock: DataLock
  readonly #episodes: Episodes
  #adminServer: AdminServer | null = null
  #timer: NodeJS.Timeout | null = null
  #reloading: Promise<unknown> = Promise.resolve()
  readonly #recording = new Recording(this)

  constructor(options: GatewayOptions, { lock, store, book, plugins }: Opened) {
    const { config } = options
    const worker = options.worker ?? new URL('./worker.ts', import.meta.url)
    this.options = options
    this.plugins = plugins
    this.config = config
    this.loaded = options
    this.#lock = lock
    this.log = createLog(config.logging)
    this.store = store
    this.book = book
    this.activity = this.store.activity
    this.uncleanShutdown = this.store.setting('clean') === false
    this.capturing = this.store.setting('capture_paused') !== true
    this.shipper = new ShipperPool(worker, config.plugins)
    this.recorder = new RecorderPool(worker)
    this.reader = new ConfigurationReader({ worker, file: options.file, plugins: config.plugins })
    this.threads = new DataThreads(dataPlan(config, this.#planParts()), {
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

  async start(): Promise<void> {
    const { config, warnings, file } = this.options
    for (const warning of warnings)
      this.log.warn({ problem: formatProblem(warning) }, 'configuration warning')
    for (const problem of this.#remarks(config)) this.log.warn({ problem }, 'configuration warning')
    await this.store.apply([{ type: 'setting', name: 'clean', value: false }])
    if (this.uncleanShutdown)
      this.log.warn('the last run did not stop cleanly: counting goes on from what was durable')
    await this.deliveries.recover(config)
    await this.deliveries.prepare(config, this.slots)
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

  /** Validated first, applied whole or not at all; answered once every thread has switched. */
  reload(actor: Actor): Promise<ReloadResult> {
    return this.inTurn(() => this.#reload(actor))
  }

  /** Writes a change and the entry that tells of it in one transaction. */
  commit(commands: readonly Command[], ...happenings: readonly Happening[]): Promise<void> {
    return this.store.apply(commands, this.trail.entries(...happenings))
  }

  /** One change of the configuration after the other: each takes a generation of its own. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#reloading.then(work)
    this.#reloading = next.catch(() => {})
    return next
  }

  /** Whether the file as it is on disk, or a text in its place, could be the next configuration. */
  async check(text: string | null): Promise<Verdict> {
    const next = this.#next()
    const verdict = await this.reader.check(text === null ? next : { ...next, text })
    return verdict.ok ? verdict : { ok: false, problems: verdict.problems.map(withAdvice) }
  }

  /** What the next configuration has besides the file. */
  #next(): { generation: number; resources: readonly ApiResource[] } {
    return { generation: this.config.generation + 1, resources: this.book.list() }
  }

  /** Why a configuration needs more names than a process can count for; null when it does not. */
  slotsWanting(config: Config): string | null {
    try {
      // On a copy: what is refused, or only tried, takes none.
      dataPlan(config, { ...this.#planParts(), slots: new PlanSlots(this.slots) })
      return null
    } catch (error) {
      if (error instanceof NamesSpentError) return error.message
      throw error
    }
  }

  /** Switches all capture on or off; false when it was so already. */
  setCapturing(capturing: boolean, happening: Happening): Promise<boolean> {
    return this.inTurn(async () => {
      if (this.capturing === capturing) return false
      const value = capturing ? null : true
      await this.commit([{ type: 'setting', name: 'capture_paused', value }], happening)
      this.capturing = capturing
      await this.apply({ ...this.config, generation: this.config.generation + 1 })
      return true
    })
  }

  /** What only a running gateway can say of a configuration; it works all the same. */
  #remarks(config: Config): string[] {
    const tags = unknownTags(config, (handle) => this.store.tags.get(handle) !== undefined)
    return [...tags, ...descriptorWarnings(config, descriptorsMax())]
  }

  #planParts(): PlanParts {
    const taggedCollections = (handle: string) => this.store.tags.assigned(handle, 'collection')
    return { slots: this.slots, capturing: this.capturing, descriptors: descriptorsMax(), taggedCollections }
  }

  /** Lets the mirrors that ask for one of these tags follow who bears it now. */
  followTags(handles: readonly string[]): Promise<void> {
    return this.inTurn(async () => {
      const { mirrors, streams } = this.config
      const asked = [...mirrors, ...streams].flatMap(({ match }) => match.tags)
      if (!asked.some((tag) => handles.includes(tag))) return
      await this.apply({ ...this.config, generation: this.config.generation + 1 })
    })
  }

  async #reload(actor: Actor): Promise<ReloadResult> {
    const { file } = this.options
    const loaded = await this.reader.load(this.#next())
    const problems = loaded.ok ? this.#cannotChange(loaded) : loaded.problems.map(withAdvice)
    if (!loaded.ok || problems.length > 0) {
      this.lastRejected = { at: new Date().toISOString(), problems: [...problems] }
      this.metrics.countReload('rejected')
      this.log.error(
        { problems: problems.map(formatProblem) },
        'configuration rejected: the old one stays in force',
      )
      this.incidents.rejected(file, problems.map(formatProblem), actor)
      await this.trail.record(configurationRejected(problems, { actor, file }))
      return { ok: false, problems: [...problems] }
    }
    const before = this.loaded
    await this.apply(loaded.config)
    this.took(loaded)
    this.lastRejected = null
    this.metrics.countReload('applied')
    const { generation, hash } = loaded.config
    this.log.info({ generation, hash }, 'configuration applied')
    const referenced = new Set([before, loaded].flatMap(({ source }) => [...referencedTexts(source)]))
    const read = { actor, file, referenced }
    await this.trail.record(...configurationChanged(before.config, loaded.config, read))
    const warnings = [...loaded.warnings.map(formatProblem), ...this.#remarks(loaded.config)]
    return { ok: true, generation, hash, warnings }
  }

  /** Notes where the configuration in force came from. */
  took(loaded: Usable): void {
    this.loaded = loaded
    this.loadedAt = new Date()
  }

  /**
   * Swaps the configuration; resolves once every thread has switched. `persist` is called when nothing else
   * can fail any more, and may still refuse.
   */
  async apply(config: Config, persist: () => Promise<unknown> = async () => {}): Promise<void> {
    const plan = dataPlan(config, this.#planParts())
    await this.deliveries.prepare(config, this.slots)
    await persist()
    await this.threads.apply(plan)
    const before = this.config
    this.config = config
    this.secrets.configure(config.secrets)
    await this.deliveries.apply(config)
    this.incidents.loaded()
    if (before.logging.level !== config.logging.level) this.log.level = config.logging.level
  }

  /** Listeners, folders and counters belong to the process: a reload that wants others is refused. */
  #cannotChange({ config, file, places }: Extract<Loaded, { ok: true }>): Problem[] {
    const wanting = this.slotsWanting(config)
    if (wanting !== null) return [{ file, line: 1, column: 1, path: '', message: wanting }]
    return changesOfFixedKeys(this.config, { config, file, places })
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
    await this.reader.close()
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
