/** The providers in use: opened when they are first asked, kept over reloads that leave them as they are. */
import { limits } from '../contract/limits.ts'
import type { SecretReference } from '../contract/secret-reference.ts'
import { type ProviderDefinition, SecretError, type SecretProvider } from '../contract/secrets.ts'

export interface ProviderSettings {
  readonly name: string
  readonly provider: string
  readonly options: Readonly<Record<string, unknown>>
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

interface Open {
  readonly settings: ProviderSettings
  /** What it was made from: another text is another provider. */
  readonly identity: string
  readonly provider: SecretProvider
  readonly unwatch: () => void
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
      end(open)
      this.#changed(name)
    }
    for (const [name, settings] of wanted) {
      if (!this.#open.has(name)) this.#open.set(name, this.#create(settings))
    }
  }

  #create(settings: ProviderSettings): Open {
    const definition = this.#definitions.get(settings.provider)
    if (definition === undefined) throw new Error(`provider ${settings.provider} is not known`)
    const provider = opened(definition, settings.options)
    return {
      settings,
      identity: JSON.stringify(settings),
      provider,
      unwatch: provider.watch?.(() => this.#changed(settings.name)) ?? (() => {}),
      counts: new Map(),
      state: 'unused',
      since: 0,
      lastError: null,
    }
  }

  /** The value; throws a `SecretError`, whatever the provider throws. */
  async read(reference: SecretReference, signal: AbortSignal, timeoutMs: number): Promise<string> {
    const open = this.#open.get(reference.provider)
    if (open === undefined)
      throw new SecretError('unavailable', `there is no provider ${reference.provider} any more`)
    const patience = AbortSignal.timeout(timeoutMs)
    const either = AbortSignal.any([signal, patience])
    try {
      const value = await Promise.race([open.provider.read(reference, either), aborted(either)])
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
    await Promise.all(all.map(end))
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

async function end({ provider, unwatch }: Open): Promise<void> {
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
