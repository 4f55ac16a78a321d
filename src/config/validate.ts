/** The schema step: fills defaults in and finds everything that breaks a schema. */
import type { ErrorObject, ValidateFunction } from 'ajv'
import { limits } from '../contract/limits.ts'
import { nearest } from '../contract/nearest.ts'
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'
import { createAjv } from './ajv.ts'
import { fileSchema, mirrorSchema, openMirrorSchema } from './mirror-schema.ts'
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
  readonly file: ValidateFunction
  /** For mirrors with a sink; a name that no sink has gets the validator of the common keys. */
  readonly mirror: (sink: string) => ValidateFunction
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
      error.keyword === 'type' && substitutions.mayBeNumber(pointer) && coerce(tree, pointer, error.schema),
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
  readonly error: ErrorObject
  readonly pointer: string
}

function run(tree: unknown, { sinks, providers }: Plugins): Found[] {
  const validators = validatorsOf(sinks)
  const found = errorsOf(validators.file, tree, '')
  for (const { mirror, pointer } of mirrorsOf(tree)) {
    const sink = typeof mirror['sink'] === 'string' ? mirror['sink'] : ''
    found.push(...errorsOf(validators.mirror(sink), mirror, pointer))
  }
  for (const { entry, pointer } of providersOf(tree)) {
    const definition = providers.find(({ name }) => name === entry['provider'])
    found.push(...errorsOf(providerValidator(definition), entry, pointer))
  }
  // Reserved keys first: nothing else about them matters.
  return found.sort((a, b) => Number(b.error.keyword === 'later') - Number(a.error.keyword === 'later'))
}

function errorsOf(validator: ValidateFunction, value: unknown, pointer: string): Found[] {
  validator(value)
  return (validator.errors ?? []).map((error) => ({ error, pointer: pointer + error.instancePath }))
}

/** Mirrors that are sections, with their place. */
export function mirrorsOf(
  tree: unknown,
): { mirror: Record<string, unknown>; pointer: string; index: number }[] {
  const mirrors = isSection(tree) ? tree['mirrors'] : undefined
  if (!Array.isArray(mirrors)) return []
  return mirrors.flatMap((mirror: unknown, index) =>
    isSection(mirror) ? [{ mirror, pointer: pointerTo('/mirrors', index), index }] : [],
  )
}

function unknownSinks(tree: unknown, sinks: readonly SinkDefinition[]): SchemaFinding[] {
  const names = sinks.map((sink) => sink.name)
  return mirrorsOf(tree).flatMap(({ mirror, pointer }) => {
    const sink = mirror['sink']
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
  const ajv = createAjv()
  const mirrors = new Map<string, ValidateFunction>()
  const validators = {
    file: ajv.compile(fileSchema()),
    // On demand: most files use one sink, and compiling one takes 25 ms of every start.
    mirror: (name: string) => {
      const sink = sinks.find((one) => one.name === name)
      const key = sink?.name ?? ''
      const made =
        mirrors.get(key) ?? ajv.compile(sink === undefined ? openMirrorSchema() : mirrorSchema(sink))
      mirrors.set(key, made)
      return made
    },
  }
  compiled.set(sinks, validators)
  return validators
}
