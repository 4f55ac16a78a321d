/**
 * What a plugin sees: the sink contract. Published as `mirrorgate/plugin`; nothing here imports the core.
 *
 * The host owns connecting, retries, back-off, batching, time-outs, concurrency, compression, counters and
 * metrics. A sink only writes one batch.
 */
import type { Static, TObject } from 'typebox'
import type { OutcomeError } from './errors.ts'

export type { Static } from 'typebox'
export { Type } from './schema.ts'
export { aktoBatch, harLines, harLog, intoJsonArray, jsonArray } from './envelopes.ts'
export { OutcomeError } from './errors.ts'
export { eventLines, eventStatus, eventTime } from './event-lines.ts'
export type { EventLine } from './event-lines.ts'
export { type Meanings, serviceRefusal } from './answer.ts'
export {
  bytesOf,
  objectKeyRule,
  objectLimits,
  type ObjectFile,
  objectOptions,
  uploadObjects,
  wrappedOutcome,
} from './object-files.ts'
export { defineProvider, SecretError } from './secrets.ts'
export { secretObject, secretText, secretValue } from './secret-value.ts'
export {
  answerFailure,
  answerObject,
  createSecretsHttp,
  untilAborted,
  wrappedSecretError,
} from './secrets-http.ts'
export type { SecretsHttp } from './secrets-http.ts'
export { SignIn } from './secrets-sign-in.ts'
export type { ProviderDefinition, SecretName, SecretProvider } from './secrets.ts'

/** Which half of an exchange the items of a leg carry. */
export type Half = 'request' | 'response' | 'exchange'

/** One delivery queue of a mirror. Names are fixed per sink: they are folder names and metric labels. */
export interface LegSpec {
  readonly name: string
  readonly half: Half
  /** Where it goes, for people: shown by the admin port. Never holds a secret. */
  readonly url: string
}

/** A run of items on its way to one destination. */
export interface Batch {
  /** Opaque; the same on every retry of this batch, also after a crash. */
  readonly id: string
  readonly mirror: string
  readonly leg: string
  readonly items: number
  /**
   * Items as NDJSON: one JSON object and a newline each; UTF-8. Lent until `write` settles: then the memory
   * is used for another batch, so what is kept longer must be copied.
   */
  readonly ndjson: Buffer
}

export interface HttpAnswer {
  readonly status: number
  /** At most `limits.answer_read_bytes` of the body, as text. */
  readonly text: string
}

/** One request as an SDK made it. */
export interface SinkRequest {
  readonly method: string
  /** Absolute. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | string | null
}

export interface SinkResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** At most `limits.answer_read_bytes`. */
  readonly body: Buffer
}

/** HTTP client bound to the mirror's connection: base URL, header authentication, TLS, proxy. */
export interface SinkHttp {
  /**
   * POSTs a body. Resolves on 2xx; otherwise throws the `OutcomeError` that belongs to the status or network
   * error. `url` is absolute, or a path under the connection's base URL. Compresses as the mirror says. With
   * `batch`, sends `x-mirrorgate-batch-id` and `x-mirrorgate-items`.
   */
  post(
    url: string,
    request: { body: Buffer; headers?: Readonly<Record<string, string>>; batch?: Batch },
    signal: AbortSignal,
  ): Promise<HttpAnswer>
  /**
   * The transport of an SDK: sends its request as it is, through the TLS settings and the proxy of the
   * connection; follows no redirect. Resolves with any answer; throws an `OutcomeError` when none came.
   */
  send(request: SinkRequest, signal: AbortSignal): Promise<SinkResponse>
}

export interface SinkContext<Options> {
  readonly mirror: string
  readonly options: Options
  /** What the mirror set as `format`, or the first of the sink's formats. */
  readonly format: string
  /** As the mirror says; `http.post` compresses by itself. */
  readonly compression: 'none' | 'gzip' | 'zstd'
  /** The gateway that sends. */
  readonly origin: { readonly environment: string; readonly workspaceId: number }
  readonly http: SinkHttp
}

export interface Sink {
  /**
   * Resolves when the destination has accepted the whole batch. Throws an `OutcomeError` to say what the leg
   * does next; anything else thrown is a bug in the plugin. Must end soon after `signal` aborts. May be
   * called concurrently, up to the mirror's `concurrency`.
   */
  write(batch: Batch, signal: AbortSignal): Promise<void>
  /** Frees what `create` opened. Idempotent. */
  close(): void | Promise<void>
}

/** What the destination itself allows; `check` refuses a mirror whose batch limits are above it. */
export interface SinkLimits {
  readonly batch_bytes: number
  readonly batch_items: number
  readonly item_bytes: number
}

export interface SinkDefinition<Options extends TObject = TObject> {
  readonly name: string
  /** One sentence for the reference page. */
  readonly summary: string
  /** Keys that stand beside the common ones of a mirror; unknown keys are refused. */
  readonly options: Options
  /** Accepted values of `format`, the default first; item formats the recorder knows. */
  readonly formats: readonly ItemFormat[]
  /** Names of options that hold URLs: each must be absolute, or a path under the connection's base URL. */
  readonly urls: readonly string[]
  readonly limits: SinkLimits
  /**
   * It signs in by its own options: of a connection it takes how to connect (`tls`, `proxy_url`); one that
   * has more is refused.
   */
  readonly signsIn?: true
  /** What no schema can say: an option, and the rule that it breaks. Templates of secrets may stand in it. */
  rule?(options: Static<Options>): { readonly key: string; readonly rule: string } | null
  /** The legs of a mirror, from its options. */
  legs(options: Static<Options>): readonly LegSpec[]
  /** May open things, and must undo that if it fails. */
  create(context: SinkContext<Static<Options>>): Sink | Promise<Sink>
}

/**
 * How the recorder writes an item: `pair` = one half per item, `exchange` and `ndjson` = both halves in one
 * item, `har` and `akto` = the same as an entry of HAR 1.2 or a record of Akto, `template` = whatever JSON
 * the mirror's `template` makes of it.
 */
export type ItemFormat = 'pair' | 'exchange' | 'ndjson' | 'har' | 'akto' | 'template'

export function defineSink<Options extends TObject>(
  definition: SinkDefinition<Options>,
): SinkDefinition<Options> {
  return Object.freeze(definition)
}

/** A URL for people: without user, password, query and fragment, any of which may hold a secret. */
export function publicUrl(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1').replace(/[?#].*$/s, '')
}

/** Type of what `write` throws on purpose. */
export type WriteError = OutcomeError
