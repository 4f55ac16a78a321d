/** One schema per sink: what every mirror or stream has, and the sink's own keys beside it. */
import type { TSchema } from 'typebox'
import type { SinkDefinition } from '../contract/plugin.ts'
import { type DeliveryKind, deliveryKinds, resourceNouns } from '../contract/resources.ts'
import { GatewaySchema, MirrorCommon } from './schema.ts'
import { StreamCommon } from './schema-stream.ts'

const commonKeys = Object.freeze({ mirrors: MirrorCommon, streams: StreamCommon })

/** Whether a stream may use a sink: one that takes whole events, not halves of exchanges. */
export function takesEvents(sink: SinkDefinition): boolean {
  return sink.formats.includes('exchange') || sink.formats.includes('ndjson')
}

/** JSON Schema as plain data, for ajv and for the generated files. */
export interface JsonSchema {
  type?: string | string[]
  properties?: Record<string, JsonSchema>
  patternProperties?: Record<string, JsonSchema>
  additionalProperties?: boolean | JsonSchema
  required?: string[]
  items?: JsonSchema
  enum?: unknown[]
  default?: unknown
  description?: string
  later?: boolean
  laterValues?: unknown[]
  secret?: boolean
  rule?: string
  [keyword: string]: unknown
}

export function plainSchema(schema: TSchema): JsonSchema {
  return JSON.parse(JSON.stringify(schema)) as JsonSchema
}

/** Schema of a mirror or stream that uses this sink; its batch defaults are within the sink's own limits. */
export function deliverySchema(kind: DeliveryKind, sink: SinkDefinition): JsonSchema {
  const schema = plainSchema(commonKeys[kind])
  const own = plainSchema(sink.options)
  const properties = schema.properties ?? {}
  for (const [key, option] of Object.entries(own.properties ?? {})) {
    if (key in properties)
      throw new Error(`sink ${sink.name}: option ${key} is a key of every ${resourceNouns[kind]}`)
    properties[key] = option
  }
  schema.required = [...(schema.required ?? []), ...(own.required ?? [])]
  properties['sink'] = { ...properties['sink'], type: 'string', enum: [sink.name] }
  if (kind === 'mirrors')
    properties['format'] = { enum: [...sink.formats], description: properties['format']?.description }
  const batch = properties['batch']?.properties ?? {}
  lowerDefault(batch['max_items'], sink.limits.batch_items)
  lowerDefault(batch['max_bytes'], sink.limits.batch_bytes)
  return schema
}

function lowerDefault(schema: JsonSchema | undefined, limit: number): void {
  if (schema !== undefined && typeof schema.default === 'number')
    schema.default = Math.min(schema.default, limit)
}

/** Schema of the file with mirrors, streams and providers left open: each has the schema of its kind. */
export function fileSchema(): JsonSchema {
  const schema = plainSchema(GatewaySchema)
  for (const kind of deliveryKinds) {
    const list = schema.properties?.[kind]
    if (list !== undefined) list.items = { type: 'object' }
  }
  const providers = schema.properties?.['secrets']?.properties?.['providers']
  if (providers !== undefined) providers.items = { type: 'object' }
  return schema
}

/** Schema of a mirror or stream whose sink is not known: what it shares with all others. */
export function openDeliverySchema(kind: DeliveryKind): JsonSchema {
  return { ...plainSchema(commonKeys[kind]), additionalProperties: true }
}
