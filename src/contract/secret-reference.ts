/**
 * References to secrets in texts: `${secret:PROVIDER:PATH#KEY}`. A text that holds some is kept as a template
 * until a delivery needs its values; in a template, `${$}` stands for a literal `$`.
 */

export interface SecretReference {
  readonly provider: string
  readonly path: string
  /** Null: the whole value. */
  readonly key: string | null
}

/** What stands between `${` and `}`; null when it is no reference to a secret. */
export function parseReference(inner: string): SecretReference | null {
  const [, provider, path, key = null] = /^secret:([^:#]+):([^#]+)(?:#(.+))?$/s.exec(inner) ?? []
  return provider === undefined || path === undefined ? null : { provider, path, key }
}

export function referenceText({ provider, path, key }: SecretReference): string {
  return `\${secret:${provider}:${path}${key === null ? '' : `#${key}`}}`
}

/** A template of literal texts and references. */
export function templateOf(parts: readonly (string | SecretReference)[]): string {
  return parts
    .map((part) => (typeof part === 'string' ? part.replaceAll('$', () => '${$}') : referenceText(part)))
    .join('')
}

/** In a template all are closed; the end stands here so that a search goes over any text only once. */
const piece = /\$\{([^}]*)(?:\}|$)/g

/** The references in a template, in their order. */
export function referencesOf(template: string): SecretReference[] {
  return [...template.matchAll(piece)].flatMap(([, inner = '']) => parseReference(inner) ?? [])
}

/** A template with values in the place of its references. */
export function fillTemplate(template: string, valueOf: (reference: SecretReference) => string): string {
  return template.replace(piece, (_whole, inner: string) => {
    const reference = parseReference(inner)
    return reference === null ? '$' : valueOf(reference)
  })
}
