/** Any event as a line of CEF: what the standard's dictionary knows has its keys, the rest has our own. */
import { limits } from '../contract/limits.ts'
import { version } from '../contract/version.ts'
import { cefLine, type CefPair } from './cef.ts'
import { type Fields, fieldsOf, httpStatusOf, isFields, textOf, timeOf, typeOf } from './event-fields.ts'

/** Key of the dictionary → where events of several kinds have it. */
const dictionary: readonly (readonly [key: string, paths: readonly string[]])[] = [
  ['src', ['details.request.ip_address', 'client.ip', 'ip']],
  ['suser', ['user.email', 'user.name', 'context.user_email', 'client']],
  ['suid', ['user.id', 'context.user_id', 'account_id']],
  ['request', ['request.path', 'path', 'endpoint', 'context.recipe_url']],
  ['requestMethod', ['request.method', 'method']],
  ['requestClientApplication', ['details.request.user_agent', 'user_agent']],
  ['outcome', ['outcome', 'status', 'response.status', 'code']],
  ['reason', ['gateway_code', 'error', 'details.reason']],
  ['externalId', ['id', 'request_id']],
  ['msg', ['message', 'title', 'details.activity']],
]

/** The dictionary's words for ours: an event of which one of them is a part matters more than others. */
const severe = /(?:^|_)(?:failed|locked|rejected|lost|parked|dropped|denied|unclean|unavailable)(?:_|$)/

/** Nesting that keys of our own are made for; what is deeper stands there as JSON. */
const DEPTH_MAX = 6

export function cefOfEvent(event: string): string {
  const fields = fieldsOf(event)
  const type = typeOf(fields)
  const known: CefPair[] = [['rt', timeOf(fields)]]
  const used = new Set<string>()
  for (const [key, paths] of dictionary) {
    const path = paths.find((candidate) => textOf(fields, candidate) !== undefined)
    if (path === undefined) continue
    used.add(path)
    known.push([key, textOf(fields, path) as string])
  }
  return cefLine({
    device: ['mirrorgate', 'mirrorgate', version],
    classId: type,
    name: type.replaceAll('_', ' '),
    severity: severityOf(fields, type),
    pairs: [...known, ...ownPairs(fields, used)].slice(0, limits.cef_pairs_max),
  })
}

function severityOf(fields: Fields, type: string): number {
  const status = httpStatusOf(fields)
  if (status !== undefined && status >= 500) return 7
  if (status === 401 || status === 403 || severe.test(type)) return 6
  return textOf(fields, 'status') === 'failed' ? 6 : 1
}

/** `details.old_value` becomes `mirrorgateDetailsOldValue`: keys beside the dictionary are alphanumeric. */
function ownPairs(fields: Fields, used: ReadonlySet<string>): CefPair[] {
  const pairs = new Map<string, string | number | boolean>()
  const collect = (value: unknown, path: string, depth: number): void => {
    if (pairs.size >= limits.cef_pairs_max || used.has(path) || value === null) return
    if (isFields(value) && depth < DEPTH_MAX) {
      for (const [key, inner] of Object.entries(value))
        collect(inner, path === '' ? key : `${path}.${key}`, depth + 1)
    } else if (typeof value === 'object') put(pairs, path, JSON.stringify(value))
    else put(pairs, path, value as string | number | boolean)
  }
  collect(fields, '', 0)
  return [...pairs]
}

function put(pairs: Map<string, string | number | boolean>, path: string, value: string | number | boolean) {
  const words = path
    .slice(0, 256)
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '')
  const key = `mirrorgate${words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')}`
  for (let copy = 1; copy <= limits.cef_pairs_max; copy += 1) {
    const free = copy === 1 ? key : `${key}${copy}`
    if (pairs.has(free)) continue
    pairs.set(free, value)
    return
  }
}
