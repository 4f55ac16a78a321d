/** Secrets by reference, for who delivers: providers and cache as the configuration in force wants them. */
import type { SecretReference } from '../contract/secret-reference.ts'
import type { ProviderDefinition, SecretError } from '../contract/secrets.ts'
import { type CacheSettings, type Secret, SecretsCache } from './cache.ts'
import { Providers, type ProviderSettings, type ProviderView, type ReadCount } from './providers.ts'

export interface SecretsSettings {
  readonly providers: readonly ProviderSettings[]
  readonly cache: CacheSettings
}

export interface SecretsHost {
  /** A secret has another value than before. */
  changed(reference: SecretReference): void
  /** What came of each read; `usable`: the value that was read before can still be used. */
  succeeded(reference: SecretReference): void
  failed(reference: SecretReference, error: SecretError, usable: boolean): void
  /** What a provider holds may be another now: deliveries that wait for that can be tried. */
  mayHaveChanged(): void
}

/** What a delivery needs of secrets. */
export interface SecretSource {
  /** Throws a `SecretError`; returns within the time-out of the cache. */
  read(reference: SecretReference): Promise<Secret>
  /** The same, not from the cache, unless another delivery had it read since `usedAt`. */
  readAgain(reference: SecretReference, usedAt: number): Promise<Secret>
}

export class Secrets implements SecretSource {
  readonly #host: SecretsHost
  readonly #providers: Providers
  #cache: SecretsCache

  constructor(definitions: readonly ProviderDefinition[], settings: SecretsSettings, host: SecretsHost) {
    this.#host = host
    this.#providers = new Providers(definitions, (name) => {
      this.#cache.outdate(name)
      host.mayHaveChanged()
    })
    this.#cache = this.#createCache(settings.cache)
    this.#providers.configure(settings.providers)
  }

  configure({ providers, cache }: SecretsSettings): void {
    if (JSON.stringify(cache) !== JSON.stringify(this.#cache.settings)) {
      this.#cache.close()
      this.#cache = this.#createCache(cache)
    }
    this.#providers.configure(providers)
  }

  #createCache(settings: CacheSettings): SecretsCache {
    return new SecretsCache(settings, {
      read: (reference, signal, timeoutMs) => this.#providers.read(reference, signal, timeoutMs),
      changed: (reference) => this.#host.changed(reference),
      succeeded: (reference) => this.#host.succeeded(reference),
      failed: (reference, error, usable) => this.#host.failed(reference, error, usable),
    })
  }

  read(reference: SecretReference): Promise<Secret> {
    return this.#cache.read(reference)
  }

  readAgain(reference: SecretReference, usedAt: number): Promise<Secret> {
    return this.#cache.readAgain(reference, usedAt)
  }

  /** Forgets every value: the next delivery reads what it needs. */
  clear(): void {
    this.#cache.clear()
    this.#host.mayHaveChanged()
  }

  get entries(): number {
    return this.#cache.size
  }

  providers(): ProviderView[] {
    return this.#providers.views()
  }

  reads(): ReadCount[] {
    return this.#providers.reads()
  }

  async close(): Promise<void> {
    this.#cache.close()
    await this.#providers.close()
  }
}
