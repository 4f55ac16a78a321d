/** Queries with brackets, as `page[size]=3&users_ids[]=1`, read as the schema of their route means them. */
import { createRequire } from 'node:module'
import { limits } from '../contract/limits.ts'

interface Property {
  readonly type?: unknown
  readonly items?: { readonly type?: unknown }
}
type Properties = Readonly<Record<string, Property>>

/** Loaded with the first query: 37 modules that no start needs. */
let qs: typeof import('qs') | null = null

/** In place of values: why a query cannot be read at all. */
export class UnreadableQuery {
  readonly [name: string]: unknown
  readonly sentence: string

  constructor(sentence: string) {
    this.sentence = sentence
  }
}

const options = {
  // No prototypes: `constructor[prototype]` is a name like any other.
  plainObjects: true,
  depth: limits.query_depth_max,
  strictDepth: true,
  arrayLimit: limits.query_parameters_max,
  parameterLimit: limits.query_parameters_max,
  throwOnLimitExceeded: true,
} as const

/**
 * Parses a query into flat values by printed name: `page[size]` → text, `users_ids` → list of texts. It
 * never throws: the router calls it where no error handler is.
 */
export function parseQuery(text: string): Record<string, unknown> {
  if (text === '') return {}
  const hidden: [name: string, value: string][] = []
  const decoder = (
    part: string,
    decode: (text: string) => string,
    _charset: string,
    type: 'key' | 'value',
  ) => {
    const decoded = decode(part)
    // The one name that the parser leaves out without a word.
    if (type === 'key' && decoded.includes('__proto__')) hidden.push([decoded, ''])
    return decoded
  }
  qs ??= createRequire(import.meta.url)('qs') as typeof import('qs')
  try {
    return Object.fromEntries([...flat('', qs.parse(text, { ...options, decoder })), ...hidden])
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const { query_parameters_max: most, query_depth_max: depth } = limits
    return new UnreadableQuery(
      `must have at most ${most} parameters and values of each, and brackets at most ${depth} deep`,
    )
  }
}

function* flat(prefix: string, values: object): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(values)) {
    const name = prefix === '' ? key : `${prefix}[${key}]`
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) yield* flat(name, value)
    else yield [name, value]
  }
}

/**
 * Values with the types that their schema asks for. A list is found under its name with and without `[]`, and
 * one value alone is a list too. Numbers are not left to the validator: its coercion takes 1e999 for an
 * integer, and then no maximum stops it.
 */
export function typedQuery(query: object, properties: Properties = {}): Record<string, unknown> {
  const typed = Object.entries(query).map(([name, value]): [string, unknown] => {
    const known = [`${name}[]`, name].find((candidate) => Object.hasOwn(properties, candidate))
    const property = known === undefined ? {} : (properties[known] as Property)
    if (property.type !== 'array') return [known ?? name, typedValue(value, property.type)]
    return [known ?? name, [value].flat().map((one) => typedValue(one, property.items?.type))]
  })
  return Object.fromEntries(typed)
}

function typedValue(value: unknown, type: unknown): unknown {
  if (typeof value !== 'string') return value
  if (type === 'integer' && /^-?\d{1,15}$/.test(value)) return Number(value)
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}
