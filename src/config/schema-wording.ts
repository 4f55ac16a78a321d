/** What each broken keyword of a schema means for a person: rule, then value. */
import { nearest } from '../contract/nearest.ts'
import { formats } from './formats.ts'
import type { JsonSchema } from './delivery-schema.ts'
import type { SchemaError } from './json-schema.ts'
import { pointerTo } from './places.ts'
import { cover, plural, show } from './wording.ts'

export interface SchemaFinding {
  readonly pointer: string
  /** Whether the key is what is wrong, not the value. */
  readonly atKey: boolean
  /** Whether the value there cannot be worked with. */
  readonly breaks: boolean
  /** Whether it says that something is missing: not sure in a text that is no valid YAML. */
  readonly guessed: boolean
  readonly message: string
}

type Params = Readonly<Record<string, unknown>>
interface Context {
  readonly params: Params
  readonly schema: JsonSchema
  readonly value: unknown
  /** The value as it may be shown. */
  readonly shown: string
}

const typeNames: Readonly<Record<string, string>> = {
  integer: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  object: 'a section',
  array: 'a list',
}

/** Keyword → rule and value. */
const rules: Readonly<Record<string, (context: Context) => string>> = {
  type: ({ params, shown }) => `must be ${typeNames[String(params['type'])] ?? 'another type'}, got ${shown}`,
  minimum: ({ params, shown }) => `must be at least ${params['limit']}, got ${shown}`,
  maximum: ({ params, shown }) => `must be at most ${params['limit']}, got ${shown}`,
  minLength: ({ params, shown }) =>
    params['limit'] === 1
      ? 'must not be empty'
      : `must have at least ${plural(Number(params['limit']), 'character')}, got ${shown}`,
  maxLength: ({ params, value }) =>
    `must have at most ${plural(Number(params['limit']), 'character')}, got ${cover(value)}`,
  minItems: ({ params, shown }) =>
    `must have at least ${plural(Number(params['limit']), 'item')}, got ${shown}`,
  maxItems: ({ params, shown }) =>
    `must have at most ${plural(Number(params['limit']), 'item')}, got ${shown}`,
  pattern: ({ params, schema, shown }) => `${schema.rule ?? `must match ${params['pattern']}`}, got ${shown}`,
  format: ({ params, value, shown }) =>
    `${formats[String(params['format'])]?.(String(value)) ?? `must be a ${params['format']}`}, got ${shown}`,
  enum: ({ schema, value, shown }) => oneOf(availableValues(schema), value, shown),
  later: () => 'is not available in this version, leave it out',
  laterValues: ({ schema, shown }) => {
    const now = availableValues(schema).join(' or ')
    return `must be ${now}, others are not available in this version, got ${shown}`
  },
}

/** A finding per error; null for errors that only repeat others. */
export function describe(
  error: SchemaError,
  pointer: string,
  raw: ReadonlyMap<string, string>,
  hints: boolean,
): SchemaFinding | null {
  const { keyword, params, schema } = error
  if (keyword === 'additionalProperties') {
    const key = String(params['additionalProperty'])
    return unknownKey(pointerTo(pointer, key), key, hints ? schema : {})
  }
  if (keyword === 'required') {
    const missing = pointerTo(pointer, String(params['missingProperty']))
    return { pointer: missing, atKey: false, breaks: true, guessed: true, message: 'is required' }
  }
  if (keyword === 'uniqueItems') return repeated(pointer, params, error.data)
  const rule = rules[keyword]
  if (rule === undefined) return null
  const shown = schema.secret === true ? cover(error.data) : show(raw.get(pointer) ?? error.data)
  const message = pointer === '' ? `must be a section with at least collections, got ${shown}` : undefined
  return {
    pointer,
    atKey: keyword === 'later',
    breaks: true,
    guessed: keyword === 'minItems',
    message: message ?? rule({ params, schema, value: error.data, shown }),
  }
}

function unknownKey(pointer: string, key: string, { properties = {}, rule }: JsonSchema): SchemaFinding {
  const found = { pointer, atKey: true, breaks: false, guessed: false }
  // Of a map, whose keys are names that must look like something.
  if (rule !== undefined) return { ...found, message: `${rule}, got ${show(key)}` }
  const known = Object.keys(properties)
  const guess = nearest(key, known)
  const hint = guess === undefined ? listed(known) : `, did you mean \`${guess}\`?`
  return { ...found, message: `is not a known key${hint}` }
}

function listed(known: readonly string[]): string {
  return known.length > 0 && known.length <= 8 ? `, known are ${known.join(', ')}` : ''
}

function repeated(pointer: string, params: Params, data: unknown): SchemaFinding {
  const second = Math.max(Number(params['i']), Number(params['j']))
  const value = Array.isArray(data) ? show(data[second]) : ''
  const message = `must not stand twice in the list, got ${value} again`
  return { pointer: pointerTo(pointer, second), atKey: false, breaks: false, guessed: false, message }
}

function availableValues({ enum: values = [], laterValues = [] }: JsonSchema): unknown[] {
  return values.filter((value) => !laterValues.includes(value))
}

function oneOf(allowed: readonly unknown[], value: unknown, shown: string): string {
  const names = allowed.map(String)
  const guess = typeof value === 'string' ? nearest(value, names) : undefined
  const hint = guess === undefined ? '' : `, did you mean "${guess}"?`
  return `must be ${names.length === 1 ? '' : 'one of '}${names.join(', ')}, got ${shown}${hint}`
}
