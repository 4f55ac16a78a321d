/**
 * What a secrets provider is: it reads one secret from where people keep them. The host owns caching, single
 * flight, time-outs and what happens when it fails.
 */
import type { Static, TObject } from 'typebox'

/** A secret as a reference names it: `${secret:PROVIDER:PATH#KEY}`; no `#KEY` = the whole value. */
export interface SecretName {
  readonly path: string
  readonly key: string | null
}

/**
 * `not_found`: the place answers, and holds no such secret or key. `denied`: it refuses us. `unavailable`: no
 * useful answer; a later try may succeed.
 */
export type SecretFailure = 'not_found' | 'denied' | 'unavailable'

/** What a provider throws on purpose; its message never holds a value, and says what a person can check. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
  readonly kind: SecretFailure

  constructor(kind: SecretFailure, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.kind = kind
  }
}

export interface SecretProvider {
  /** The value as text. Throws a `SecretError`; anything else is a bug. Ends soon after `signal` aborts. */
  read(name: SecretName, signal: AbortSignal): Promise<string>
  /** Calls `changed` when a secret may have changed; returns how to stop. Only where the place can tell. */
  watch?(changed: () => void): () => void
  close(): void | Promise<void>
}

export interface ProviderDefinition<Options extends TObject = TObject> {
  readonly name: string
  /** One sentence for the reference page. */
  readonly summary: string
  /** Keys that stand beside `name` and `provider`; unknown keys are refused. */
  readonly options: Options
  /** Names of options that hold credentials: they are resolved from references and never shown. */
  readonly secretOptions: readonly string[]
  /** Names of options that are files or folders: relative ones start from the folder of gateway.yaml. */
  readonly pathOptions?: readonly string[]
  /** What options lack that fit the schema one by one: said by `check`. */
  rule?(options: Static<Options>): string | null
  /**
   * It reads from this machine alone, so references to it may stand anywhere in gateway.yaml: where no
   * delivery would resolve them, they are read when the file is.
   */
  readonly local?: true
  /**
   * What stands behind `{{workato:sm:` in this provider's form, without the closing braces: the name, or the
   * rule that it breaks.
   */
  workato(text: string): SecretName | { readonly rule: string }
  /** Opens nothing that a later failure would leak; the first connection is made by the first `read`. */
  create(options: Static<Options>): SecretProvider
}

export function defineProvider<Options extends TObject>(
  definition: ProviderDefinition<Options>,
): ProviderDefinition<Options> {
  return Object.freeze(definition)
}
