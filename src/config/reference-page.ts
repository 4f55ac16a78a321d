/** docs/configuration.md: every key of gateway.yaml with its type, default, range and meaning. */
import { deliverySchema, type JsonSchema, plainSchema, takesEvents } from './delivery-schema.ts'
import { providerSchema } from './provider-schema.ts'
import { GatewaySchema, MirrorCommon, StreamCommon } from './schema.ts'
import type { Plugins } from './validate.ts'
import type { ProviderDefinition, SinkDefinition } from '../contract/plugin.ts'

const introduction = `# Configuration

<!-- Generated from src/config and plugins by \`npm run docs\`: change it there. -->

One file, \`gateway.yaml\`. Only \`collections\` is required; other keys have the defaults that stand here.
Unknown keys are problems. \`mirrorgate check --config gateway.yaml\` prints every problem at once, each with
its line, and \`gateway.schema.json\` lets editors complete and check the file.

Any value may hold references to environment variables: \`\${env:NAME}\`, or \`\${env:NAME:-default}\` where
it may be unset or empty. One that is neither set nor has a default is a problem. A value that is
nothing but a reference may stand for a number: \`port: \${env:PORT:-8080}\`. In brackets it needs quotes.
The fields of a connection, and keys that say so, may also refer to secrets, which are read when
something is delivered: \`\${secret:PROVIDER:PATH#KEY}\`, see [secrets](secrets.md).
\`$\${\` is a literal \`\${\`.

Times are in milliseconds (\`_ms\`), sizes in bytes (\`_bytes\`). Keys marked *later* are reserved:
this version accepts only their default.
`

export function configurationPage({ sinks, providers }: Plugins): string {
  const file = plainSchema(GatewaySchema)
  const mirrors = file.properties?.['mirrors']
  const streams = file.properties?.['streams']
  if (mirrors === undefined || streams === undefined) throw new Error('the schema has no mirrors or streams')
  mirrors.items = plainSchema(MirrorCommon)
  streams.items = plainSchema(StreamCommon)
  const parts = [introduction, ...tables('', file, 2), ...sinks.map(sinkPart), ...providers.map(providerPart)]
  return `${parts.join('\n')}`
}

/** The table of one section, and after it those of the sections in it. */
function tables(path: string, schema: JsonSchema, level: number): string[] {
  const required = schema.required ?? []
  const rows: string[] = []
  const inner: string[] = []
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    const full = path === '' ? key : `${path}.${key}`
    const below = value.items?.properties === undefined ? value : value.items
    const place = below === value ? full : `${full}[]`
    rows.push(row(key, value, required.includes(key)))
    if (below.properties === undefined) continue
    const heading = `${'#'.repeat(Math.min(level, 4))} \`${place}\`\n`
    inner.push(heading, `${below.description ?? ''}\n`, ...tables(place, below, level + 1))
  }
  return [`${head}\n${rows.join('\n')}\n`, ...inner]
}

const head = '| key | type | default | range | meaning |\n| --- | --- | --- | --- | --- |'

function row(key: string, schema: JsonSchema, required: boolean): string {
  const value = schema.properties !== undefined ? '' : defaultOf(schema, required)
  const meaning = `${schema.later === true ? '*later* ' : ''}${schema.description ?? ''}`
  const cells = [`\`${key}\``, typeOf(schema), value, rangeOf(schema), meaning]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('<', '&lt;')).join(' | ')} |`
}

function defaultOf(schema: JsonSchema, required: boolean): string {
  if (schema.default !== undefined) return `\`${JSON.stringify(schema.default)}\``
  return required ? '*required*' : ''
}

const typeNames: Readonly<Record<string, string>> = {
  integer: 'whole number',
  number: 'number',
  string: 'text',
  boolean: 'true or false',
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) return 'one of'
  if (schema.items !== undefined) return schema.items.properties === undefined ? 'list' : 'list of sections'
  if (schema.patternProperties !== undefined) return 'names and texts'
  if (schema.properties !== undefined) return 'section'
  return typeNames[String(schema.type)] ?? ''
}

function rangeOf(schema: JsonSchema): string {
  const { minimum, maximum, maxItems, minItems } = schema as Readonly<Record<string, number | undefined>>
  const choices = schema.enum ?? schema.items?.enum
  if (choices !== undefined)
    return choices.map((value) => `\`${value}\`${reserved(schema, value)}`).join(', ')
  if (minimum !== undefined && maximum !== undefined) {
    return maximum >= Number.MAX_SAFE_INTEGER ? `from ${minimum}` : `${minimum} to ${maximum}`
  }
  if (maxItems !== undefined)
    return minItems === undefined ? `at most ${maxItems}` : `${minItems} to ${maxItems}`
  return ''
}

function reserved(schema: JsonSchema, value: unknown): string {
  return schema.laterValues?.includes(value) === true ? ' (later)' : ''
}

/** The keys that a sink adds to a mirror or stream. */
function sinkPart(sink: SinkDefinition): string {
  const own = plainSchema(sink.options)
  const all = deliverySchema('mirrors', sink)
  const required = own.required ?? []
  const rows = Object.entries(own.properties ?? {}).map(([key, schema]) =>
    row(key, schema, required.includes(key)),
  )
  const batch = all.properties?.['batch']?.properties ?? {}
  const [items, bytes] = [batch['max_items']?.default, batch['max_bytes']?.default]
  const { batch_items, batch_bytes, item_bytes } = sink.limits
  const bounds = [
    `Formats: ${sink.formats.map((format) => `\`${format}\``).join(', ')}.`,
    `Its own limits: ${batch_items} items and ${batch_bytes} bytes in a batch,`,
    `${item_bytes} bytes in an item`,
    `(\`batch.max_items\` is ${items}, \`batch.max_bytes\` ${bytes} by default).`,
  ]
  const table = rows.length === 0 ? 'No keys of its own.' : `${head}\n${rows.join('\n')}`
  const users = takesEvents(sink) ? '`mirrors[]` and `streams[]`' : '`mirrors[]`'
  const heading = `## ${users} with \`sink: ${sink.name}\``
  return `${[heading, sink.summary, table, bounds.join('\n')].join('\n\n')}\n`
}

/** The keys that a provider of secrets adds to its entry. */
function providerPart(provider: ProviderDefinition): string {
  const own = Object.keys(provider.options.properties)
  const { properties = {}, required = [] } = providerSchema(provider)
  const rows = own.map((key) => row(key, properties[key] ?? {}, required.includes(key)))
  const table = rows.length === 0 ? 'No keys of its own.' : `${head}\n${rows.join('\n')}`
  const heading = `## \`secrets.providers[]\` with \`provider: ${provider.name}\``
  return `${[heading, provider.summary, table].join('\n\n')}\n`
}
