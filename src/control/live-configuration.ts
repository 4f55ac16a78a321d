/** The configuration in force, and how another one takes its place: by reload, by API, by a switch. */
import type { ReloadResult } from '../admin/commands.ts'
import { referencedTexts } from '../config/changes.ts'
import { changesOfFixedKeys } from '../config/fixed-keys.ts'
import type { Loaded, Usable } from '../config/load.ts'
import type { Verdict } from '../config/load-task.ts'
import { formatProblem, type Problem, withAdvice } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import { unknownTags } from '../config/unknown-tags.ts'
import type { Actor, Happening } from '../contract/audit-trail.ts'
import { NamesSpentError } from '../contract/errors.ts'
import type { ApiResource } from '../contract/resources.ts'
import type { RunningGateway } from '../gateway.ts'
import { descriptorsMax, descriptorWarnings } from '../proxy/descriptors.ts'
import type { DataPlan } from '../proxy/thread-messages.ts'
import { dataPlan, PlanSlots } from '../proxy/plan.ts'
import { configurationChanged, configurationRejected } from './configuration-entries.ts'
import { ConfigurationReader } from './configuration-reader.ts'

export class LiveConfiguration {
  readonly #gateway: RunningGateway
  readonly #reader: ConfigurationReader
  readonly slots = new PlanSlots()
  current: Config
  /** Where it came from. */
  loaded: Omit<Usable, 'ok'>
  loadedAt = new Date()
  lastRejected: { at: string; problems: Problem[] } | null = null
  capturing: boolean
  #changing: Promise<unknown> = Promise.resolve()

  constructor(gateway: RunningGateway, loaded: Omit<Usable, 'ok'>, worker: URL) {
    this.#gateway = gateway
    this.#reader = new ConfigurationReader({ worker, file: loaded.file, plugins: loaded.config.plugins })
    this.current = loaded.config
    this.loaded = loaded
    this.capturing = gateway.store.setting('capture_paused') !== true
  }

  /** What the data threads need of a configuration; throws a NamesSpentError. */
  plan(config: Config, slots = this.slots): DataPlan {
    const { store } = this.#gateway
    return dataPlan(config, {
      slots,
      capturing: this.capturing,
      descriptors: descriptorsMax(),
      taggedCollections: (handle) => store.tags.assigned(handle, 'collection'),
    })
  }

  /** Why a configuration needs more names than a process can count for; null when it does not. */
  slotsWanting(config: Config): string | null {
    try {
      // On a copy: what is refused, or only tried, takes none.
      this.plan(config, new PlanSlots(this.slots))
      return null
    } catch (error) {
      if (error instanceof NamesSpentError) return error.message
      throw error
    }
  }

  /** What only a running gateway can say of a configuration; it works all the same. */
  remarks(config: Config): string[] {
    const { store } = this.#gateway
    const tags = unknownTags(config, (handle) => store.tags.get(handle) !== undefined)
    return [...tags, ...descriptorWarnings(config, descriptorsMax())]
  }

  /** One change of the configuration after the other: each takes a generation of its own. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#changing.then(work)
    this.#changing = next.catch(() => {})
    return next
  }

  /** Whether the file as it is on disk, or a text in its place, could be the next configuration. */
  async check(text: string | null): Promise<Verdict> {
    const next = this.#next()
    const verdict = await this.#reader.check(text === null ? next : { ...next, text })
    return verdict.ok ? verdict : { ok: false, problems: verdict.problems.map(withAdvice) }
  }

  /** The file as it was when it was loaded, with these resources beside it. */
  loadWith(resources: readonly ApiResource[]): Promise<Loaded> {
    return this.#reader.load({ ...this.#next(), text: this.loaded.source.text, resources })
  }

  /** What the next configuration has besides the file. */
  #next(): { generation: number; resources: readonly ApiResource[] } {
    return { generation: this.current.generation + 1, resources: this.#gateway.book.list() }
  }

  /** Validated first, applied whole or not at all; answered once every thread has switched. */
  reload(actor: Actor): Promise<ReloadResult> {
    return this.inTurn(() => this.#reload(actor))
  }

  async #reload(actor: Actor): Promise<ReloadResult> {
    const { metrics, log, trail } = this.#gateway
    const { file } = this.#gateway.options
    const loaded = await this.#reader.load(this.#next())
    const problems = loaded.ok ? this.#cannotChange(loaded) : loaded.problems.map(withAdvice)
    if (!loaded.ok || problems.length > 0) return this.#reject(problems, { actor, file })
    const before = this.loaded
    await this.apply(loaded.config)
    this.took(loaded)
    this.lastRejected = null
    metrics.countReload('applied')
    const { generation, hash } = loaded.config
    log.info({ generation, hash }, 'configuration applied')
    const referenced = new Set([before, loaded].flatMap(({ source }) => [...referencedTexts(source)]))
    const read = { actor, file, referenced }
    await trail.record(...configurationChanged(before.config, loaded.config, read))
    const warnings = [...loaded.warnings.map(formatProblem), ...this.remarks(loaded.config)]
    return { ok: true, generation, hash, warnings }
  }

  /** Listeners, folders and counters belong to the process: a reload that wants others is refused. */
  #cannotChange({ config, file, places }: Usable): Problem[] {
    const wanting = this.slotsWanting(config)
    if (wanting !== null) return [{ file, line: 1, column: 1, path: '', message: wanting }]
    return changesOfFixedKeys(this.current, { config, file, places })
  }

  async #reject(
    problems: readonly Problem[],
    { actor, file }: { readonly actor: Actor; readonly file: string },
  ): Promise<ReloadResult> {
    const { metrics, log, trail, incidents } = this.#gateway
    this.lastRejected = { at: new Date().toISOString(), problems: [...problems] }
    metrics.countReload('rejected')
    const named = problems.map(formatProblem)
    log.error({ problems: named }, 'configuration rejected: the old one stays in force')
    incidents.rejected(file, named, actor)
    await trail.record(configurationRejected(problems, { actor, file }))
    return { ok: false, problems: [...problems] }
  }

  /**
   * Swaps the configuration; resolves once every thread has switched. `persist` is called when nothing else
   * can fail any more, and may still refuse.
   */
  async apply(config: Config, persist: () => Promise<unknown> = async () => {}): Promise<void> {
    const { deliveries, threads, secrets, incidents, log } = this.#gateway
    const plan = this.plan(config)
    await deliveries.prepare(config, this.slots)
    await persist()
    await threads.apply(plan)
    const before = this.current
    this.current = config
    secrets.configure(config.secrets)
    await deliveries.apply(config)
    incidents.loaded()
    if (before.logging.level !== config.logging.level) log.level = config.logging.level
  }

  /** Notes where the configuration in force came from. */
  took(loaded: Usable): void {
    this.loaded = loaded
    this.loadedAt = new Date()
  }

  /** Switches all capture on or off; false when it was so already. */
  setCapturing(capturing: boolean, happening: Happening): Promise<boolean> {
    return this.inTurn(async () => {
      if (this.capturing === capturing) return false
      const value = capturing ? null : true
      await this.#gateway.commit([{ type: 'setting', name: 'capture_paused', value }], happening)
      this.capturing = capturing
      await this.#applyAgain()
      return true
    })
  }

  /** Lets the mirrors that ask for one of these tags follow who bears it now. */
  followTags(handles: readonly string[]): Promise<void> {
    return this.inTurn(async () => {
      const { mirrors, streams } = this.current
      const asked = [...mirrors, ...streams].flatMap(({ match }) => match.tags)
      if (asked.some((tag) => handles.includes(tag))) await this.#applyAgain()
    })
  }

  /** What a plan is made of besides the configuration has changed. */
  #applyAgain(): Promise<void> {
    return this.apply({ ...this.current, generation: this.current.generation + 1 })
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}
