/** The providers of secrets that a file names, known before the file is validated: references need them. */
import { resolve } from 'node:path'
import { limits } from '../contract/limits.ts'
import { nearest } from '../contract/nearest.ts'
import type { SecretReference } from '../contract/secret-reference.ts'
import { type ProviderDefinition, SecretError, type SecretProvider } from '../contract/secrets.ts'
import { isSection } from './validate.ts'
import { validProvider } from './validate-providers.ts'
import { show } from './wording.ts'

/** The provider that is there without being named, under this name. */
export const IMPLICIT = 'env'

interface Named {
  readonly name: string
  readonly entry: Readonly<Record<string, unknown>>
  readonly definition: ProviderDefinition | undefined
}

export interface ProviderNamesInput {
  readonly tree: unknown
  readonly definitions: readonly ProviderDefinition[]
  /** Folder that relative paths start from. */
  readonly folder: string
  /** Replaces `${env:NAME}` in an option. */
  readonly fill: (text: string) => string
}

export class NamedProviders {
  readonly #input: ProviderNamesInput
  readonly #named: readonly Named[]
  /** The provider of Workato's forms as the file names it. */
  readonly #workato: string | null

  constructor(input: ProviderNamesInput) {
    this.#input = input
    const { tree, definitions } = input
    const secrets = isSection(tree) && isSection(tree['secrets']) ? tree['secrets'] : {}
    const entries: unknown[] = Array.isArray(secrets['providers']) ? secrets['providers'] : []
    const named = entries.filter(isSection).flatMap((entry) => {
      const { name, provider } = entry
      const definition = definitions.find((one) => one.name === provider)
      return typeof name === 'string' ? [{ name, entry, definition }] : []
    })
    const implicit = definitions.find(({ name }) => name === IMPLICIT)
    const taken = named.some(({ name }) => name === IMPLICIT)
    const added = { name: IMPLICIT, entry: { name: IMPLICIT, provider: IMPLICIT }, definition: implicit }
    this.#workato = typeof secrets['workato'] === 'string' ? input.fill(secrets['workato']) : null
    this.#named = implicit === undefined || taken ? named : [...named, added]
  }

  /** What is wrong with naming a provider; null when the file has it. */
  unknown(name: string): string | null {
    const names = this.#named.map((one) => one.name)
    if (names.includes(name)) return null
    const guess = nearest(name, names)
    const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
    return `must name a provider of secrets.providers, got ${show(name)}${hint}`
  }

  /** What stands behind `{{workato:`, up to the closing braces. */
  workato(text: string, closed: boolean): SecretReference | { readonly rule: string } {
    const name = /^sm:(.+)$/s.exec(text)?.[1]?.trim()
    if (name === undefined || !closed) return { rule: 'a Workato reference must be {{workato:sm:…}}' }
    const own = this.#named.filter(
      ({ entry }) => entry['name'] !== IMPLICIT || entry['provider'] !== IMPLICIT,
    )
    const chosen = this.#workato ?? (own.length === 1 ? (own[0] as Named).name : null)
    if (chosen === null)
      return { rule: '{{workato:sm:…}} needs secrets.workato to name the provider that reads it' }
    const unknown = this.unknown(chosen)
    // Told where secrets.workato stands.
    if (unknown !== null) return { rule: `{{workato:sm:…}} ${unknown}` }
    const definition = this.#named.find((one) => one.name === chosen)?.definition
    if (definition === undefined) return { provider: chosen, path: name, key: null }
    const read = definition.workato(name)
    if ('rule' in read) return { rule: `{{workato:sm:…}} ${read.rule}, got ${show(`{{workato:${text}}}`)}` }
    if (/[#}]/.test(read.path) || read.key?.includes('}'))
      return { rule: `{{workato:sm:…}} must not hold # or }, got ${show(`{{workato:${text}}}`)}` }
    return { provider: chosen, ...read }
  }

  /** A secret of this machine; a null rule where the provider itself is wrong, which is told elsewhere. */
  async readLocal(
    reference: SecretReference,
  ): Promise<{ readonly value: string } | { readonly rule: string | null }> {
    const named = this.#named.find(({ name }) => name === reference.provider)
    if (named?.definition === undefined) return { rule: null }
    if (named.definition.local !== true)
      return { rule: `secrets of ${named.definition.name} can stand in connections only` }
    const provider = this.#open(named, named.definition)
    if (provider === null) return { rule: null }
    try {
      return { value: await provider.read(reference, AbortSignal.timeout(limits.secret_load_ms)) }
    } catch (error) {
      // Anything else thrown may quote the value.
      return { rule: error instanceof SecretError ? error.message : 'it cannot be read' }
    } finally {
      await provider.close()
    }
  }

  #open({ entry }: Named, definition: ProviderDefinition): SecretProvider | null {
    const { folder, fill } = this.#input
    const filled = Object.entries(entry).map(([key, value]) => [
      key,
      typeof value === 'string' ? fill(value) : structuredClone(value),
    ])
    const options = validProvider(Object.fromEntries(filled) as Record<string, unknown>, definition)
    return options === null ? null : definition.create(withPaths(options, definition, folder))
  }
}

/** Options with their paths made absolute. */
export function withPaths(
  options: Readonly<Record<string, unknown>>,
  { pathOptions = [] }: ProviderDefinition,
  folder: string,
): Record<string, unknown> {
  const made = { ...options }
  for (const key of pathOptions) {
    const path = made[key]
    if (typeof path === 'string') made[key] = resolve(folder, path)
  }
  return made
}
