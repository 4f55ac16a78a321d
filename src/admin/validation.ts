/** Validation of queries and bodies by their schemas, with every problem in the project's wording. */
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv'
import type { FastifySchemaCompiler } from 'fastify'
import { loadAjv } from '../contract/ajv.ts'
import { limits } from '../contract/limits.ts'
import { nearest } from '../contract/nearest.ts'
import { AdminError } from './errors.ts'
import { typedQuery, UnreadableQuery } from './query.ts'

interface Schema {
  readonly properties?: Readonly<Record<string, { readonly type?: unknown }>>
}

let ajv: Ajv | null = null

function compile(schema: Schema): ValidateFunction {
  ajv ??= new (loadAjv())({
    allErrors: true,
    verbose: true,
    strict: true,
    allowUnionTypes: true,
    useDefaults: true,
    code: { optimize: false },
    // A test judges all of them.
    validateSchema: false,
  })
  return ajv.compile(schema)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'string')
    return value.length <= 40 ? JSON.stringify(value) : `${value.length} characters`
  return String(value)
}

/** That a name is unknown, and the one that was probably meant. */
function unknown({ params, parentSchema }: ErrorObject): string {
  const { properties = {} } = (parentSchema ?? {}) as Schema
  const guess = nearest(String(params.additionalProperty), Object.keys(properties))
  return guess === undefined ? 'is not known here' : `is not known here, did you mean \`${guess}\`?`
}

function sentence(error: ErrorObject): string {
  const { keyword, params, data, message } = error
  if (keyword === 'additionalProperties') return unknown(error)
  if (keyword === 'required') return 'is required'
  if (keyword === 'enum')
    return `must be one of ${(params.allowedValues as string[]).join(', ')}, got ${kindOf(data)}`
  if (keyword === 'type') return `must be of type ${[params.type].flat().join(' or ')}, got ${kindOf(data)}`
  if (keyword === 'minimum') return `must be at least ${params.limit}, got ${kindOf(data)}`
  if (keyword === 'maximum') return `must be at most ${params.limit}, got ${kindOf(data)}`
  if (keyword === 'minLength')
    return `must have at least ${params.limit} characters, got ${[...(data as string)].length}`
  if (keyword === 'maxLength')
    return `must have at most ${params.limit} characters, got ${[...(data as string)].length}`
  if (keyword === 'minItems' || keyword === 'maxItems') {
    const bound = keyword === 'minItems' ? 'at least' : 'at most'
    return `must have ${bound} ${params.limit} values, got ${(data as unknown[]).length}`
  }
  if (keyword === 'pattern') return `must match ${params.pattern}, got ${kindOf(data)}`
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
  // One parameter, also where it is a list: its values have no names.
  if (part === 'query') steps.length = Math.min(steps.length, 1)
  const path = steps
    .map((step, at) => (/^\d+$/.test(step) ? `[${step}]` : at === 0 ? step : `.${step}`))
    .join('')
  return path === '' ? part : path.slice(0, 200)
}

/** Without what a choice adds where a branch of it says more: that none fits, and which have another type. */
function withoutChoices(errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const choices = errors.filter(({ keyword }) => keyword === 'anyOf').slice(0, limits.admin_problems_max)
  return choices.reduce((left, choice) => {
    const isOfBranch = ({ schemaPath }: ErrorObject) => schemaPath.startsWith(`${choice.schemaPath}/`)
    const isType = (error: ErrorObject) =>
      isOfBranch(error) && error.keyword === 'type' && error.instancePath === choice.instancePath
    const saysMore = left.some((error) => isOfBranch(error) && !isType(error))
    return left.filter((error) => error !== choice && !(saysMore && isType(error)))
  }, errors)
}

function toAdminError(errors: readonly ErrorObject[], part: string): AdminError {
  const fields = new Map<string, string[]>()
  for (const error of withoutChoices(errors).slice(0, limits.admin_problems_max)) {
    const field = fieldOf(error, part)
    // Once, also where many values of one list are wrong in the same way.
    fields.set(field, [...new Set([...(fields.get(field) ?? []), sentence(error)])])
  }
  return new AdminError(400, 'the request is not valid', { errors: Object.fromEntries(fields) })
}

/** Compiles one part of a route's schema at its first use: a start would wait for what few ask for. */
export const compileValidator: FastifySchemaCompiler<Schema> = ({ schema, httpPart }) => {
  const part = httpPart === 'querystring' ? 'query' : (httpPart ?? 'request')
  let compiled: ValidateFunction | null = null
  return (data: unknown) => {
    if (data instanceof UnreadableQuery) {
      return {
        error: new AdminError(400, 'the request is not valid', { errors: { query: [data.sentence] } }),
      }
    }
    const value = part === 'query' ? typedQuery(data as object, schema.properties) : data
    compiled ??= compile(schema)
    const validate = compiled
    return validate(value) ? { value } : { error: toAdminError(validate.errors ?? [], part) }
  }
}
