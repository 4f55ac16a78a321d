/** Values that a JSON Schema allows: the smallest one, and others that each differ from it in one place. */
import type { Schema } from './openapi.ts'

/** A value for what no schema can tell, by the name of its property or parameter. */
export type Seed = (name: string) => unknown

/** Texts of which one fits each pattern that the admin port has. */
const candidates = [
  ...['a', '1', '/', 'GET', '404', 'client_ip', 'text/plain', 'http://a', 'https://a', 'a@1', '0'.repeat(64)],
  'projects/a/locations/a/keyRings/a/cryptoKeys/a',
  'arn:aws:iam::123456789012:role/a',
  `dcr-${'0'.repeat(32)}`,
  'Custom-a',
  '00000000-0000-0000-0000-000000000000',
]

function textOf({ pattern, minLength = 0 }: Schema, name: string): string {
  const least = 'a'.repeat(Number(minLength))
  const expression = new RegExp(pattern ?? '', 'u')
  const found = [least, ...candidates].find((text) => text.length >= least.length && expression.test(text))
  if (found === undefined) throw new Error(`${name}: no text is known that fits ${pattern}`)
  return found
}

const typesOf = ({ type }: Schema): readonly string[] =>
  typeof type === 'string' ? [type] : (type ?? ['any'])

/** The smallest value of a schema; `seed` comes first. */
export function smallest(schema: Schema, name: string, seed: Seed): unknown {
  const seeded = seed(name)
  if (seeded !== undefined) return seeded
  if (schema.const !== undefined) return schema.const
  if (schema.enum !== undefined) return schema.enum[0]
  const [branch] = schema.anyOf ?? []
  if (branch !== undefined) return smallest(branch, name, seed)
  const [type] = typesOf(schema)
  if (type === 'object') {
    const { required = [], properties = {} } = schema
    const wanted = required.map((key) => [key, smallest(properties[key] ?? {}, key, seed)] as const)
    return Object.fromEntries(wanted)
  }
  if (type === 'array') {
    const count = Number(schema['minItems'] ?? 0)
    return Array.from({ length: count }, () => smallest(schema.items ?? {}, name, seed))
  }
  if (type === 'string') return textOf(schema, name)
  if (type === 'integer' || type === 'number') return schema['default'] ?? schema['minimum'] ?? 1
  return type === 'boolean'
}

export interface Variant {
  /** Where it differs: `body.batch.max_items = 1`. */
  readonly what: string
  readonly value: unknown
  /** Of the place where it differs. */
  readonly schema: Schema
}

/** Values that differ from the smallest one in one place: each optional property, bound and choice. */
export function* variants(schema: Schema, name: string, seed: Seed, at = name): Generator<Variant> {
  if (seed(name) !== undefined) {
    yield { what: `${at} = the seed`, value: seed(name), schema }
    return
  }
  if (schema.anyOf !== undefined) {
    for (const [index, branch] of schema.anyOf.entries())
      yield* variants(branch, name, seed, `${at}(${index})`)
    return
  }
  for (const value of schema.enum ?? []) yield { what: `${at} = ${JSON.stringify(value)}`, value, schema }
  if (schema.enum !== undefined || schema.const !== undefined) return
  for (const type of typesOf(schema)) yield* variantsOfType(type, schema, name, seed, at)
}

function* variantsOfType(
  type: string,
  schema: Schema,
  name: string,
  seed: Seed,
  at: string,
): Generator<Variant> {
  if (type === 'object') yield* variantsOfObject(schema, name, seed, at)
  else if (type === 'array') {
    for (const variant of variants(schema.items ?? {}, name, seed, `${at}[0]`))
      yield { ...variant, value: [variant.value] }
  } else if (type === 'integer' || type === 'number') {
    for (const bound of ['minimum', 'maximum'] as const)
      if (schema[bound] !== undefined) yield { what: `${at} = its ${bound}`, value: schema[bound], schema }
  } else if (type === 'boolean') {
    yield { what: `${at} = true`, value: true, schema }
    yield { what: `${at} = false`, value: false, schema }
  } else if (type === 'null') yield { what: `${at} = null`, value: null, schema }
  else if (type === 'string') yield { what: `${at} = a text`, value: textOf(schema, name), schema }
}

function* variantsOfObject(schema: Schema, name: string, seed: Seed, at: string): Generator<Variant> {
  // Anew for each: names in it must be free.
  const base = () => smallest({ ...schema, type: 'object' }, name, seed) as object
  yield { what: `${at} = the smallest`, value: base(), schema }
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    for (const variant of variants(property, key, seed, `${at}.${key}`))
      yield { ...variant, value: { ...base(), [key]: variant.value } }
  }
}
