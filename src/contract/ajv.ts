/** The compiler of JSON Schemas, which few starts need. */
import { createRequire } from 'node:module'

/** Loaded where a schema is compiled: its 83 modules take 25 ms. */
export function loadAjv(): typeof import('ajv').Ajv {
  const { Ajv } = createRequire(import.meta.url)('ajv') as typeof import('ajv')
  return Ajv
}
