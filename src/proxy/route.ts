/**
 * Which collection a request belongs to: hosts first (exact, then wildcard, then any), then the longest
 * prefix on segment borders. Compiled once per configuration; pure.
 */

export interface Routable {
  readonly hosts: readonly string[]
  readonly prefix: string
  readonly strip_prefix: boolean
}

/** Entries of one host, the longest prefix first. */
type Prefixes<T> = { readonly prefix: string; readonly border: boolean; readonly target: T }[]

/**
 * Whether a path may mean another path to an upstream: escapes, dot segments, empty segments, backslashes,
 * parameters of segments.
 */
const needsCare = /[%\\;]|\/\.|\/\//

/** Name without port and trailing dot, lower case. Takes a host that is valid by `validHost`. */
export function hostName(host: string): string {
  let end = host.length
  if (host.charCodeAt(end - 1) !== 0x5d) {
    const colon = host.lastIndexOf(':')
    if (colon > 0 && host.charCodeAt(0) !== 0x5b) end = colon
    else if (colon > 0 && host.charCodeAt(colon - 1) === 0x5d) end = colon
  }
  if (host.charCodeAt(end - 1) === 0x2e) end--
  return host.slice(0, end).toLowerCase()
}

const escaped = /%([0-9A-Fa-f]{2})/g

function unescapeSafe(whole: string, hex: string): string {
  const char = String.fromCharCode(Number.parseInt(hex, 16))
  return /[A-Za-z0-9._~/\\;-]/.test(char) ? char : whole
}

function plainSlashes(path: string): string {
  return path.replace(escaped, unescapeSafe).replaceAll('\\', '/')
}

/**
 * RFC 3986 §6.2.2: escapes of unreserved characters, slashes and semicolons undone, dot and empty segments
 * resolved.
 */
export function normalPath(path: string): string {
  const segments: string[] = []
  const parts = plainSlashes(path).split('/')
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i] as string
    const last = i === parts.length - 1
    if (part === '..') segments.pop()
    if (part === '..' || part === '.' || part === '') {
      if (last) segments.push('')
    } else segments.push(part)
  }
  return `/${segments.join('/')}`
}

const parameters = /;[^/]*/g

export class Router<T extends Routable> {
  readonly #exact = new Map<string, Prefixes<T>>()
  /** Keyed by what follows `*.`. */
  readonly #wildcard = new Map<string, Prefixes<T>>()
  readonly #any: Prefixes<T> = []

  constructor(targets: readonly T[]) {
    for (const target of targets) {
      if (target.hosts.length === 0) this.#add(this.#any, target)
      for (const host of target.hosts) {
        const name = host.toLowerCase()
        if (name.startsWith('*.')) this.#add(Router.#of(this.#wildcard, name.slice(2)), target)
        else this.#add(Router.#of(this.#exact, name), target)
      }
    }
  }

  static #of<T>(map: Map<string, Prefixes<T>>, key: string): Prefixes<T> {
    let list = map.get(key)
    if (list === undefined) map.set(key, (list = []))
    return list
  }

  #add(list: Prefixes<T>, target: T): void {
    list.push({ prefix: target.prefix, border: target.prefix.endsWith('/'), target })
    list.sort((a, b) => b.prefix.length - a.prefix.length)
  }

  static #match<T>(list: Prefixes<T> | undefined, path: string): T | null {
    if (list === undefined) return null
    for (let i = 0; i < list.length; i++) {
      const entry = list[i] as Prefixes<T>[number]
      if (!path.startsWith(entry.prefix)) continue
      if (entry.border || path.length === entry.prefix.length) return entry.target
      if (path.charCodeAt(entry.prefix.length) === 0x2f) return entry.target
    }
    return null
  }

  /** The target of a host name (as `hostName` gives it) and a path; null when there is none. */
  find(name: string, path: string): T | null {
    if (this.#exact.size !== 0) {
      const found = Router.#match(this.#exact.get(name), path)
      if (found !== null) return found
    }
    if (this.#wildcard.size !== 0) {
      for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
        const found = Router.#match(this.#wildcard.get(name.slice(dot + 1)), path)
        if (found !== null) return found
      }
    }
    return Router.#match(this.#any, path)
  }

  /**
   * Like `find`, but `ambiguous` when the upstream could read the path as one of another collection, or when
   * the prefix would be cut off a path that is not in its normal form: a guard in front must never see
   * another path than the upstream does (RFC 3986 §6).
   */
  route(name: string, path: string): T | null | 'ambiguous' {
    const found = this.find(name, path)
    if (!needsCare.test(path)) return found
    const normal = normalPath(path)
    if (normal !== path) {
      if (this.find(name, normal) !== found) return 'ambiguous'
      if (found?.strip_prefix === true) return 'ambiguous'
    }
    if (!normal.includes(';')) return found
    // RFC 3986 §3.3: some servers take what follows a semicolon for parameters, before they resolve dots.
    const bare = normalPath(plainSlashes(path).replace(parameters, ''))
    return this.find(name, bare) === found ? found : 'ambiguous'
  }
}

/** Path and query as the upstream sees them. */
export function upstreamTarget(target: string, route: Routable): string {
  if (!route.strip_prefix || route.prefix === '/') return target
  const cut = route.prefix.endsWith('/') ? route.prefix.length - 1 : route.prefix.length
  const rest = target.slice(cut)
  return rest.startsWith('/') ? rest : `/${rest}`
}
