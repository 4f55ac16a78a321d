/** Errors of the paths that speak as Konnect does: `application/problem+json` (RFC 9457). */
import { randomUUID } from 'node:crypto'
import { reasonPhrase } from '../../contract/node-http.ts'
import { Type } from '../../contract/schema.ts'
import type { FieldErrors } from '../errors.ts'

export const problemType = 'application/problem+json; charset=utf-8'

/** Paths below these answer problems. */
export function speaksProblems(url: string): boolean {
  return /^\/v[23]\//.test(url)
}

const titles: Readonly<Record<number, string>> = { 409: 'Resource Conflict' }

export function problemOf(status: number, detail: string, errors: FieldErrors): object {
  const invalid = Object.entries(errors).flatMap(([field, reasons]) =>
    reasons.map((reason) => ({ field, reason, source: field.includes('[') ? 'query' : 'body' })),
  )
  return {
    status,
    title: titles[status] ?? (reasonPhrase(status) || 'Error'),
    instance: `mirrorgate:trace:${randomUUID()}`,
    detail,
    ...(invalid.length > 0 && { invalid_parameters: invalid }),
  }
}

export const ProblemAnswer = Type.Object(
  {
    status: Type.Integer(),
    title: Type.String(),
    instance: Type.String({ description: 'Another one for each answer.' }),
    detail: Type.String(),
    invalid_parameters: Type.Optional(
      Type.Array(Type.Object({ field: Type.String(), reason: Type.String(), source: Type.String() })),
    ),
  },
  { additionalProperties: true },
)
