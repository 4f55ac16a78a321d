/** Validation of queries and bodies by their schemas, with every problem in the project's wording. */
import { Ajv, type ErrorObject } from 'ajv'
import type { FastifySchemaCompiler } from 'fastify'
import { limits } from '../contract/limits.ts'
import { AdminError } from './errors.ts'

interface Schema {
  readonly properties?: Readonly<Record<string, { readonly type?: unknown }>>
}

const ajv = new Ajv({
  allErrors: true,
  verbose: true,
  strict: true,
  allowUnionTypes: true,
  useDefaults: true,
})

/**
 * A query with its integers as numbers. Not left to the validator: its coercion takes 1e999 for an integer,
 * and then no maximum stops it.
 */
function withIntegers(query: unknown, { properties = {} }: Schema): Record<string, unknown> {
  const values: Record<string, unknown> = { ...(query as Record<string, unknown>) }
  for (const [name, { type }] of Object.entries(properties)) {
    const text = values[name]
    if (type === 'integer' && typeof text === 'string' && /^-?\d{1,15}$/.test(text))
      values[name] = Number(text)
  }
  return values
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'string')
    return value.length <= 40 ? JSON.stringify(value) : `${value.length} characters`
  return String(value)
}

function sentence({ keyword, params, data, message }: ErrorObject): string {
  if (keyword === 'additionalProperties') return 'is not known here'
  if (keyword === 'required') return 'is required'
  if (keyword === 'enum')
    return `must be one of ${(params.allowedValues as string[]).join(', ')}, got ${kindOf(data)}`
  if (keyword === 'type') return `must be of type ${[params.type].flat().join(' or ')}, got ${kindOf(data)}`
  if (keyword === 'minimum') return `must be at least ${params.limit}, got ${kindOf(data)}`
  if (keyword === 'maximum') return `must be at most ${params.limit}, got ${kindOf(data)}`
  if (keyword === 'minLength')
    return `must have at least ${params.limit} characters, got ${(data as string).length}`
  if (keyword === 'maxLength')
    return `must have at most ${params.limit} characters, got ${(data as string).length}`
  return message ?? 'is not valid'
}

/** Where a problem is: `page[size]`, `items[0].name`; the part itself when it is wrong as a whole. */
function fieldOf({ instancePath, params, keyword }: ErrorObject, part: string): string {
  const steps = instancePath
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  if (keyword === 'additionalProperties') steps.push(String(params.additionalProperty))
  if (keyword === 'required') steps.push(String(params.missingProperty))
  const path = steps
    .map((step, at) => (/^\d+$/.test(step) ? `[${step}]` : at === 0 ? step : `.${step}`))
    .join('')
  return path === '' ? part : path.slice(0, 200)
}

function toAdminError(errors: readonly ErrorObject[], part: string): AdminError {
  const fields = new Map<string, string[]>()
  for (const error of errors.slice(0, limits.admin_problems_max)) {
    const field = fieldOf(error, part)
    fields.set(field, [...(fields.get(field) ?? []), sentence(error)])
  }
  return new AdminError(400, 'the request is not valid', { errors: Object.fromEntries(fields) })
}

/** Compiles one part of a route's schema for the server. */
export const compileValidator: FastifySchemaCompiler<Schema> = ({ schema, httpPart }) => {
  const part = httpPart === 'querystring' ? 'query' : (httpPart ?? 'request')
  const validate = ajv.compile(schema)
  return (data: unknown) => {
    const value = part === 'query' ? withIntegers(data, schema) : data
    return validate(value) ? { value } : { error: toAdminError(validate.errors ?? [], part) }
  }
}
