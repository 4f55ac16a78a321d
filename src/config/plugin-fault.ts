/** What is wrong with a plugin outside the tree, as it may be shown: bounded, without secrets. */
import type { Environment } from './references.ts'

/** Its message is the rule that a plugin breaks. */
export class PluginFault extends Error {
  override readonly name = 'PluginFault'
  /** Where and how, if the rule does not say it all. */
  readonly detail: string

  constructor(rule: string, detail = '') {
    super(rule)
    this.detail = detail
  }
}

const SHOWN_CHARS = 200
/** A shorter text is found in others by chance. */
const SECRET_CHARS_MIN = 4
const secretName = /token|secret|pass|key|credential|auth/i

/** Values of the environment that a plugin may have read as secrets: by their names, or named in the file. */
export function secretsOf(environment: Environment, text: string): string[] {
  const named = new Set([...text.matchAll(/\$\{env:([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, name]) => name))
  return Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && (secretName.test(name) || named.has(name)) ? [value] : [],
  )
}

/** The first line of what was thrown. */
export function faultText(error: unknown, secrets: readonly string[]): string {
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const line = said.split(/[\r\n]/, 1)[0] ?? ''
  const found = secrets
    .filter((secret) => secret.length >= SECRET_CHARS_MIN)
    .sort((a, b) => b.length - a.length)
  const covered = found
    .reduce((rest, secret) => rest.replaceAll(secret, '***'), line)
    .replaceAll(/\/\/[^/?#\s]*@/g, '//***@')
    .replaceAll(/(:\/\/[^?\s:]*(?::(?!\/\/)[^?\s:]*)*)\?\S*/g, '$1?***')
    .replaceAll(/\p{Cc}/gu, ' ')
  const characters = [...covered]
  return characters.length > SHOWN_CHARS ? `${characters.slice(0, SHOWN_CHARS).join('')}…` : covered
}
