/** The schema step: fills defaults in and finds everything that breaks a schema. */
import { limits } from '../contract/limits.ts'
import { nearest } from '../contract/nearest.ts'
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import { type Validator, validatorOf } from './ajv.ts'
import { type DeliveryKind, deliveryKinds } from '../contract/resources.ts'
import { deliverySchema, fileSchema, openDeliverySchema, takesEvents } from './delivery-schema.ts'
import type { SchemaError } from './json-schema.ts'
import { keysOf, pointerTo } from './places.ts'
import { describe, type SchemaFinding } from './schema-wording.ts'
import { providersOf, providerValidator, unknownProviders } from './validate-providers.ts'
import { show } from './wording.ts'

/** Everything that a file may name by its kind. */
export interface Plugins {
  readonly sinks: readonly SinkDefinition[]
  readonly providers: readonly ProviderDefinition[]
}

interface Validators {
  readonly file: Validator
  /** By the sink of a mirror or stream; a name that no sink has gets the validator of the common keys. */
  readonly delivery: (kind: DeliveryKind, sink: string) => Validator
}

const compiled = new WeakMap<readonly SinkDefinition[], Validators>()

export interface Substitutions {
  /** Texts as the file has them, by pointer, where references were replaced. */
  readonly raw: ReadonlyMap<string, string>
  /** Whether a text there was nothing but a reference, so that it may mean a number. */
  mayBeNumber(pointer: string): boolean
}

/** Validates in place: `tree` has every default afterwards. */
export function validate(tree: unknown, plugins: Plugins, substitutions: Substitutions): SchemaFinding[] {
  const first = run(tree, plugins)
  // `${env:PORT}` is text until it stands where the schema wants a number.
  const coerced = first.filter(
    ({ error, pointer }) =>
      error.keyword === 'type' &&
      substitutions.mayBeNumber(pointer) &&
      coerce(tree, pointer, error.params['type']),
  )
  const errors = coerced.length > 0 ? run(tree, plugins) : first
  const seen = new Set<string>()
  const findings: SchemaFinding[] = []
  for (const { error, pointer } of errors) {
    // Beyond what is shown, hints would only cost time.
    const hints = findings.length < limits.config_problems_max
    const finding = describe(error, pointer, substitutions.raw, hints)
    if (finding === null || seen.has(finding.pointer)) continue
    seen.add(finding.pointer)
    findings.push(finding)
  }
  return [...findings, ...unknownSinks(tree, plugins.sinks), ...unknownProviders(tree, plugins.providers)]
}

interface Found {
  readonly error: SchemaError
  readonly pointer: string
}

function run(tree: unknown, { sinks, providers }: Plugins): Found[] {
  const validators = validatorsOf(sinks)
  const found = errorsOf(validators.file, tree, '')
  for (const { kind, value, pointer } of deliveriesOf(tree)) {
    const sink = typeof value['sink'] === 'string' ? value['sink'] : ''
    found.push(...errorsOf(validators.delivery(kind, sink), value, pointer))
  }
  for (const { entry, pointer } of providersOf(tree)) {
    const definition = providers.find(({ name }) => name === entry['provider'])
    found.push(...errorsOf(providerValidator(definition), entry, pointer))
  }
  // Reserved keys first: nothing else about them matters.
  return found.sort((a, b) => Number(b.error.keyword === 'later') - Number(a.error.keyword === 'later'))
}

function errorsOf(validator: Validator, value: unknown, pointer: string): Found[] {
  return validator(value).map((error) => ({ error, pointer: pointer + error.pointer }))
}

interface Delivery {
  readonly kind: DeliveryKind
  readonly value: Record<string, unknown>
  readonly pointer: string
}

/** Mirrors and streams that are sections, with their places. */
export function deliveriesOf(tree: unknown): Delivery[] {
  return deliveryKinds.flatMap((kind) => deliveriesIn(tree, kind))
}

/** Those of one kind. */
export function deliveriesIn(tree: unknown, kind: DeliveryKind): Delivery[] {
  const list = isSection(tree) ? tree[kind] : undefined
  if (!Array.isArray(list)) return []
  return list.flatMap((value: unknown, index) =>
    isSection(value) ? [{ kind, value, pointer: pointerTo(`/${kind}`, index) }] : [],
  )
}

/** Names of the sinks that a mirror or a stream may use. */
function sinkNames(kind: DeliveryKind, sinks: readonly SinkDefinition[]): string[] {
  return sinks.filter((sink) => kind === 'mirrors' || takesEvents(sink)).map(({ name }) => name)
}

function unknownSinks(tree: unknown, sinks: readonly SinkDefinition[]): SchemaFinding[] {
  return deliveriesOf(tree).flatMap(({ kind, value, pointer }) => {
    const { sink } = value
    const names = sinkNames(kind, sinks)
    if (typeof sink !== 'string' || sink === '' || names.includes(sink)) return []
    const guess = nearest(sink, names)
    const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
    const message = `must be one of ${names.join(', ')}, got ${show(sink)}${hint}`
    return [{ pointer: pointerTo(pointer, 'sink'), atKey: false, breaks: true, guessed: false, message }]
  })
}

export function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function coerce(tree: unknown, pointer: string, type: unknown): boolean {
  const keys = keysOf(pointer)
  const last = keys.pop()
  let around = tree
  for (const key of keys) around = (around as Record<string, unknown>)[key]
  if (last === undefined) return false
  const holder = around as Record<string, unknown>
  const text = holder[last]
  if (typeof text !== 'string') return false
  if ((type === 'integer' || type === 'number') && /^-?\d+(\.\d+)?$/.test(text)) holder[last] = Number(text)
  else if (type === 'boolean' && (text === 'true' || text === 'false')) holder[last] = text === 'true'
  else return false
  return true
}

function validatorsOf(sinks: readonly SinkDefinition[]): Validators {
  const known = compiled.get(sinks)
  if (known !== undefined) return known
  const deliveries = new Map<string, Validator>()
  const validators = {
    file: validatorOf(fileSchema()),
    // On demand: most files use one sink.
    delivery: (kind: DeliveryKind, name: string) => {
      const sink = sinks.find((one) => one.name === name && (kind === 'mirrors' || takesEvents(one)))
      const key = `${kind} ${sink?.name ?? ''}`
      const schema = () => (sink === undefined ? openDeliverySchema(kind) : deliverySchema(kind, sink))
      const made = deliveries.get(key) ?? validatorOf(schema())
      deliveries.set(key, made)
      return made
    },
  }
  compiled.set(sinks, validators)
  return validators
}
