/** Judges what a module outside the tree exports; makes definitions of it that cannot throw at the host. */
import type { TObject } from 'typebox'
import type { ItemFormat, LegSpec, ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import { SecretError, type SecretName } from '../contract/secrets.ts'
import { createAjv } from './ajv.ts'
import { deliverySchema, plainSchema, takesEvents } from './delivery-schema.ts'
import { faultText, PluginFault } from './plugin-fault.ts'
import { providerSchema } from './provider-schema.ts'
import { isSection } from './validate.ts'
import { show } from './wording.ts'

export interface Definitions {
  readonly sinks: readonly SinkDefinition[]
  readonly providers: readonly ProviderDefinition[]
}

const EXPORTS = 'must export a sink or a provider of secrets, or a list of them, as its default'
const CONTRACT = 'must keep the contract of plugins'

type Loose = Readonly<Record<string, unknown>>

const namePattern = /^[a-z][a-z0-9_-]{0,31}$/
const optionPattern = /^[a-z][a-z0-9_]*$/
/** The least that `batch.max_bytes` may be. */
const BATCH_BYTES_MIN = 1024
const itemFormats: readonly ItemFormat[] = ['pair', 'exchange', 'ndjson', 'har', 'akto', 'template']
const halves: readonly LegSpec['half'][] = ['request', 'response', 'exchange']

/** `exported`: one definition or a list of them. Throws a PluginFault. */
export function definitionsOf(exported: unknown): Definitions {
  const list: readonly unknown[] = Array.isArray(exported) ? exported : [exported]
  if (exported === undefined || list.length === 0) throw new PluginFault(EXPORTS)
  const sinks: SinkDefinition[] = []
  const providers: ProviderDefinition[] = []
  for (const one of list) {
    if (isSink(one)) sinks.push(sinkOf(one))
    else if (isProvider(one)) providers.push(providerOf(one))
    else throw new PluginFault(EXPORTS)
  }
  return { sinks, providers }
}

const isSink = (one: unknown): one is Loose => isSection(one) && ('legs' in one || 'formats' in one)
const isProvider = (one: unknown): one is Loose =>
  isSection(one) && ('workato' in one || 'secretOptions' in one)

/** Says of a definition what does not keep the contract. */
class Judge {
  readonly #what: string
  readonly #definition: Loose

  constructor(kind: string, definition: Loose) {
    const { name } = definition
    this.#definition = definition
    this.#what = `${kind} ${typeof name === 'string' ? name.slice(0, 32) : ''}`.trim()
    this.must(typeof name === 'string' && namePattern.test(name), 'name', `must match ${namePattern.source}`)
    const { summary } = definition
    this.must(typeof summary === 'string' && summary !== '', 'summary', 'must be a text')
    this.#options()
    this.must(typeof definition['create'] === 'function', 'create', 'must be a function')
  }

  must(holds: boolean, key: string, rule: string): void {
    if (!holds) this.#refuse(`${key} ${rule}, got ${showAny(this.#definition[key])}`)
  }

  isFunction(key: string): void {
    this.must(typeof this.#definition[key] === 'function', key, 'must be a function')
  }

  mayBeFunction(key: string): void {
    if (this.#definition[key] !== undefined) this.isFunction(key)
  }

  /** Names of options, in a list. */
  optionNames(key: string): void {
    const names = this.#definition[key]
    const known = Object.keys((this.#definition['options'] as TObject).properties)
    const areKnown = Array.isArray(names) && names.every((name) => known.includes(String(name)))
    this.must(areKnown, key, 'must be a list of names of options')
  }

  limits(): void {
    const bounds = isSection(this.#definition['limits']) ? this.#definition['limits'] : {}
    const { batch_bytes: batch } = bounds
    const rules = {
      batch_bytes: [BATCH_BYTES_MIN, Infinity],
      batch_items: [1, Infinity],
      item_bytes: [1, batch],
    }
    for (const [key, [least, most]] of Object.entries(rules)) {
      const bound = bounds[key]
      const holds =
        Number.isSafeInteger(bound) && Number(bound) >= Number(least) && Number(bound) <= Number(most)
      const up = most === Infinity ? `from ${least} on` : `up to its batch_bytes`
      if (!holds) this.#refuse(`limits.${key} must be a whole number ${up}, got ${showAny(bound)}`)
    }
  }

  #options(): void {
    const { options } = this.#definition
    const isObject = isSection(options) && options['type'] === 'object' && isSection(options['properties'])
    this.must(isObject, 'options', 'must be a schema made with Type.Object')
    const { properties } = options as TObject
    for (const key of Object.keys(properties)) {
      if (!optionPattern.test(key)) this.#refuse(`options must have names in snake_case, got ${show(key)}`)
    }
    this.fits(() => createAjv({ judged: false }).compile(plainSchema(options as TObject)))
  }

  /** `work` throws when the options do not fit. */
  fits(work: () => unknown): void {
    try {
      work()
    } catch (error) {
      const said = faultText((error as Error).message, [])
      this.#refuse(`options cannot be used: ${said.replace(`${this.#what}: `, '')}`)
    }
  }

  #refuse(detail: string): never {
    throw new PluginFault(CONTRACT, `${this.#what}: ${detail}`)
  }
}

function showAny(value: unknown): string {
  return typeof value === 'function' ? 'a function' : show(value)
}

function sinkOf(definition: Loose): SinkDefinition {
  const judge = new Judge('sink', definition)
  const { formats, signsIn } = definition
  const known = Array.isArray(formats) && formats.every((one) => itemFormats.includes(one as ItemFormat))
  judge.must(known && formats.length > 0, 'formats', `must be a list of ${itemFormats.join(', ')}`)
  judge.optionNames('urls')
  judge.limits()
  judge.must(signsIn === undefined || signsIn === true, 'signsIn', 'must be true or left out')
  judge.isFunction('legs')
  judge.mayBeFunction('rule')
  const sink = guardedSink(definition as unknown as SinkDefinition)
  judge.fits(() => deliverySchema('mirrors', sink))
  if (takesEvents(sink)) judge.fits(() => deliverySchema('streams', sink))
  return sink
}

/** Whatever its functions throw is something that `check` says of the mirror or stream that uses it. */
function guardedSink(own: SinkDefinition): SinkDefinition {
  const secrets = (options: Loose) => secretValues(own.options, options)
  const legs = (options: Loose): readonly LegSpec[] => legsOf(own, options as never)
  return Object.freeze<SinkDefinition>({
    name: own.name,
    summary: own.summary,
    options: own.options,
    formats: [...own.formats],
    urls: [...own.urls],
    limits: { ...own.limits },
    ...(own.signsIn === true && { signsIn: true }),
    rule(options) {
      try {
        legs(options)
        const broken: unknown = own.rule?.(options) ?? null
        if (broken === null) return null
        if (isSection(broken) && typeof broken['key'] === 'string' && typeof broken['rule'] === 'string')
          return { key: broken['key'], rule: faultText(broken['rule'], secrets(options)) }
        throw new PluginFault('its rule must return null or a key and a rule')
      } catch (error) {
        const said = error instanceof PluginFault ? error.message : faultText(error, secrets(options))
        return { key: 'sink', rule: `must be a sink whose plugin works, ${said}` }
      }
    },
    legs(options) {
      try {
        return legs(options)
      } catch {
        // Its rule says so.
        return []
      }
    },
    create: (context) => own.create(context),
  })
}

function legsOf(own: SinkDefinition, options: never): readonly LegSpec[] {
  const legs: unknown = own.legs(options)
  const isWhole = own.formats.every((format) => format !== 'pair')
  const fits = (leg: unknown): leg is LegSpec =>
    isSection(leg) &&
    namePattern.test(String(leg['name'])) &&
    halves.includes(leg['half'] as LegSpec['half']) &&
    (leg['half'] === 'exchange') === isWhole &&
    typeof leg['url'] === 'string'
  if (!Array.isArray(legs) || legs.length === 0 || !legs.every(fits))
    throw new PluginFault('its legs must be a list of name, half and url that fits its formats')
  if (new Set(legs.map(({ name }) => name)).size < legs.length)
    throw new PluginFault('its legs must have names of their own')
  return legs.map(({ name, half, url }) => ({ name, half, url }))
}

function providerOf(definition: Loose): ProviderDefinition {
  const judge = new Judge('provider', definition)
  judge.optionNames('secretOptions')
  if (definition['pathOptions'] !== undefined) judge.optionNames('pathOptions')
  const { local } = definition
  judge.must(local === undefined || local === true, 'local', 'must be true or left out')
  judge.isFunction('workato')
  judge.mayBeFunction('rule')
  const provider = guardedProvider(definition as unknown as ProviderDefinition)
  judge.fits(() => providerSchema(provider))
  return provider
}

function guardedProvider(own: ProviderDefinition): ProviderDefinition {
  const said = (error: unknown, options: Loose) =>
    `the provider threw ${faultText(error, secretValues(own.options, options, own.secretOptions))}`
  return Object.freeze<ProviderDefinition>({
    name: own.name,
    summary: own.summary,
    options: own.options,
    secretOptions: [...own.secretOptions],
    ...(own.pathOptions !== undefined && { pathOptions: [...own.pathOptions] }),
    ...(own.local === true && { local: true }),
    rule(options) {
      try {
        const broken: unknown = own.rule?.(options) ?? null
        return broken === null ? null : String(broken)
      } catch (error) {
        return said(error, options)
      }
    },
    workato(text) {
      try {
        return workatoName(own.workato(text))
      } catch (error) {
        return { rule: said(error, {}) }
      }
    },
    create(options) {
      try {
        return own.create(options)
      } catch (error) {
        const fault = new SecretError('unavailable', said(error, options))
        return { read: () => Promise.reject(fault), close: () => {} }
      }
    },
  })
}

function workatoName(read: unknown): SecretName | { readonly rule: string } {
  if (isSection(read)) {
    const { path, key, rule } = read
    if (typeof rule === 'string') return { rule }
    if (typeof path === 'string' && (key === null || typeof key === 'string')) return { path, key }
  }
  throw new PluginFault('its workato must return a path and a key, or a rule')
}

function secretValues(schema: TObject, options: Loose, names: readonly string[] = []): string[] {
  const properties = schema.properties as Readonly<Record<string, { secret?: boolean }>>
  return Object.entries(options).flatMap(([key, value]) =>
    typeof value === 'string' && (properties[key]?.secret === true || names.includes(key)) ? [value] : [],
  )
}
