/** `${env:NAME}` and `${env:NAME:-default}`, anywhere in any text; other kinds are refused by name. */
import { pointerTo } from './places.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Resolved {
  readonly value: unknown
  /** Texts as the file has them, where references were replaced: what stands for them may be a secret. */
  readonly raw: ReadonlyMap<string, string>
  readonly findings: readonly { readonly pointer: string; readonly message: string }[]
}

/** `$${` is a literal `${`; `$` alone means nothing. */
const referencePattern = /\$\$\{|\$\{([^}]*)\}?/g
const environmentPattern = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s
const workatoPattern = /\{\{\s*workato:/

export const noProviders = 'secrets providers are not available in this version, use ${env:NAME}'

/** Replaces every reference in a tree of plain data; the tree itself stays as it is. */
export function resolveReferences(tree: unknown, environment: Environment): Resolved {
  const raw = new Map<string, string>()
  const findings: { pointer: string; message: string }[] = []
  const walk = (value: unknown, pointer: string): unknown => {
    if (typeof value === 'string') {
      if (!value.includes('${') && !workatoPattern.test(value)) return value
      const { text, problems } = resolveText(value, environment)
      raw.set(pointer, value)
      for (const message of problems) findings.push({ pointer, message })
      return text
    }
    if (Array.isArray(value)) return value.map((item, at) => walk(item, pointerTo(pointer, at)))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, walk(item, pointerTo(pointer, key))]),
    )
  }
  return { value: walk(tree, ''), raw, findings }
}

/** Whether a text holds a reference, so that it is no secret in clear. */
export function hasReference(text: string): boolean {
  return /(?<!\$)\$\{env:/.test(text)
}

/** Whether a text is nothing but one reference, so that what stands for it may be a number. */
export function isReference(text: string): boolean {
  return /^\$\{env:[^}]*\}$/.test(text)
}

function resolveText(text: string, environment: Environment): { text: string; problems: string[] } {
  const problems: string[] = []
  if (workatoPattern.test(text)) problems.push(noProviders)
  const resolved = text.replace(referencePattern, (whole: string, inner: string | undefined) => {
    if (inner === undefined) return '${'
    if (!whole.endsWith('}')) {
      problems.push('a reference must end with }, write $${ for a literal ${')
      return whole
    }
    if (inner.startsWith('secret:')) {
      problems.push(noProviders)
      return whole
    }
    const [, name, fallback] = environmentPattern.exec(inner) ?? []
    if (name === undefined) {
      problems.push('a reference must be ${env:NAME} or ${env:NAME:-default}, write $${ for a literal ${')
      return whole
    }
    const value = environment[name]
    // As in a shell, the default also stands in for an empty value.
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
    if (value === undefined) problems.push(`needs the environment variable ${name}, which is not set`)
    return value ?? ''
  })
  return { text: resolved, problems: [...new Set(problems)] }
}
