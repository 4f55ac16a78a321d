/**
 * What a provider signs in with itself, where that stands in files of this machine: a mounted token, a key
 * file, an authority. They may be replaced while the gateway runs, so they are looked at again.
 */
import { stat } from 'node:fs/promises'
import {
  fillTemplate,
  referencesOf,
  referenceText,
  type SecretReference,
} from '../contract/secret-reference.ts'
import type { ProviderDefinition } from '../contract/secrets.ts'

type Options = Readonly<Record<string, unknown>>

interface OwnCredentialsInput {
  /** As they were when gateway.yaml was read. */
  readonly options: Options
  /** Those of them that hold references to secrets of this machine, as templates. */
  readonly templates: Readonly<Record<string, string>>
  readonly definition: ProviderDefinition
  readonly readLocal: (reference: SecretReference) => Promise<string>
}

export class OwnCredentials {
  readonly #input: OwnCredentialsInput
  readonly #files: readonly string[]
  /** What tells one content of a file from another, by path; none until they were looked at once. */
  readonly #stamps = new Map<string, string>()
  options: Options

  constructor(input: OwnCredentialsInput) {
    const { options, definition } = input
    this.#input = input
    this.options = options
    // What reads this machine alone has a folder there, and looks at it with every read.
    const paths = definition.local === true ? [] : (definition.pathOptions ?? [])
    this.#files = paths.map((key) => options[key]).filter((path) => typeof path === 'string')
  }

  /** Whether one of them comes from a provider. */
  comesFrom(provider: string): boolean {
    const templates = Object.values(this.#input.templates)
    return templates.some((template) => referencesOf(template).some((one) => one.provider === provider))
  }

  /** Looks at them again; true when they are others than before. What cannot be read stays as it was. */
  async look(): Promise<boolean> {
    const [files, texts] = await Promise.all([this.#lookAtFiles(), this.#lookAtTexts()])
    return files || texts
  }

  async #lookAtFiles(): Promise<boolean> {
    let changed = false
    for (const file of this.#files) {
      const stamp = await stampOf(file)
      const before = this.#stamps.get(file)
      if (stamp === null || stamp === before) continue
      this.#stamps.set(file, stamp)
      // The provider opens them with its first read: what was never looked at was never used.
      changed ||= before !== undefined
    }
    return changed
  }

  async #lookAtTexts(): Promise<boolean> {
    const { templates, definition } = this.#input
    const filled = await Promise.all(
      Object.entries(templates).map(async ([key, template]) => [key, await this.#fill(template)] as const),
    )
    const texts = filled.filter(([key, text]) => text !== null && text !== this.options[key])
    if (texts.length === 0) return false
    const options = { ...this.options, ...Object.fromEntries(texts) }
    if ((definition.rule?.(options) ?? null) !== null) return false
    this.options = options
    return true
  }

  async #fill(template: string): Promise<string | null> {
    const values = new Map<string, string>()
    try {
      for (const reference of referencesOf(template))
        values.set(referenceText(reference), await this.#input.readLocal(reference))
    } catch {
      return null
    }
    return fillTemplate(template, (reference) => values.get(referenceText(reference)) ?? '')
  }
}

/** Null for what is no file, or cannot be looked at. */
async function stampOf(file: string): Promise<string | null> {
  try {
    const found = await stat(file)
    return found.isFile() ? [found.dev, found.ino, found.size, found.mtimeMs].join(':') : null
  } catch {
    return null
  }
}
