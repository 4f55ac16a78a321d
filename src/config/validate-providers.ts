/** The schema step for providers of secrets: each by the schema of its kind. */
import { nearest } from '../contract/nearest.ts'
import type { ProviderDefinition } from '../contract/secrets.ts'
import { type Validator, validatorOf } from './ajv.ts'
import { pointerTo } from './places.ts'
import { openProviderSchema, providerSchema } from './provider-schema.ts'
import type { SchemaFinding } from './schema-wording.ts'
import { show } from './wording.ts'

const compiled = new WeakMap<ProviderDefinition, Validator>()
let open: Validator | null = null

/** A validator that fills defaults in. */
export function providerValidator(definition: ProviderDefinition | undefined): Validator {
  if (definition === undefined) {
    open ??= validatorOf(openProviderSchema())
    return open
  }
  const known = compiled.get(definition)
  if (known !== undefined) return known
  const validator = validatorOf(providerSchema(definition))
  compiled.set(definition, validator)
  return validator
}

/** The provider's own keys with their defaults; null when something is wrong with them. */
export function validProvider(
  entry: Record<string, unknown>,
  definition: ProviderDefinition,
): Record<string, unknown> | null {
  const errors = providerValidator(definition)(entry)
  return errors.length === 0 ? providerOptions(entry, definition) : null
}

export function providerOptions(
  entry: Readonly<Record<string, unknown>>,
  definition: ProviderDefinition,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([key]) => key in definition.options.properties))
}

interface ListedProvider {
  readonly entry: Record<string, unknown>
  readonly pointer: string
}

/** Providers that are sections, with their place. */
export function providersOf(tree: unknown): ListedProvider[] {
  const secrets = (tree as { secrets?: { providers?: unknown } | null } | null | undefined)?.secrets
  const providers = secrets?.providers
  if (!Array.isArray(providers)) return []
  return providers.flatMap((entry: unknown, index) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? [{ entry: entry as Record<string, unknown>, pointer: pointerTo('/secrets/providers', index) }]
      : [],
  )
}

export function unknownProviders(tree: unknown, definitions: readonly ProviderDefinition[]): SchemaFinding[] {
  const names = definitions.map(({ name }) => name)
  return providersOf(tree).flatMap(({ entry, pointer }) => {
    const { provider } = entry
    if (typeof provider !== 'string' || provider === '' || names.includes(provider)) return []
    const guess = nearest(provider, names)
    const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
    const message = `must be one of ${names.join(', ')}, got ${show(provider)}${hint}`
    const at = pointerTo(pointer, 'provider')
    return [{ pointer: at, atKey: false, breaks: true, guessed: false, message }]
  })
}
