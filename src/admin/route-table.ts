/** The paths that exist, so that a wrong method is told from a wrong path. */
import type { FastifyRequest, RouteOptions } from 'fastify'
import { AdminError } from './errors.ts'

export class RouteTable {
  readonly #methods = new Map<string, Set<string>>()

  add({ url, method }: RouteOptions): void {
    const methods = this.#methods.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    this.#methods.set(url, methods)
  }

  /** Why a request has no route: 405 with Allow for a path that exists, otherwise 404. */
  refusal({ url, method }: FastifyRequest): AdminError {
    const path = url.split('?', 1)[0] ?? ''
    const allowed = new Set<string>()
    for (const [pattern, methods] of this.#methods) {
      if (matches(pattern, path)) for (const one of methods) allowed.add(one)
    }
    if (allowed.size === 0) return new AdminError(404, 'there is no such resource')
    // RFC 9110 §15.5.6: a 405 names the methods that the resource has.
    const allow = [...allowed].sort().join(', ')
    return new AdminError(405, `the method must be one of ${allow}, got ${method}`, { headers: { allow } })
  }
}

/** Whether a path has the form of a route: same number of segments, each equal or a parameter. */
function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/', wanted.length + 1)
  return (
    wanted.length === given.length &&
    wanted.every((segment, at) => (segment.startsWith(':') ? given[at] !== '' : segment === given[at]))
  )
}
