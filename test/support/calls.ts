/** The smallest request of an operation, made from the document. */
import type { Call, Documented } from './documented.ts'
import { type Placed, roleOf } from './openapi.ts'
import { smallest } from './schema-values.ts'

/** Operations on the session itself: they are driven by the cookie of one. */
export const withSession: ReadonlySet<string> = new Set(['DELETE /api/session'])

export function queryOf(name: string, value: unknown): string {
  const texts = [value].flat().map((one) => encodeURIComponent(String(one)))
  return texts.map((text) => `${encodeURIComponent(name)}=${text}`).join('&')
}

export const withQuery = (path: string, query: string): string =>
  query === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${query}`

/**
 * The smallest request that the document allows, by the least role that it names. `refused`: it will be, so
 * that the thing that it names is there afterwards, for the next one.
 */
export async function smallestCall(
  world: Documented,
  placed: Placed,
  { refused = false } = {},
): Promise<Call> {
  const { id, operation, method } = placed
  const queries = (operation.parameters ?? [])
    .filter((one) => one.in === 'query' && one.required === true)
    .map(({ name, schema }) => queryOf(name, smallest(schema, name, world.seed)))
  const { required, content = {} } = operation.requestBody ?? {}
  const [[type, first] = []] = Object.entries(content)
  const hasBody = required === true && type !== undefined && first !== undefined
  return {
    as: withSession.has(id) ? 'session' : (roleOf(operation) ?? null),
    method,
    path: withQuery(await world.pathOf(placed, refused), queries.join('&')),
    ...(hasBody && { headers: { 'content-type': type } }),
    ...(hasBody && { body: smallest(world.bodyOf(placed, first.schema), 'body', world.seed) }),
  }
}
