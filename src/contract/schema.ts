/**
 * The builders of JSON Schemas that the gateway and its plugins use, with TypeBox's types and its results.
 *
 * TypeBox itself is 373 modules. Loading them took 0.19 s of every start, and again of every thread that
 * delivers.
 */
import type { TProperties, TSchema, Type as TypeBox } from 'typebox'

type Options = Readonly<Record<string, unknown>>
type Names =
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Literal'
  | 'Null'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'Partial'
  | 'Record'
  | 'String'
  | 'Union'
  | 'Unknown'
  | 'Unsafe'

/** TypeBox's own mark of an optional property. */
const optionalMark = '~optional'

/** Marks never show in the JSON of a schema, and a copy made by spreading loses them: as TypeBox's do. */
function mark(schema: object, name: string, value: unknown): object {
  return Object.defineProperty(schema, name, { value, enumerable: false, configurable: true, writable: true })
}

function create(kind: string, keywords: object, options: Options = {}): object {
  return mark({ ...keywords, ...options }, '~kind', kind)
}

function copy(schema: object): object {
  return Object.defineProperties({}, Object.getOwnPropertyDescriptors(schema))
}

const plain = (kind: string) => {
  const keywords = kind === 'Unknown' ? {} : { type: kind.toLowerCase() }
  return (options?: Options) => create(kind, keywords, options)
}

function createObject(properties: TProperties, options?: Options): object {
  const required = Object.keys(properties).filter((key) => !(optionalMark in (properties[key] as object)))
  const keywords = { type: 'object', ...(required.length > 0 ? { required } : {}), properties }
  return create('Object', keywords, options)
}

/** Without the options of the whole, as TypeBox does it. */
function partial({ properties }: { readonly properties: TProperties }): object {
  const all = Object.entries(properties).map(([key, schema]) => [key, optional(schema)])
  return createObject(Object.fromEntries(all) as TProperties)
}

const optional = (schema: TSchema): object => mark(copy(schema), optionalMark, true)

const builders = {
  Array: (items: TSchema, options?: Options) => create('Array', { type: 'array', items }, options),
  Boolean: plain('Boolean'),
  Enum: (values: readonly unknown[], options?: Options) => create('Enum', { enum: values }, options),
  Integer: plain('Integer'),
  Literal: (value: string | number | boolean, options?: Options) =>
    create('Literal', { type: typeof value, const: value }, options),
  Null: plain('Null'),
  Number: plain('Number'),
  Object: createObject,
  Optional: optional,
  Partial: partial,
  /** With any text as a key, or with what the pattern of `key` allows. */
  Record: ({ pattern = '^.*$' }: { readonly pattern?: string }, value: TSchema, options?: Options) =>
    create('Record', { type: 'object', patternProperties: { [pattern]: value } }, options),
  String: plain('String'),
  Union: (anyOf: readonly TSchema[], options?: Options) => create('Union', { anyOf }, options),
  Unknown: plain('Unknown'),
  Unsafe: (schema: object) => mark(copy(schema), '~unsafe', null),
}

export const Type = builders as unknown as Pick<typeof TypeBox, Names>
