/** The document of the admin port as a test reads it: its operations, their roles, and their answers. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { type Role, roles } from '../../src/contract/roles.ts'

export interface Schema {
  readonly [keyword: string]: unknown
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly pattern?: string
}

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header' | 'cookie'
  readonly required?: boolean
  readonly schema: Schema
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>
export interface Response {
  readonly description?: string
  readonly content?: Content
}

export interface Operation {
  readonly summary?: string
  readonly operationId?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly required?: boolean; readonly content: Content }
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly responses: Readonly<Record<string, Response>>
}

export interface Document {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>
    readonly securitySchemes: Readonly<Record<string, unknown>>
  }
}

/** One operation with where it stands: `POST /api/tags`. */
export interface Placed {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly operation: Operation
}

export function operationsOf({ paths }: Document): Placed[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([name, operation]) => {
      const method = name.toUpperCase()
      return { id: `${method} ${path}`, method, path, operation }
    }),
  )
}

/** The least role that may; null for everybody. Undefined where the document does not say. */
export function roleOf({ security }: Operation): Role | null | undefined {
  if (security === undefined) return undefined
  if (security.every((one) => Object.keys(one).length === 0)) return null
  // An empty requirement beside others: the token may be left out.
  if (security.some((one) => Object.keys(one).length === 0)) return null
  const named = new Set(security.flatMap((one) => Object.values(one).flat()))
  return named.size === 1 ? roles.find((role) => named.has(role)) : undefined
}

/** What the document says of a status: itself, or its range. */
export function responseTo({ responses }: Operation, status: number): Response | undefined {
  return responses[status] ?? responses[`${String(status)[0]}XX`]
}

/** RFC 3339 §5.6, as far as a date that exists. */
const dateTime = {
  validate: (text: string) =>
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text)),
}

/** Validators of answers, which may hold nothing that the document does not name. */
export class Answers {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': dateTime } })
  readonly #compiled = new Map<Schema, ValidateFunction>()
  readonly #components: Readonly<Record<string, Schema>>

  constructor({ components }: Document) {
    this.#components = closed(components.schemas) as Readonly<Record<string, Schema>>
  }

  /** Schemas of a document that are none (JSON Schema 2020-12), with what is wrong. */
  invalidSchemas(api: Document): string[] {
    const bodies = operationsOf(api).flatMap(({ id, operation }) => {
      const { parameters = [], requestBody, responses } = operation
      const contents = [requestBody, ...Object.values(responses)].map((one) => one?.content ?? {})
      const ofContents = contents.flatMap((content) => Object.values(content).map(({ schema }) => schema))
      return [...parameters.map(({ schema }) => schema), ...ofContents].map((schema) => [id, schema] as const)
    })
    const named = Object.entries(api.components.schemas)
    return [...bodies, ...named].flatMap(([name, schema]) =>
      this.#ajv.validateSchema(schema) === true ? [] : [`${name}: ${this.#ajv.errorsText()}`],
    )
  }

  /** Why a value is not what a schema says; null when it is. */
  problem(schema: Schema, value: unknown): string | null {
    let validate = this.#compiled.get(schema)
    if (validate === undefined) {
      const whole = { ...(closed(schema) as Schema), components: { schemas: this.#components } }
      validate = this.#ajv.compile(whole)
      this.#compiled.set(schema, validate)
    }
    if (validate(value)) return null
    const details = validate.errors?.map(({ params }) => JSON.stringify(params)).join()
    return `${this.#ajv.errorsText(validate.errors)} ${details}`
  }
}

/** A copy in which an object has the named properties and no others, unless its schema says so. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed)
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, closed(one)]))
  const isObject = copy['type'] === 'object' && copy['properties'] !== undefined
  return isObject && copy['additionalProperties'] === undefined
    ? { ...copy, additionalProperties: false }
    : copy
}
