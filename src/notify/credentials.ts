/** The settings of a channel with the values of secrets in the place of their references. */
import {
  fillTemplate,
  referencesOf,
  referenceText,
  type SecretReference,
} from '../contract/secret-reference.ts'
import { SecretError } from '../contract/secrets.ts'
import type { Secret } from '../secrets/cache.ts'
import type { SecretSource } from '../secrets/secrets.ts'
import { ChannelError } from './outbox.ts'

/** Texts by name; those that are templates are named by `templates`. */
export interface Filled {
  readonly texts: Readonly<Record<string, string>>
  /** What must not appear in any text for people. */
  readonly secrets: readonly string[]
}

/** Reads what a channel needs, once; `again` reads it past the cache, after it was refused. */
export class ChannelCredentials {
  readonly #secrets: SecretSource
  #usedAt = new Map<string, number>()

  constructor(secrets: SecretSource) {
    this.#secrets = secrets
  }

  fill(texts: Readonly<Record<string, string>>, templates: ReadonlySet<string>): Promise<Filled> {
    return this.#fill(texts, templates, (reference) => this.#secrets.read(reference))
  }

  again(texts: Readonly<Record<string, string>>, templates: ReadonlySet<string>): Promise<Filled> {
    return this.#fill(texts, templates, (reference) =>
      this.#secrets.readAgain(reference, this.#usedAt.get(referenceText(reference)) ?? 0),
    )
  }

  async #fill(
    texts: Readonly<Record<string, string>>,
    templates: ReadonlySet<string>,
    read: (reference: SecretReference) => Promise<Secret>,
  ): Promise<Filled> {
    const values = new Map<string, string>()
    const usedAt = new Map<string, number>()
    for (const [name, text] of Object.entries(texts)) {
      for (const reference of templates.has(name) ? referencesOf(text) : []) {
        const key = referenceText(reference)
        const { value, readAt } = await read(reference).catch((error: unknown) => {
          const reason = error instanceof SecretError ? `${error.kind}: ${error.message}` : 'unavailable'
          throw new ChannelError('channel', `reading ${key}: ${reason}`)
        })
        values.set(key, value)
        usedAt.set(key, readAt)
      }
    }
    this.#usedAt = usedAt
    const valueOf = (reference: SecretReference) => values.get(referenceText(reference)) ?? ''
    const filled = Object.entries(texts).map(([name, text]): [string, string] => [
      name,
      templates.has(name) ? fillTemplate(text, valueOf) : text,
    ])
    return { texts: Object.fromEntries(filled), secrets: [...values.values()] }
  }
}
