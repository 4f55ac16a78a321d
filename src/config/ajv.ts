/** The JSON Schema validator with the project's own words and formats. */
import { Ajv, type AnySchemaObject } from 'ajv'
import { isDeepStrictEqual } from 'node:util'
import { formats } from './formats.ts'

/** Fills defaults in, finds every error, and refuses words that it does not know. */
export function createAjv(): Ajv {
  const ajv = new Ajv({
    allErrors: true,
    useDefaults: true,
    strict: true,
    verbose: true,
    // Making the code of a validator that runs once shorter took longer than all else of compiling it.
    code: { optimize: false },
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
