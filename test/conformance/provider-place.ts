/** A place of secrets for the suite of providers: what a test arranges, and a provider that reads from it. */
import { inspect } from 'node:util'
import { Ajv } from 'ajv'
import type { Static, TObject } from 'typebox'
import { afterEach, beforeEach, expect } from 'vitest'
import {
  type ProviderDefinition,
  SecretError,
  type SecretName,
  type SecretProvider,
} from '../../src/contract/secrets.ts'
import type { Behaviour } from './collector.ts'

/** A rule that does not apply, and why. */
interface OptOut {
  readonly because: string
}

/** The place that a provider reads from, as a test arranges it. */
export interface SecretsPlace<Options> {
  /** The provider's own keys, to reach this place; defaults are filled in. */
  readonly options: Options
  /** Stores a secret: the JSON object of these fields. */
  put(path: string, fields: Readonly<Record<string, unknown>>): void
  /** Refuses to show one. */
  readonly deny: ((path: string) => void) | OptOut
  /** What every request gets instead of its answer; null = the place behaves again. */
  readonly behave: ((behaviour: Behaviour | null) => void) | OptOut
  close(): Promise<void> | void
}

export interface ProviderConformance<Options extends TObject> {
  readonly definition: ProviderDefinition<Options>
  start(): Promise<SecretsPlace<Static<Options>>> | SecretsPlace<Static<Options>>
  /** A path that the place can hold, different for each name (letters and digits). */
  path(name: string): string
  /** What stands behind `{{workato:sm:`, and the name that it means; and texts that mean none. */
  readonly workato: {
    readonly good: readonly (readonly [string, SecretName])[]
    readonly bad: readonly string[]
  }
}

/** A value that nothing may show. */
export const canary = 'canary-5f1d-never-shown'
export const never = new AbortController().signal

interface Open<Options> {
  readonly place: SecretsPlace<Options>
  readonly provider: SecretProvider
  /** Texts that no error may hold. */
  readonly secrets: readonly string[]
}

/** A place and a provider for each test, closed after it. */
export function opened<Options extends TObject>(
  about: ProviderConformance<Options>,
): () => Open<Static<Options>> {
  let open: Open<Static<Options>>
  const validate = new Ajv({ strict: false, useDefaults: true }).compile(about.definition.options)
  beforeEach(async () => {
    const place = await about.start()
    const options = structuredClone(place.options) as Record<string, unknown>
    validate(options)
    const own = about.definition.secretOptions.flatMap((key) => (options[key] ? [String(options[key])] : []))
    const provider = about.definition.create(options as Static<Options>)
    open = { place, provider, secrets: [canary, ...own] }
  })
  afterEach(async () => {
    await open.provider.close()
    await open.place.close()
  })
  return () => open
}

/** A read that must fail on purpose, and without showing anything. */
export async function failureOf({ secrets }: Pick<Open<unknown>, 'secrets'>, reading: Promise<string>) {
  const thrown = await reading.then(
    () => null,
    (error: unknown) => error,
  )
  expect(thrown, 'the read must fail with a SecretError').toBeInstanceOf(SecretError)
  const error = thrown as SecretError
  const shown = inspect(error, { depth: 12, showHidden: true })
  for (const secret of secrets) expect(shown).not.toContain(secret)
  expect(error.message).toMatch(/\w/)
  expect(error.message).not.toMatch(/\.$|\n/)
  return error
}
