/** Who may import whom, and what nothing imports. */
import { dirname, normalize } from 'node:path'
import { complaint, exists, lineOf, paths, read, sources } from './tree.ts'
import type { Source } from './tree.ts'

interface Import {
  readonly from: string
  readonly line: number
  /** As written. */
  readonly specifier: string
  /** File in the checkout; null for packages and Node's own modules. */
  readonly target: string | null
  readonly typeOnly: boolean
}

/**
 * Layer → what it sees besides `contract` and `telemetry`; of `types` it may only `import type`. The views of
 * `admin/commands` are shapes that the parts fill and the admin port shows.
 */
const layers: Readonly<Record<string, { modules: readonly string[]; types: readonly string[] }>> = {
  contract: { modules: [], types: [] },
  telemetry: { modules: [], types: ['config', 'admin/commands'] },
  config: { modules: ['render'], types: [] },
  proxy: { modules: ['queue/slab'], types: ['config'] },
  queue: { modules: [], types: [] },
  render: { modules: [], types: [] },
  recorder: { modules: ['queue', 'render'], types: [] },
  shipper: {
    modules: [
      'queue/spool',
      'queue/spool-file',
      'queue/spool-format',
      'queue/spool-reader',
      'store',
      'render',
    ],
    types: ['secrets', 'config', 'admin/commands'],
  },
  store: { modules: [], types: [] },
  audit: { modules: ['store'], types: [] },
  secrets: { modules: [], types: [] },
  notify: { modules: ['store'], types: ['secrets', 'config'] },
  admin: { modules: ['store', 'secrets', 'render'], types: ['config'] },
  console: { modules: [], types: [] },
}
/** Entries: only they import plugins/index.ts. */
const entries = ['src/main.ts', 'src/gateway.ts', 'src/worker.ts', 'src/proxy/thread.ts']
/** Composition: what stands in no layer puts the layers together, and may import all of them. */
function composes(path: string): boolean {
  return entries.includes(path) || /^src\/(control\/)?[^/]+$/.test(path)
}

/** Packages that one place owns, so that they can be replaced there. */
const owners: Readonly<Record<string, readonly string[]>> = {
  lmdb: ['src/store/'],
  undici: ['src/contract/http'],
}
/** Packages that take too long to load for a start, whose types are used. */
const typesOnly: Readonly<Record<string, string>> = { typebox: 'src/contract/schema.ts' }

function resolve(from: string, specifier: string): string | null {
  if (specifier === 'mirrorgate/plugin') return 'src/contract/plugin.ts'
  return specifier.startsWith('.') ? normalize(`${dirname(from)}/${specifier}`) : null
}

function importsOf({ path, text, module }: Source): Import[] {
  const make = (specifier: string, start: number, typeOnly: boolean): Import => {
    return { from: path, line: lineOf(text, start), specifier, target: resolve(path, specifier), typeOnly }
  }
  const every = (entries: readonly { isType: boolean }[]) =>
    entries.length > 0 && entries.every(({ isType }) => isType)
  const exported = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, isType, start }) =>
      moduleRequest ? [make(moduleRequest.value, start, isType)] : [],
    ),
  )
  const dynamic = module.dynamicImports.flatMap(({ moduleRequest: { start, end } }) => {
    const literal = /^['"](.+)['"]$/.exec(text.slice(start, end))
    return literal?.[1] === undefined ? [] : [make(literal[1], start, false)]
  })
  const stated = module.staticImports.map(({ moduleRequest, entries, start }) =>
    make(moduleRequest.value, start, every(entries)),
  )
  return [...stated, ...exported, ...dynamic]
}

const imports: readonly Import[] = sources.flatMap(importsOf)

function within(target: string, place: string): boolean {
  return target.startsWith(`src/${place}/`) || target.startsWith(`src/${place}.`)
}

/** What a rule of layers says against one import; null when it is fine. */
function againstLayers({ from, target, specifier, typeOnly }: Import): string | null {
  if (target === null || composes(from) || !from.startsWith('src/')) return null
  const layer = from.split('/')[1] ?? ''
  const rule = layers[layer]
  if (!rule) return `is in no layer, move it into one of ${Object.keys(layers).join(', ')}`
  const seen = [layer, 'contract', ...(layer === 'contract' ? [] : ['telemetry']), ...rule.modules]
  if (seen.some((place) => within(target, place))) return null
  if (typeOnly && [...rule.types].some((place) => within(target, place))) return null
  const allowed = [...seen.slice(1), ...rule.types.map((place) => `types of ${place}`)].join(', ')
  return `imports ${specifier}, but ${layer} sees only ${allowed}: pass it in from src/gateway.ts`
}

/** What plugins of one vendor share; no plugin itself. */
export const sharedByPlugins: readonly string[] = ['plugins/azure/']

function againstPlugins({ from, target, specifier }: Import): string | null {
  if (target === 'plugins/index.ts' && from.startsWith('src/') && !entries.includes(from)) {
    return `imports the list of plugins, but only ${entries.join(', ')} may: take it as an argument`
  }
  const [top, plugin] = from.split('/')
  if (top !== 'plugins' || from === 'plugins/index.ts' || target === null || from.endsWith('.test.ts'))
    return null
  const seen = [`plugins/${plugin}/`, ...sharedByPlugins]
  if (specifier === 'mirrorgate/plugin' || seen.some((place) => target.startsWith(place))) return null
  return `imports ${specifier}, but a plugin sees mirrorgate/plugin and its own SDK only: import from there`
}

function againstOwners({ from, specifier }: Import): string | null {
  const name = Object.keys(owners).find((owned) => specifier === owned || specifier.startsWith(`${owned}/`))
  if (name === undefined || !from.startsWith('src/')) return null
  const places = owners[name] ?? []
  if (places.some((place) => from.startsWith(place))) return null
  return `imports ${name}, which belongs to ${places.join(', ')}: ask there for what you need`
}

function againstLoading({ from, specifier, typeOnly }: Import): string | null {
  const instead = typesOnly[specifier]
  if (instead === undefined || typeOnly || !/^(src|plugins)\//.test(from)) return null
  return `loads ${specifier}, which takes too long for a start: import types from it, values from ${instead}`
}

function againstDirection({ from, target }: Import): string | null {
  const top = target?.split('/')[0]
  if (!from.startsWith('src/') || top === undefined || top === 'src' || top === 'plugins') return null
  if (top === 'demo' && from === 'src/main.ts') return null
  return `imports ${target}, but src stands on its own: move what it needs into src`
}

export function forbiddenImports(): string[] {
  const rules = [againstLayers, againstPlugins, againstOwners, againstLoading, againstDirection]
  return imports.flatMap((one) =>
    rules.flatMap((rule) => {
      const message = rule(one)
      return message === null ? [] : [complaint(one.from, one.line, message)]
    }),
  )
}

/** Relative paths in a source that name files: thread entries, forked programs, fixtures. */
function namedFiles({ path, text }: Source): string[] {
  return [...text.matchAll(/['"`]([\w./-]+\.(?:ts|js|mjs))['"`]/g)].flatMap(([, name = '']) => {
    const near = normalize(`${dirname(path)}/${name}`)
    return [near, normalize(name)].filter(exists)
  })
}

export function orphans(): string[] {
  const edges = new Map(sources.map((source) => [source.path, namedFiles(source)]))
  for (const { from, target } of imports) if (target !== null) edges.get(from)?.push(target)
  const started = /^(bench\/(cases|rivals)\/.*|[^/]*\.config\.ts|.*\.test\.ts)$/
  const stated = `${read('package.json')} ${paths.includes('.ci/run') ? read('.ci/run') : ''}`
  const queue = sources.map(({ path }) => path).filter((path) => started.test(path) || stated.includes(path))
  const reached = new Set(queue)
  for (const path of queue) {
    for (const target of edges.get(path) ?? []) {
      if (!reached.has(target)) queue.push(target)
      reached.add(target)
    }
  }
  const left = sources.filter(({ path }) => !reached.has(path))
  return left.map(({ path }) => complaint(path, 1, 'nothing imports or starts this file, remove it'))
}
