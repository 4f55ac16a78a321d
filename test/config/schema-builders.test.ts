/** The builders of schemas give what TypeBox gives, its hidden marks included. */
import { Type as TypeBox } from 'typebox'
import { Value } from 'typebox/value'
import { expect, test } from 'vitest'
import { Type } from '../../src/contract/schema.ts'

/** Every builder, with and without options, and inside of each other. */
const schemas: Readonly<Record<string, (type: typeof Type) => object>> = {
  array: (type) => type.Array(type.String({ minLength: 1 }), { maxItems: 2, default: [] }),
  boolean: (type) => type.Boolean({ default: true }),
  enum: (type) => type.Enum(['a', 'b'], { description: 'One of two.' }),
  integer: (type) => type.Integer({ minimum: 1 }),
  'literal text': (type) => type.Literal('a', { description: 'Fixed.' }),
  'literal number': (type) => type.Literal(1),
  'literal truth': (type) => type.Literal(true),
  null: (type) => type.Null(),
  number: (type) => type.Number(),
  'object of what is required and what is not': (type) =>
    type.Object({ a: type.String(), b: type.Optional(type.Integer()) }, { additionalProperties: false }),
  'object of nothing required': (type) => type.Object({ a: type.Optional(type.Null()) }),
  'empty object': (type) => type.Object({}),
  'optional of an optional': (type) => type.Optional(type.Optional(type.String())),
  'part of an object': (type) =>
    type.Partial(
      type.Object({ a: type.String(), b: type.Optional(type.Integer()) }, { description: 'Some.' }),
    ),
  record: (type) => type.Record(type.String(), type.Integer(), { description: 'Counts.' }),
  'record of certain names': (type) =>
    type.Record(type.String({ pattern: '^[a-z]+$' }), type.String(), { additionalProperties: false }),
  union: (type) => type.Union([type.Integer(), type.Null()], { description: 'Perhaps.' }),
  unknown: (type) => type.Unknown({ description: 'Anything.' }),
  unsafe: (type) => type.Unsafe<string>({ type: 'string', later: true }),
  'optional unsafe': (type) => type.Optional(type.Unsafe<string>({ type: 'string' })),
  'copy of an optional': (type) => type.Object({ a: { ...type.Optional(type.String()) } }),
}

/** Own properties with their attributes, all the way down: marks are hidden ones. */
function laidOpen(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const own = Object.entries(Object.getOwnPropertyDescriptors(value))
  return Object.fromEntries(own.map(([key, one]) => [key, { ...one, value: laidOpen(one.value) }]))
}

test.each(Object.keys(schemas))('%s', (name) => {
  const build = schemas[name] as (type: typeof Type) => object
  expect(JSON.stringify(build(Type))).toBe(JSON.stringify(build(TypeBox)))
  expect(laidOpen(build(Type))).toEqual(laidOpen(build(TypeBox)))
})

test('every builder is held against its model', () => {
  const used = JSON.stringify(Object.values(schemas).map(String))
  expect(Object.keys(Type).filter((name) => !used.includes(`type.${name}`))).toEqual([])
})

test('what TypeBox does with values, it does with these schemas', () => {
  const section = Type.Object({ port: Type.Integer({ default: 80 }), host: Type.Optional(Type.String()) })
  expect(Value.Default(section, {})).toEqual({ port: 80 })
  expect(Value.Check(section, { port: 'x' })).toBe(false)
})
