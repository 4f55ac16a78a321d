/** Judges values by JSON Schemas as they are written, and fills defaults in. */
import { isDeepStrictEqual } from 'node:util'
import type { JsonSchema } from './delivery-schema.ts'
import { formats } from './formats.ts'
import { pointerTo } from './places.ts'

/** What one keyword says against a value; keywords and their parameters are named as in ajv. */
export interface SchemaError {
  readonly keyword: string
  readonly pointer: string
  readonly params: Readonly<Record<string, unknown>>
  readonly schema: JsonSchema
  readonly data: unknown
}

type Section = Record<string, unknown>
const isText = (value: unknown): value is string => typeof value === 'string'
const isSection = (value: unknown): value is Section =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  array: Array.isArray,
  boolean: (value) => typeof value === 'boolean',
  integer: Number.isInteger,
  number: Number.isFinite,
  object: isSection,
  string: isText,
}

/** Keyword → whether this file gives it the meaning that this value has in a schema. */
const words: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: (name) => isText(name) && Object.hasOwn(types, name),
  additionalProperties: (rule) => typeof rule === 'boolean',
  items: (schema) => isSection(schema) && isInterpreted(schema),
  properties: (list) => isSection(list) && Object.values(list).every(isInterpreted),
  patternProperties: (list) => isSection(list) && Object.values(list).every(isInterpreted),
  format: (name) => isText(name) && Object.hasOwn(formats, name),
  // What says nothing about the value.
  ...always('default', 'description', 'rule', 'secret'),
  ...always('required', 'enum', 'later', 'laterValues', 'minimum', 'maximum', 'pattern'),
  ...always('minLength', 'maxLength', 'minItems', 'maxItems', 'uniqueItems'),
}

function always(...names: string[]): Record<string, () => true> {
  return Object.fromEntries(names.map((name) => [name, () => true]))
}

/** Whether every word of a schema, and of those in it, has its meaning here. */
export function isInterpreted(schema: unknown): boolean {
  return isSection(schema) && Object.entries(schema).every(([word, value]) => words[word]?.(value) === true)
}

/** Every error, in the order of ajv. `value` has every default afterwards. */
export function judge(schema: JsonSchema, value: unknown): SchemaError[] {
  const found: SchemaError[] = []
  judgeAt({ schema, data: value, pointer: '', found })
  return found
}

/** One value at its place, before the schema of this place. */
interface Place<Data = unknown> {
  readonly schema: JsonSchema
  readonly data: Data
  readonly pointer: string
  readonly found: SchemaError[]
}

function judgeAt(place: Place): void {
  const { schema, data } = place
  if (schema.type !== undefined && types[String(schema.type)]?.(data) !== true)
    fails(place, 'type', { type: schema.type })
  if (Number.isFinite(data)) judgeNumber(place as Place<number>)
  else if (isText(data)) judgeText(place as Place<string>)
  judgeChoice(place)
  if (Array.isArray(data)) judgeList(place as Place<unknown[]>)
  else if (isSection(data)) judgeSection(place as Place<Section>)
}

function fails(
  { schema, data, pointer, found }: Place,
  keyword: string,
  params: SchemaError['params'],
): void {
  found.push({ keyword, pointer, params, schema, data })
}

/** Whether a keyword is there and does not hold; its value is a number. */
function breaks(place: Place, keyword: string, holds: (limit: number) => boolean): void {
  const limit = place.schema[keyword]
  if (limit !== undefined && !holds(Number(limit))) fails(place, keyword, { limit })
}

function judgeNumber(place: Place<number>): void {
  breaks(place, 'maximum', (limit) => place.data <= limit)
  breaks(place, 'minimum', (limit) => place.data >= limit)
}

function judgeText(place: Place<string>): void {
  const { schema, data } = place
  // Characters are code points, JSON Schema validation 2020-12 §6.3.
  breaks(place, 'maxLength', (limit) => data.length <= limit || isShort(data, limit))
  breaks(place, 'minLength', (limit) => data.length >= 2 * limit || [...data].length >= limit)
  const { pattern, format } = schema
  if (isText(pattern) && !expression(pattern).test(data)) fails(place, 'pattern', { pattern })
  if (isText(format) && formats[format]?.(data) !== null) fails(place, 'format', { format })
}

/** Texts that cannot be short are not counted: a megabyte would become an array. */
const isShort = (text: string, limit: number) => text.length <= 2 * limit && [...text].length <= limit

function judgeChoice(place: Place): void {
  const { schema, data } = place
  const { enum: values, later, laterValues = [], default: preset } = schema
  if (values !== undefined && !values.some((value) => isDeepStrictEqual(value, data)))
    fails(place, 'enum', { allowedValues: values })
  if (later === true && (preset === undefined || !isDeepStrictEqual(data, preset))) fails(place, 'later', {})
  if (laterValues.includes(data)) fails(place, 'laterValues', {})
}

function judgeList(place: Place<unknown[]>): void {
  const { schema, data, pointer, found } = place
  breaks(place, 'maxItems', (limit) => data.length <= limit)
  breaks(place, 'minItems', (limit) => data.length >= limit)
  if (schema['uniqueItems'] === true) judgeRepeats(place)
  const { items } = schema
  if (items === undefined) return
  for (const [at, item] of data.entries())
    judgeAt({ schema: items, data: item, pointer: pointerTo(pointer, at), found })
}

/** One item that stands twice is told, as in ajv. */
function judgeRepeats(place: Place<unknown[]>): void {
  const type = place.schema.items?.type
  const isOfType = types[String(type)] ?? (() => true)
  const seen = new Map<string, number>()
  for (const [at, item] of place.data.entries()) {
    if (!isOfType(item)) continue
    const text = JSON.stringify(item)
    const first = seen.get(text)
    if (first !== undefined) return fails(place, 'uniqueItems', { i: at, j: first })
    seen.set(text, at)
  }
}

function judgeSection(place: Place<Section>): void {
  const { schema, data, pointer, found } = place
  const { required = [], properties = {}, patternProperties = {}, additionalProperties } = schema
  for (const [key, { default: preset }] of Object.entries(properties))
    if (data[key] === undefined && preset !== undefined)
      data[key] = typeof preset === 'object' ? structuredClone(preset) : preset
  for (const key of required) if (data[key] === undefined) fails(place, 'required', { missingProperty: key })
  const patterns = Object.entries(patternProperties).map(([text, one]) => [expression(text), one] as const)
  const isKnown = (key: string) =>
    Object.hasOwn(properties, key) || patterns.some(([pattern]) => pattern.test(key))
  if (additionalProperties === false)
    for (const key of Object.keys(data))
      if (!isKnown(key)) fails(place, 'additionalProperties', { additionalProperty: key })
  const judgeKey = (key: string, one: JsonSchema) =>
    judgeAt({ schema: one, data: data[key], pointer: pointerTo(pointer, key), found })
  for (const [key, one] of Object.entries(properties)) if (data[key] !== undefined) judgeKey(key, one)
  for (const [pattern, one] of patterns)
    for (const key of Object.keys(data)) if (pattern.test(key)) judgeKey(key, one)
}

/** By their text: as many as schemas name. */
const expressions = new Map<string, RegExp>()

function expression(pattern: string): RegExp {
  const made = expressions.get(pattern) ?? new RegExp(pattern, 'u')
  expressions.set(pattern, made)
  return made
}
