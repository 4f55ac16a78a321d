/** The JSON Schema validator with the project's own words and formats. */
import { Ajv, type AnySchemaObject } from 'ajv'
import { isDeepStrictEqual } from 'node:util'
import { formats } from './formats.ts'

/**
 * Fills defaults in, finds every error, and refuses words that it does not know. `judged`: its schemas are
 * known to be schemas, by tests or since they were compiled before.
 */
export function createAjv({ judged }: { judged: boolean }): Ajv {
  const ajv = new Ajv({
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
