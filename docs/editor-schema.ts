/** gateway.schema.json: the schema of the file in plain JSON Schema, for editors to complete and check. */
import { type JsonSchema, mirrorSchema, plainSchema } from '../src/config/mirror-schema.ts'
import { GatewaySchema } from '../src/config/schema.ts'
import type { SinkDefinition } from '../src/contract/plugin.ts'

/** References may stand for any value. */
const reference: JsonSchema = {
  type: 'string',
  pattern: '\\$\\{env:[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}',
  description: 'A text with references: ${env:NAME} or ${env:NAME:-default}.',
}

export function editorSchemaText(sinks: readonly SinkDefinition[]): string {
  const file = forEditors(plainSchema(GatewaySchema))
  const mirrors = file.properties?.['mirrors']
  if (mirrors === undefined) throw new Error('the schema has no mirrors')
  mirrors.items = {
    type: 'object',
    required: ['name', 'sink'],
    properties: {
      sink: {
        enum: sinks.map(({ name }) => name),
        description: mirrors.items?.properties?.['sink']?.description,
      },
    },
    allOf: sinks.map(({ name }) => ({
      if: { required: ['sink'], properties: { sink: { const: name } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { $ref: `#/$defs/mirror_${name}` },
    })),
  }
  const definitions = sinks.map((sink) => [
    `mirror_${sink.name}`,
    { ...forEditors(mirrorSchema(sink)), description: sink.summary },
  ])
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'gateway.yaml of mirrorgate',
    ...file,
    $defs: { reference, ...Object.fromEntries(definitions) },
  }
  return `${JSON.stringify(schema, null, 2)}\n`
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
