/**
 * References anywhere in any text: `${env:NAME}` is replaced when the file is read;
 * `${secret:PROVIDER:PATH#KEY}` and Workato's `{{workato:sm:…}}` stay what they are in the fields of a
 * connection and in a sink's own secrets, where each delivery resolves them. Elsewhere only providers of this
 * machine can stand, and are read now.
 */
import {
  parseReference,
  referenceText,
  type SecretReference,
  templateOf,
} from '../contract/secret-reference.ts'
import { pointerTo } from './places.ts'
import type { NamedProviders } from './provider-names.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Resolved {
  readonly value: unknown
  /** Texts as the file has them, where references were replaced: what stands for them may be a secret. */
  readonly raw: ReadonlyMap<string, string>
  readonly findings: readonly { readonly pointer: string; readonly message: string }[]
  /** Pointers whose values are templates: their references are resolved by each delivery. */
  readonly deferred: ReadonlySet<string>
  /** Options of providers that hold references to secrets, as templates: what they stand for may change. */
  readonly templates: ReadonlyMap<string, string>
}

/** `$${` is a literal `${`; `$` alone means nothing. */
const pattern = /\$\$\{|\$\{([^}]*)\}?|\{\{\s*workato:([^{}]*)(?:\}\}?)?/g
const anyReference = /\$\{|\{\{\s*workato:/
const environmentPattern = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s
/** What a provider of secrets signs in with: read with the file, and looked at again while it is used. */
const providerOption = /^\/secrets\/providers\/\d+\/[^/]+$/
const own = 'write $${ for a literal ${'

/**
 * Replaces every reference in a tree of plain data; the tree itself stays as it is. `isDelivered` names the
 * pointers whose references to secrets each delivery resolves.
 */
export async function resolveReferences(
  tree: unknown,
  environment: Environment,
  providers: NamedProviders,
  isDelivered: (pointer: string) => boolean,
): Promise<Resolved> {
  const texts = new Map<string, Text>()
  eachText(tree, '', (text, pointer) => {
    if (anyReference.test(text)) texts.set(pointer, readText(text, environment, providers))
  })
  const values = new Map<string, string>()
  const findings: { pointer: string; message: string }[] = []
  const deferred = new Set<string>()
  const templates = new Map<string, string>()
  for (const [pointer, { parts, problems }] of texts) {
    const refers = parts.some((part) => typeof part !== 'string')
    const defers = isDelivered(pointer) && refers
    if (defers && problems.length === 0) {
      values.set(pointer, templateOf(parts))
      deferred.add(pointer)
      continue
    }
    const filled = defers ? { text: '', problems: [] } : await fillLocally(parts, providers)
    values.set(pointer, filled.text)
    if (refers && providerOption.test(pointer)) templates.set(pointer, templateOf(parts))
    for (const message of new Set([...problems, ...filled.problems])) findings.push({ pointer, message })
  }
  const raw = new Map<string, string>()
  const value = replaceTexts(tree, '', (text, pointer) => {
    const replaced = values.get(pointer)
    if (replaced !== undefined) raw.set(pointer, text)
    return replaced ?? text
  })
  return { value, raw, findings, deferred, templates }
}

/** A text with `${env:NAME}` replaced, whatever else it holds; what is not set is left out. */
export function fillEnvironment(text: string, environment: Environment): string {
  return text.replace(pattern, (whole: string, inner: string | undefined) => {
    const [, name, fallback = ''] = environmentPattern.exec(inner ?? '') ?? []
    return name === undefined ? whole : environment[name] || fallback
  })
}

/** Whether a text holds a reference, so that it is no secret in clear. */
export function hasReference(text: string): boolean {
  return /(?<!\$)\$\{(env|secret):|\{\{\s*workato:/.test(text)
}

/** Whether a text is nothing but one reference, so that what stands for it may be a number. */
export function isReference(text: string): boolean {
  return /^\$\{(env|secret):[^}]*\}$/.test(text)
}

function eachText(value: unknown, pointer: string, visit: (text: string, pointer: string) => void): void {
  replaceTexts(value, pointer, (text, at) => {
    visit(text, at)
    return text
  })
}

function replaceTexts(
  value: unknown,
  pointer: string,
  replace: (text: string, pointer: string) => string,
): unknown {
  if (typeof value === 'string') return replace(value, pointer)
  if (Array.isArray(value))
    return value.map((item, at) => replaceTexts(item, pointerTo(pointer, at), replace))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, replaceTexts(item, pointerTo(pointer, key), replace)]),
  )
}

/** A text in its parts, `${env:…}` replaced. */
interface Text {
  readonly parts: readonly (string | SecretReference)[]
  readonly problems: readonly string[]
}

function readText(text: string, environment: Environment, providers: NamedProviders): Text {
  const parts: (string | SecretReference)[] = []
  const problems: string[] = []
  let end = 0
  for (const match of text.matchAll(pattern)) {
    const [whole, inner, workato] = match
    parts.push(text.slice(end, match.index))
    end = match.index + whole.length
    const part =
      workato !== undefined
        ? providers.workato(workato, whole.endsWith('}}'))
        : inner === undefined
          ? '${'
          : oneReference(whole, inner, environment, providers)
    if (typeof part === 'object' && 'rule' in part) problems.push(part.rule)
    else parts.push(part)
  }
  parts.push(text.slice(end))
  return { parts: parts.filter((part) => part !== ''), problems }
}

function oneReference(
  whole: string,
  inner: string,
  environment: Environment,
  providers: NamedProviders,
): string | SecretReference | { readonly rule: string } {
  if (!whole.endsWith('}')) return { rule: `a reference must end with }, ${own}` }
  if (inner.startsWith('secret:')) return secretReference(inner, providers)
  const [, name, fallback] = environmentPattern.exec(inner) ?? []
  if (name === undefined) {
    const forms = '${env:NAME}, ${env:NAME:-default} or ${secret:PROVIDER:PATH#KEY}'
    return { rule: `a reference must be ${forms}, ${own}` }
  }
  const value = environment[name]
  // As in a shell, the default also stands in for an empty value.
  if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
  return value ?? { rule: `needs the environment variable ${name}, which is not set` }
}

function secretReference(
  inner: string,
  providers: NamedProviders,
): SecretReference | { readonly rule: string } {
  const reference = parseReference(inner)
  if (reference === null)
    return { rule: 'a reference to a secret must be ${secret:PROVIDER:PATH} or ${secret:PROVIDER:PATH#KEY}' }
  const rule = providers.unknown(reference.provider)
  return rule === null ? reference : { rule }
}

/** A text of which no delivery would resolve the references: they are read now, from this machine alone. */
async function fillLocally(
  parts: Text['parts'],
  providers: NamedProviders,
): Promise<{ text: string; problems: string[] }> {
  const problems: string[] = []
  const texts: string[] = []
  for (const part of parts) {
    if (typeof part === 'string') {
      texts.push(part)
      continue
    }
    const read = await providers.readLocal(part)
    if ('value' in read) texts.push(read.value)
    else if (read.rule !== null) problems.push(`needs ${referenceText(part)}: ${read.rule}`)
  }
  return { text: texts.join(''), problems }
}
