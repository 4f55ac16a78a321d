/** JSON Schemas with the project's own words and formats, in ajv: for schemas of plugins outside the tree. */
import type { Ajv, AnySchemaObject } from 'ajv'
import { isDeepStrictEqual } from 'node:util'
import { loadAjv } from '../contract/ajv.ts'
import type { JsonSchema } from './delivery-schema.ts'
import { formats } from './formats.ts'
import { isInterpreted, judge, type SchemaError } from './json-schema.ts'

/**
 * Fills defaults in, finds every error, and refuses words that it does not know. `judged`: its schemas are
 * known to be schemas, by tests or since they were compiled before.
 */
export function createAjv({ judged }: { judged: boolean }): Ajv {
  const ajv = new (loadAjv())({
    allErrors: true,
    useDefaults: true,
    strict: true,
    verbose: true,
    // Making the code of a validator that runs once shorter took longer than all else of compiling it.
    code: { optimize: false },
    // Compiling what judges schemas takes 35 ms, at every start.
    validateSchema: !judged,
  })
  for (const [name, check] of Object.entries(formats)) {
    ajv.addFormat(name, { type: 'string', validate: (text: string) => check(text) === null })
  }
  ajv.addKeyword({ keyword: ['secret', 'rule'] })
  ajv.addKeyword({
    keyword: 'later',
    validate: (_: true, value: unknown, schema?: AnySchemaObject) =>
      schema?.['default'] !== undefined && isDeepStrictEqual(value, schema['default']),
    errors: false,
  })
  ajv.addKeyword({
    keyword: 'laterValues',
    validate: (values: unknown[], value: unknown) => !values.includes(value),
    errors: false,
  })
  return ajv
}

/** Every error of a value, which has every default afterwards. */
export type Validator = (value: unknown) => readonly SchemaError[]

/** Compiling the schemas of the tree took a seventh of every start: ajv is for words that they do not use. */
export function validatorOf(schema: JsonSchema): Validator {
  if (isInterpreted(schema)) return (value) => judge(schema, value)
  const validate = createAjv({ judged: true }).compile(schema)
  return (value) => {
    validate(value)
    return (validate.errors ?? []).map(({ keyword, params, instancePath, parentSchema = {}, data }) => ({
      ...{ keyword, params, pointer: instancePath, schema: parentSchema, data },
    }))
  }
}
