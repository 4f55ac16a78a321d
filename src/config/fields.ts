/**
 * The building blocks of the schema. Beside JSON Schema's own words, a key may carry:
 *
 * - `later: true`: reserved; accepts only its default, and says so otherwise
 * - `laterValues: […]`: single values that are reserved
 * - `secret: true`: its value is never shown
 * - `rule: '…'`: what to say when the pattern does not match
 */
import type { TSchema, TUnsafe } from 'typebox'
import { limits } from '../contract/limits.ts'
import { Type } from '../contract/schema.ts'

export const SECOND = 1000
export const HOUR = 3600 * SECOND
export const DAY = 24 * HOUR
export const MIB = 1024 * 1024

/** A section: an object that refuses unknown keys and fills its own defaults when it is left out. */
export function section<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { additionalProperties: false, default: {}, description })
}

/** An element of a list: refuses unknown keys; has no default of its own. */
export function entry<P extends Record<string, TSchema>>(properties: P, description: string) {
  return Type.Object(properties, { additionalProperties: false, description })
}

/** A whole number with a default and a range; the unit is the last word of its key. */
export const count = (value: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum, maximum, description })

/** A whole number that has no default of its own. */
export const optionalCount = (minimum: number, maximum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum, description }))

export const flag = (value: boolean, description: string) => Type.Boolean({ default: value, description })

export const text = (description: string, extra: object = {}) =>
  Type.String({ minLength: 1, maxLength: 4096, description, ...extra })

export const strings = (description: string, extra: object = {}) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 512, ...extra }), {
    default: [],
    maxItems: 200,
    description,
  })

const namePattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
const nameRule =
  'must begin with a letter or digit and hold only letters, digits, dot, dash and underscore, at most 64'

/** Names are folder names and metric labels. */
export const name = (description: string) =>
  Type.String({ pattern: namePattern, rule: nameRule, description })

/** Handles of tags; whether a tag has one is known to the running gateway alone. */
export const tagHandles = (description: string) =>
  Type.Array(
    Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$',
      rule: 'must be the handle of a tag, like tag-ANgdXgTF-bANz3H',
    }),
    { default: [], maxItems: limits.tags_per_list_max, uniqueItems: true, description },
  )

/** A key or section that a later version brings. */
export const later = (description: string): TUnsafe<unknown> =>
  Type.Unsafe<unknown>({ later: true, description })

/** RFC 9110 §5.6.2: a header field name. */
export const token = Object.freeze({
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
  rule: 'must be an HTTP header name',
})
