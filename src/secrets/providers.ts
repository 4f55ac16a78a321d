/** The providers in use: opened when they are first asked, kept over reloads that leave them as they are. */
import { limits } from '../contract/limits.ts'
import type { SecretReference } from '../contract/secret-reference.ts'
import { type ProviderDefinition, SecretError, type SecretProvider } from '../contract/secrets.ts'
import { OwnCredentials } from './own-credentials.ts'

export interface ProviderSettings {
  readonly name: string
  readonly provider: string
  readonly options: Readonly<Record<string, unknown>>
  /** Texts of `options` that hold references to secrets of this machine, as templates. */
  readonly templates?: Readonly<Record<string, string>>
}

/** How a provider is doing, for people. */
export interface ProviderView {
  name: string
  provider: string
  /** `unused` until it was asked for the first time. */
  state: 'unused' | 'ok' | 'failing'
  /** Since when; ISO 8601. */
  since: string | null
  last_error: string | null
}

/** What came of a read: `error` is a bug of the provider. */
export const readResults = ['ok', 'not_found', 'denied', 'unavailable', 'error'] as const
type ReadResult = (typeof readResults)[number]

export interface ReadCount {
  readonly provider: string
  readonly result: ReadResult
  readonly count: number
}

/** A provider as it was made from one state of its credentials. */
interface Instance {
  readonly provider: SecretProvider
  readonly unwatch: () => void
  reading: number
  /** Another one took its place: it ends with its last read. */
  replaced: boolean
}

interface Open {
  readonly settings: ProviderSettings
  readonly definition: ProviderDefinition
  /** What it was made from: another text is another provider. */
  readonly identity: string
  readonly credentials: OwnCredentials
  instance: Instance
  /** Its credentials are being looked at. */
  renewing: Promise<void> | null
  readonly counts: Map<ReadResult, number>
  state: ProviderView['state']
  since: number
  lastError: string | null
}

export class Providers {
  readonly #definitions: ReadonlyMap<string, ProviderDefinition>
  /** A provider says that its secrets may have changed, or is another one now. */
  readonly #changed: (name: string) => void
  readonly #open = new Map<string, Open>()

  constructor(definitions: readonly ProviderDefinition[], changed: (name: string) => void) {
    this.#definitions = new Map(definitions.map((definition) => [definition.name, definition]))
    this.#changed = changed
  }

  /** Opens what is new, closes what is gone or different. */
  configure(all: readonly ProviderSettings[]): void {
    const wanted = new Map(all.map((settings) => [settings.name, settings]))
    for (const [name, open] of this.#open) {
      const settings = wanted.get(name)
      if (settings !== undefined && JSON.stringify(settings) === open.identity) continue
      this.#open.delete(name)
      end(open.instance)
      this.#changed(name)
    }
    for (const [name, settings] of wanted) {
      if (!this.#open.has(name)) this.#open.set(name, this.#create(settings))
    }
  }

  #create(settings: ProviderSettings): Open {
    const definition = this.#definitions.get(settings.provider)
    if (definition === undefined) throw new Error(`provider ${settings.provider} is not known`)
    const { name, options, templates = {} } = settings
    const readLocal = (reference: SecretReference): Promise<string> => this.#readLocal(reference)
    return {
      settings,
      definition,
      identity: JSON.stringify(settings),
      credentials: new OwnCredentials({ options, templates, definition, readLocal }),
      instance: this.#instance(name, definition, options),
      renewing: null,
      counts: new Map(),
      state: 'unused',
      since: 0,
      lastError: null,
    }
  }

  #instance(name: string, definition: ProviderDefinition, options: ProviderSettings['options']): Instance {
    const provider = opened(definition, options)
    const unwatch = provider.watch?.(() => this.#tell(name)) ?? (() => {})
    return { provider, unwatch, reading: 0, replaced: false }
  }

  /** What a provider holds may be another now, and with it what other providers sign in with. */
  #tell(name: string): void {
    this.#changed(name)
    for (const { settings, credentials } of this.#open.values())
      if (credentials.comesFrom(name)) this.#changed(settings.name)
  }

  async #readLocal(reference: SecretReference): Promise<string> {
    const open = this.#open.get(reference.provider)
    if (open?.definition.local !== true) throw new SecretError('unavailable', 'it is not of this machine')
    return open.instance.provider.read(reference, AbortSignal.timeout(limits.secret_load_ms))
  }

  /** Makes a provider anew when what it signs in with is another now; reads join a look on its way. */
  #renew(open: Open): Promise<void> {
    open.renewing ??= this.#look(open).finally(() => {
      open.renewing = null
    })
    return open.renewing
  }

  async #look(open: Open): Promise<void> {
    const { settings, definition, credentials } = open
    if (!(await credentials.look()) || this.#open.get(settings.name) !== open) return
    const before = open.instance
    open.instance = this.#instance(settings.name, definition, credentials.options)
    before.replaced = true
    if (before.reading === 0) await end(before)
  }

  /** The value; throws a `SecretError`, whatever the provider throws. */
  async read(reference: SecretReference, signal: AbortSignal, timeoutMs: number): Promise<string> {
    const open = this.#open.get(reference.provider)
    if (open === undefined)
      throw new SecretError('unavailable', `there is no provider ${reference.provider} any more`)
    const patience = AbortSignal.timeout(timeoutMs)
    const either = AbortSignal.any([signal, patience])
    try {
      const value = await Promise.race([this.#read(open, reference, either), aborted(either)])
      note(open, 'ok', null)
      return value
    } catch (error) {
      // Who cleared the cache did not find out anything about the provider.
      if (signal.aborted) throw new SecretError('unavailable', 'the read was given up')
      const failure = patience.aborted
        ? new SecretError('unavailable', `it did not answer within ${timeoutMs} ms`)
        : failureOf(error)
      note(open, error instanceof SecretError || patience.aborted ? failure.kind : 'error', failure)
      throw failure
    }
  }

  /** Once more when it was refused and its credentials turn out to be others meanwhile. */
  async #read(open: Open, reference: SecretReference, signal: AbortSignal): Promise<string> {
    await this.#renew(open)
    const { instance } = open
    try {
      return await readFrom(instance, reference, signal)
    } catch (error) {
      if (!(error instanceof SecretError && error.kind === 'denied')) throw error
      await this.#renew(open)
      if (open.instance === instance) throw error
      return await readFrom(open.instance, reference, signal)
    }
  }

  views(): ProviderView[] {
    return [...this.#open.values()].map(({ settings: { name, provider }, state, since, lastError }) => ({
      name,
      provider,
      state,
      since: state === 'unused' ? null : new Date(since).toISOString(),
      last_error: lastError,
    }))
  }

  reads(): ReadCount[] {
    return [...this.#open.values()].flatMap(({ settings, counts }) =>
      readResults.map((result) => ({ provider: settings.name, result, count: counts.get(result) ?? 0 })),
    )
  }

  async close(): Promise<void> {
    const all = [...this.#open.values()]
    this.#open.clear()
    await Promise.all(all.map(({ instance }) => end(instance)))
  }
}

/** One that cannot be made stops nothing but its own reads. */
function opened(definition: ProviderDefinition, options: ProviderSettings['options']): SecretProvider {
  try {
    return definition.create(options as Parameters<typeof definition.create>[0])
  } catch (error) {
    const failure = failureOf(error)
    return { read: () => Promise.reject(failure), close: () => {} }
  }
}

async function readFrom(
  instance: Instance,
  reference: SecretReference,
  signal: AbortSignal,
): Promise<string> {
  instance.reading += 1
  try {
    return await instance.provider.read(reference, signal)
  } finally {
    instance.reading -= 1
    if (instance.replaced && instance.reading === 0) await end(instance)
  }
}

async function end({ provider, unwatch }: Instance): Promise<void> {
  unwatch()
  try {
    await provider.close()
  } catch {
    // Nobody needs it any more.
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

/** What was not thrown on purpose may quote the value: only its kind is told. */
function failureOf(error: unknown): SecretError {
  if (error instanceof SecretError) return error
  const name = error instanceof Error ? error.name : typeof error
  return new SecretError('unavailable', `the provider threw ${name}, which is a bug of it`, {
    cause: error,
  })
}

function note(open: Open, result: ReadResult, failure: SecretError | null): void {
  open.counts.set(result, (open.counts.get(result) ?? 0) + 1)
  // A secret that is not there says that its provider is.
  const state = result === 'ok' || result === 'not_found' ? 'ok' : 'failing'
  if (state !== open.state) open.since = Date.now()
  open.state = state
  open.lastError = state === 'ok' ? null : (failure?.message.slice(0, limits.answer_kept_bytes) ?? null)
}
