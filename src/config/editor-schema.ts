/** gateway.schema.json: the schema of the file in plain JSON Schema, for editors to complete and check. */
import { deliverySchema, type JsonSchema, plainSchema, takesEvents } from './delivery-schema.ts'
import { providerSchema } from './provider-schema.ts'
import { GatewaySchema } from './schema.ts'
import type { Plugins } from './validate.ts'

/** References may stand for any value. */
const reference: JsonSchema = {
  type: 'string',
  pattern: '\\$\\{(env:[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?|secret:[^:#{}]+:[^{}]+)\\}',
  description: 'A text with references: ${env:NAME}, ${env:NAME:-default} or ${secret:PROVIDER:PATH#KEY}.',
}

export function editorSchemaText({ sinks, providers }: Plugins): string {
  const file = forEditors(plainSchema(GatewaySchema))
  const mirrors = file.properties?.['mirrors']
  const streams = file.properties?.['streams']
  const places = file.properties?.['secrets']?.properties?.['providers']
  if (mirrors === undefined || streams === undefined || places === undefined)
    throw new Error('the schema has no mirrors, streams or providers')
  const eventSinks = sinks.filter(takesEvents)
  mirrors.items = byKind('sink', 'mirror', mirrors.items, sinks)
  streams.items = byKind('sink', 'stream', streams.items, eventSinks)
  places.items = byKind('provider', 'provider', places.items, providers)
  const definitions = sinks.map((sink) => [
    `mirror_${sink.name}`,
    { ...forEditors(deliverySchema('mirrors', sink)), description: sink.summary },
  ])
  const streamDefinitions = eventSinks.map((sink) => [
    `stream_${sink.name}`,
    { ...forEditors(deliverySchema('streams', sink)), description: sink.summary },
  ])
  const kinds = providers.map((provider) => [
    `provider_${provider.name}`,
    { ...forEditors(providerSchema(provider)), description: provider.summary },
  ])
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'gateway.yaml of mirrorgate',
    ...file,
    $defs: { reference, ...Object.fromEntries([...definitions, ...streamDefinitions, ...kinds]) },
  }
  return `${JSON.stringify(schema, null, 2)}\n`
}

/** Elements of a list whose key `kind` says which schema they have. */
function byKind(
  kind: string,
  noun: string,
  all: JsonSchema | undefined,
  plugins: readonly { readonly name: string }[],
): JsonSchema {
  const description = all?.properties?.[kind]?.description
  return {
    type: 'object',
    required: ['name', kind],
    properties: { [kind]: { enum: plugins.map(({ name }) => name), description } },
    allOf: plugins.map(({ name }) => ({
      if: { required: [kind], properties: { [kind]: { const: name } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { $ref: `#/$defs/${noun}_${name}` },
    })),
  }
}

/** The project's own words taken out, reserved keys too, and keys with defaults left optional. */
function forEditors(schema: JsonSchema): JsonSchema {
  const { later, laterValues = [], secret, rule, format, ...rest } = schema
  const own: JsonSchema = { ...rest }
  if (own.enum !== undefined) own.enum = own.enum.filter((value) => !laterValues.includes(value))
  if (own.items !== undefined) own.items = forEditors(own.items)
  if (own.patternProperties !== undefined) own.patternProperties = mapped(own.patternProperties)
  if (own.properties !== undefined) {
    own.properties = mapped(own.properties)
    own.required = (own.required ?? []).filter((key) => own.properties?.[key]?.default === undefined)
    if (own.required.length === 0) delete own.required
  }
  return withReference(own)
}

function mapped(properties: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(properties).flatMap(([key, schema]) => {
      if (schema.later !== true) return [[key, forEditors(schema)]]
      if (schema.default === undefined) return []
      const description = `${schema.description} Not available in this version.`
      return [[key, { const: schema.default, default: schema.default, description }]]
    }),
  )
}

/** What a text with references would break is allowed to be one instead. */
function withReference(schema: JsonSchema): JsonSchema {
  const strict = schema.enum !== undefined || schema['pattern'] !== undefined
  if (!strict && !['integer', 'number', 'boolean'].includes(String(schema.type))) return schema
  const { description, default: value, ...own } = schema
  return {
    ...(description === undefined ? {} : { description }),
    ...(value === undefined ? {} : { default: value }),
    anyOf: [own, { $ref: '#/$defs/reference' }],
  }
}
