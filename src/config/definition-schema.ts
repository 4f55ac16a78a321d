/** The schema of one definition as the API documents it, made from the one that validates it. */
import type { SinkDefinition } from '../contract/plugin.ts'
import type { ResourceKind } from '../contract/resources.ts'
import { deliverySchema, type JsonSchema, plainSchema, takesEvents } from './delivery-schema.ts'
import { GatewaySchema } from './schema.ts'

/**
 * Of a mirror or stream, one for each sink. `optional`: keys that may be left out besides those with
 * defaults.
 */
export function definitionSchema(
  kind: ResourceKind,
  sinks: readonly SinkDefinition[],
  optional: (key: string) => boolean,
): JsonSchema {
  const own = (schema: JsonSchema): JsonSchema => {
    const { required = [], ...rest } = forReaders(schema)
    const needed = required.filter((key) => !optional(key))
    return needed.length === 0 ? rest : { ...rest, required: needed }
  }
  if (kind === 'streams') {
    const usable = sinks.filter(takesEvents)
    return { anyOf: usable.map((sink) => own(deliverySchema('streams', sink))), type: 'object' }
  }
  if (kind !== 'mirrors') return own(plainSchema(GatewaySchema).properties?.[kind]?.items ?? {})
  return { anyOf: sinks.map((sink) => own(withCollections(deliverySchema('mirrors', sink)))), type: 'object' }
}

function withCollections(schema: JsonSchema): JsonSchema {
  const description = 'Collections of the file or the API that the mirror attaches itself to; by API only.'
  const collections = { type: 'array', items: { type: 'string' }, default: [], description }
  return { ...schema, properties: { ...schema.properties, collections } }
}

/** Without the project's own words, and with what has a default left optional. */
function forReaders(schema: JsonSchema): JsonSchema {
  const { later, laterValues = [], secret, rule, format, required = [], ...rest } = schema
  const own: JsonSchema = { ...rest }
  if (own.enum !== undefined) own.enum = own.enum.filter((value) => !laterValues.includes(value))
  if (own.items !== undefined) own.items = forReaders(own.items)
  for (const key of ['properties', 'patternProperties'] as const) {
    const inner = own[key]
    if (inner !== undefined) own[key] = mapValues(inner)
  }
  const isNeeded = (schema?: JsonSchema): boolean => schema !== undefined && schema.default === undefined
  const needed = required.filter((key) => isNeeded(own.properties?.[key]))
  return needed.length === 0 ? own : { ...own, required: needed }
}

function mapValues(schemas: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> {
  const available = Object.entries(schemas).filter(([, schema]) => schema.later !== true)
  return Object.fromEntries(available.map(([key, schema]) => [key, forReaders(schema)]))
}
