/** Texts that may hold secrets: found by the schema, covered in answers, put back on the way in. */
import {
  type Definition,
  type DeliveryKind,
  deliveryKinds,
  redactedMark,
  type ResourceKind,
} from '../contract/resources.ts'
import type { Json } from '../contract/activity.ts'
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import { deliverySchema, type JsonSchema, plainSchema } from './delivery-schema.ts'
import { keysOf, pointerTo } from './places.ts'
import { providerSchema } from './provider-schema.ts'
import { GatewaySchema } from './schema.ts'
import { providersOf } from './validate-providers.ts'

/**
 * One reference, whole; the default of an `env` one may be a secret of its own. One that is not closed takes
 * all that follows, so that no text is searched from each of its beginnings to its end; it counts as none.
 */
const referencePattern =
  /\$\{env:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?(?:\}|$)|\$\{secret:[^}]*(?:\}|$)|\{\{\s*workato:[^{}]*\}\}/g
/** What may stand beside references without telling anything (RFC 9110 §11.1). */
const schemePattern = /^(basic|bearer|token|apikey|splunk)?$/i

type Cover = (text: string) => string

/** A secret as it may be shown: its references, when it is nothing else. */
function coverSecret(text: string): string {
  const beside = replaceReferences(text, () => '')
  if (!schemePattern.test(beside.trim())) return redactedMark
  if (beside === text) return text.trim() === '' ? text : redactedMark
  return coverDefaults(text)
}

function coverDefaults(text: string): string {
  return replaceReferences(text, (whole, name, fallback = ':-') =>
    fallback === ':-' ? whole : `\${env:${name}:-${redactedMark}}`,
  )
}

function replaceReferences(
  text: string,
  replace: (whole: string, name?: string, fallback?: string) => string,
): string {
  return text.replaceAll(referencePattern, (whole: string, name?: string, fallback?: string) =>
    whole.endsWith('}') ? replace(whole, name, fallback) : whole,
  )
}

/** A URL as it may be shown: credentials and query are none of anybody's business. */
function coverUrl(text: string): string {
  const bare = replaceReferences(text, () => '')
  const covered = text.replace(/\/\/[^/?#]*@/, `//${redactedMark}@`)
  return bare.includes('?') ? covered.replace(/\?.*$/s, `?${redactedMark}`) : covered
}

/** Whose own keys may be secrets. */
interface Plugins {
  readonly sinks: readonly SinkDefinition[]
  readonly providers: readonly ProviderDefinition[]
}

/** How to cover the text at each pointer of a value; pointers that hold nothing secret are left out. */
export class SecretTexts {
  readonly #plugins: Plugins
  /** Made at their first use, which few starts have: by the keys of the file, and by kind and plugin. */
  #file: Readonly<Record<string, JsonSchema>> | null = null
  readonly #made = new Map<string, JsonSchema>()

  constructor(plugins: Plugins) {
    this.#plugins = plugins
  }

  /** Texts of a definition that must not be shown, by pointer, as they may be shown. */
  ofDefinition(kind: ResourceKind, definition: Definition): Map<string, string> {
    return this.#covered(definition, this.#schemaOf(kind, definition))
  }

  /** The same of a whole configuration. */
  ofFile(tree: unknown): Map<string, string> {
    const properties = { ...this.#schemas() }
    for (const kind of deliveryKinds) delete properties[kind]
    const found = this.#covered(tree, { properties })
    for (const kind of deliveryKinds) {
      const list = (tree as Partial<Record<DeliveryKind, readonly Definition[]>>)[kind] ?? []
      for (const [at, one] of list.entries()) {
        for (const [pointer, text] of this.ofDefinition(kind, one))
          found.set(pointerTo(`/${kind}`, at) + pointer, text)
      }
    }
    for (const { entry, pointer: at } of providersOf(tree)) {
      const schema = this.#ofProvider(String(entry['provider']))
      for (const [pointer, text] of this.#covered(entry, schema)) found.set(at + pointer, text)
    }
    return found
  }

  #schemaOf(kind: ResourceKind, definition: Definition): JsonSchema {
    const sink = this.#plugins.sinks.find(({ name }) => name === definition['sink'])
    const delivery = deliveryKinds.find((one) => one === kind)
    if (sink === undefined || delivery === undefined) return this.#schemas()[kind]?.items ?? {}
    return this.#once(`${kind} ${sink.name}`, () => deliverySchema(delivery, sink))
  }

  #ofProvider(name: string): JsonSchema {
    const provider = this.#plugins.providers.find((one) => one.name === name)
    return provider === undefined ? {} : this.#once(`providers ${name}`, () => providerSchema(provider))
  }

  #schemas(): Readonly<Record<string, JsonSchema>> {
    this.#file ??= plainSchema(GatewaySchema).properties ?? {}
    return this.#file
  }

  #once(key: string, make: () => JsonSchema): JsonSchema {
    const schema = this.#made.get(key) ?? make()
    this.#made.set(key, schema)
    return schema
  }

  /**
   * A definition whose covered texts came back as they are shown, with the stored ones in their place; and
   * the pointers of those that stand for nothing.
   */
  uncover(
    kind: ResourceKind,
    definition: Definition,
    stored: Definition | null,
  ): { readonly definition: Definition; readonly unknown: readonly string[] } {
    const shown = stored === null ? null : this.ofDefinition(kind, stored)
    const back = new Map<string, Json>()
    const unknown: string[] = []
    eachText(definition, this.#schemaOf(kind, definition), (pointer, text, cover) => {
      const marked =
        cover === coverDefaults ? text.includes(`:-${redactedMark}}`) : text.includes(redactedMark)
      if (!marked) return
      if (shown?.get(pointer) === text) back.set(pointer, valueAt(stored, pointer) as Json)
      else unknown.push(pointer)
    })
    return { definition: back.size === 0 ? definition : withTexts(definition, back), unknown }
  }

  #covered(value: unknown, schema: JsonSchema): Map<string, string> {
    const found = new Map<string, string>()
    eachText(value, schema, (pointer, text, cover) => {
      const shown = cover(text)
      if (shown !== text) found.set(pointer, shown)
    })
    return found
  }
}

function eachText(
  value: unknown,
  schema: JsonSchema,
  visit: (pointer: string, text: string, cover: Cover) => void,
): void {
  const walk = (inner: unknown, known: JsonSchema | undefined, pointer: string): void => {
    if (typeof inner === 'string') visit(pointer, inner, coverOf(known, pointer))
    if (typeof inner !== 'object' || inner === null) return
    for (const [key, one] of Object.entries(inner))
      walk(one, childSchema(known, key, Array.isArray(inner)), pointerTo(pointer, key))
  }
  walk(value, schema, '')
}

function coverOf(schema: JsonSchema | undefined, pointer: string): Cover {
  if (schema?.secret === true) return coverSecret
  return /url$/.test(pointer) ? coverUrl : coverDefaults
}

function childSchema(schema: JsonSchema | undefined, key: string, inList: boolean): JsonSchema | undefined {
  if (inList) return schema?.items
  const own = schema?.properties
  if (own !== undefined && Object.hasOwn(own, key)) return own[key]
  const [pattern] = Object.values(schema?.patternProperties ?? {})
  const { additionalProperties } = schema ?? {}
  return pattern ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined)
}

/** A copy with other values at some pointers. */
export function withTexts(definition: Definition, texts: ReadonlyMap<string, Json>): Definition {
  const copy = structuredClone(definition) as Record<string, unknown>
  for (const [pointer, text] of texts) {
    const keys = keysOf(pointer)
    const last = keys.pop() ?? ''
    let around: Record<string, unknown> | undefined = copy
    for (const key of keys) around = around?.[key] as Record<string, unknown> | undefined
    if (around !== undefined && Object.hasOwn(around, last)) around[last] = text
  }
  return copy as Definition
}

/** What stands at a pointer; undefined when nothing does. */
export function valueAt(tree: unknown, pointer: string): unknown {
  let at = tree
  for (const key of keysOf(pointer)) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Record<string, unknown>)[key]
  }
  return at
}
