/** The interpreter of schemas says what ajv says: of every fixture, and of values made to be wrong. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ValidateFunction } from 'ajv'
import { expect, test } from 'vitest'
import { providers, sinks } from '../../plugins/index.ts'
import { createAjv, validatorOf } from '../../src/config/ajv.ts'
import * as schemas from '../../src/config/delivery-schema.ts'
import { parseText } from '../../src/config/document.ts'
import { isInterpreted, judge } from '../../src/config/json-schema.ts'
import { openProviderSchema, providerSchema } from '../../src/config/provider-schema.ts'
import { deliveryKinds } from '../../src/contract/resources.ts'
import { type Random, randomOf } from '../support/random.ts'

type Schema = schemas.JsonSchema

const ofDeliveries = [
  ...sinks.map((sink): [string, Schema] => [`sink ${sink.name}`, schemas.deliverySchema('mirrors', sink)]),
  ...deliveryKinds.map((kind): [string, Schema] => [kind, schemas.openDeliverySchema(kind)]),
]
const ofProviders = providers.map((one): [string, Schema] => [`provider ${one.name}`, providerSchema(one)])
const all: [string, Schema][] = [
  ['the file', schemas.fileSchema()],
  ...ofDeliveries,
  ...ofProviders,
  ['a provider', openProviderSchema()],
]

const ajv = createAjv({ judged: true })

interface Verdict {
  readonly errors: readonly string[]
  /** With its defaults. */
  readonly value: unknown
}

/** Of several that stand twice, either may be told. */
function shown(pointer: string, keyword: string, params: object): string {
  return JSON.stringify([pointer, keyword, keyword === 'uniqueItems' ? {} : params])
}

function byAjv(validate: ValidateFunction, value: unknown): Verdict {
  validate(value)
  const errors = (validate.errors ?? []).map(({ keyword, instancePath, params }) => {
    // Which way a bound goes is known by its keyword.
    const { comparison: _, ...others } = params
    return shown(instancePath, keyword, others)
  })
  return { errors: errors.sort(), value }
}

function byJudge(schema: Schema, value: unknown): Verdict {
  const errors = judge(schema, value).map(({ keyword, pointer, params }) => shown(pointer, keyword, params))
  return { errors: errors.sort(), value }
}

test('every schema of the tree is one that is interpreted', () => {
  expect(all.filter(([, schema]) => !isInterpreted(schema)).map(([name]) => name)).toEqual([])
})

test('of every fixture it says what ajv says', () => {
  const folders = ['good', 'bad'].map((kind) => fileURLToPath(new URL(kind, import.meta.url)))
  const files = folders.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
  const schema = schemas.fileSchema()
  const validate = ajv.compile(schema)
  const texts = files.filter((file) => file.endsWith('.yaml')).map((file) => readFileSync(file, 'utf8'))
  expect(texts.length).toBeGreaterThan(100)
  for (const text of texts) {
    const { value } = parseText(text)
    expect(byJudge(schema, structuredClone(value))).toEqual(byAjv(validate, value))
  }
})

const oddities: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 1.5, 7, 1e9, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY],
  ...['', 'a', 'A b', '/', '10.0.0.0/8', 'http://127.0.0.1:1', 'é'.repeat(80), '𝒳', '𝒳'.repeat(300)],
  ...[[], ['a', 'a'], [1, 'b', 'b'], {}, { 'a/b~c': 1 }, { '': null }, 'x'.repeat(5000)],
]

/** Something that a schema might allow, and often does not. */
function valueFor(schema: Schema, random: Random): unknown {
  if (random.once(6)) return structuredClone(random.pick(oddities))
  const { type, enum: values, properties, patternProperties, items, default: preset } = schema
  if (preset !== undefined && random.once(3)) return structuredClone(preset)
  if (values !== undefined) return random.pick(values)
  if (type === 'object') {
    const entries = Object.entries({ ...properties, ...patternProperties })
      .filter(() => !random.once(3))
      .map(([key, one]) => [key, valueFor(one, random)])
    return { ...Object.fromEntries(entries), ...(random.once(4) && { unknown_key: 1 }) }
  }
  if (type === 'array') return Array.from({ length: random.below(4) }, () => valueFor(items ?? {}, random))
  const bound = Number(schema['minimum'] ?? schema['minLength'] ?? 1) - random.below(2)
  if (type === 'integer' || type === 'number') return random.pick([bound, Number(schema['maximum'] ?? 9) + 1])
  return type === 'boolean' ? random.once(2) : 'a'.repeat(Math.max(0, bound + random.below(3)))
}

const ROUNDS = 25

test.each(all)('of values for %s it says what ajv says', (_name, schema) => {
  const validate = ajv.compile(schema)
  const random = randomOf(1)
  const keywords = new Set<string>()
  for (let round = 0; round < ROUNDS; round += 1) {
    const value = valueFor(schema, random)
    const judged = byJudge(schema, structuredClone(value))
    expect(judged).toEqual(byAjv(validate, value))
    for (const error of judged.errors) keywords.add((JSON.parse(error) as string[])[1] ?? '')
  }
  expect([...keywords]).toEqual(expect.arrayContaining(['required', 'type']))
})

test.each<[string, Schema, unknown]>([
  ['a choice of schemas', { anyOf: [{ type: 'string', maxLength: 1 }, { type: 'integer' }] }, 'ab'],
  ['other keys by a schema', { type: 'object', additionalProperties: { type: 'integer' } }, { a: 'b' }],
  ['several types', { type: 'object', properties: { a: { multipleOf: 2, type: 'integer' } } }, { a: 3 }],
])('what is not interpreted is compiled: %s', (_name, schema, wrong) => {
  expect(isInterpreted(schema)).toBe(false)
  const [error] = validatorOf(schema)(wrong)
  expect(error).toMatchObject({ schema: expect.any(Object), pointer: expect.any(String) })
})
