/** Which collection a path belongs to, for the judge; and whether an upstream could read it as another's. */

/** The collections of the fuzzer: prefix → name; the rest is `any`. */
export const prefixes: Readonly<Record<string, string>> = { '/private': 'private', '/cut': 'cut' }

function routeOf(path: string): string {
  const found = Object.keys(prefixes).find((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  return found === undefined ? 'any' : (prefixes[found] as string)
}

/** What readers of a path may do with it (RFC 3986 §6.2.2), each apart from the others. */
const readings: readonly ((path: string) => string)[] = [
  (path) =>
    path.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.replace(/;[^/]*/g, ''),
  (path) => path.replace(/\/{2,}/g, '/'),
]

/** RFC 3986 §5.2.4. */
function withoutDots(path: string): string {
  const out: string[] = []
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') out.pop()
    else if (segment !== '.') out.push(segment)
  }
  return `/${out.join('/')}`
}

/** All that a path could mean: every choice of readings, then its dots resolved. */
function meanings(path: string): string[] {
  const found = new Set<string>()
  for (let choice = 0; choice < 1 << readings.length; choice++) {
    const read = readings.reduce((text, reading, bit) => ((choice >> bit) & 1 ? reading(text) : text), path)
    found.add(withoutDots(read))
  }
  return [...found]
}

export interface PathVerdict {
  readonly route: string
  /** It must be refused. */
  readonly wrong: string | null
  /** It may be refused. */
  readonly doubt: string | null
}

export function judgePath(path: string): PathVerdict {
  const route = routeOf(path)
  const all = readings.reduce((text, reading) => reading(text), path)
  const normal = withoutDots(all)
  const wrong = routeOf(normal) === route ? null : 'a path of another collection'
  const others = meanings(path).some((meaning) => routeOf(meaning) !== route)
  // What is left of a path without its prefix must be the same for every reader.
  const uncut = route === 'cut' && normal !== path
  return { route, wrong, doubt: others || uncut ? 'a path that could be another' : null }
}
