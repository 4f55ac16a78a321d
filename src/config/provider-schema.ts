/** One schema per provider of secrets: its name and kind, and the provider's own keys beside them. */
import type { ProviderDefinition } from '../contract/secrets.ts'
import { type JsonSchema, plainSchema } from './delivery-schema.ts'
import { Provider } from './schema-secrets.ts'

export function providerSchema(definition: ProviderDefinition): JsonSchema {
  const schema = plainSchema(Provider)
  const own = plainSchema(definition.options)
  const properties = schema.properties ?? {}
  for (const [key, option] of Object.entries(own.properties ?? {})) {
    if (key in properties) throw new Error(`provider ${definition.name}: option ${key} is a key of every one`)
    properties[key] = definition.secretOptions.includes(key) ? { ...option, secret: true } : option
  }
  schema.required = [...(schema.required ?? []), ...(own.required ?? [])]
  properties['provider'] = { ...properties['provider'], type: 'string', enum: [definition.name] }
  return schema
}

/** Schema of a provider whose kind is not known: what it shares with all others. */
export function openProviderSchema(): JsonSchema {
  return { ...plainSchema(Provider), additionalProperties: true }
}
