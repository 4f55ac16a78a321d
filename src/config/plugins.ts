/** `plugins:` of a file: what its modules define stands beside what is built in. */
import { isDeepStrictEqual } from 'node:util'
import { limits } from '../contract/limits.ts'
import type { Finding, ParsedText } from './document.ts'
import { pointerTo } from './places.ts'
import { type Definitions, definitionsOf } from './plugin-contract.ts'
import { faultText, PluginFault, secretsOf } from './plugin-fault.ts'
import { digestOf, importPlugin, locatePlugin } from './plugin-import.ts'
import { type Environment, fillEnvironment } from './references.ts'
import type { PluginModule } from './schema.ts'
import { deliveriesOf, isSection, type Plugins } from './validate.ts'
import { providersOf } from './validate-providers.ts'
import { show } from './wording.ts'

interface Options {
  readonly builtIn: Plugins
  readonly folder: string
  readonly env: Environment
  /** Of the file: what it names of the environment may be a secret. */
  readonly text: string
  /** Those of a gateway that runs: no others are loaded, since that runs their code. */
  readonly running?: readonly PluginModule[] | undefined
}

export interface LoadedPlugins {
  readonly plugins: Plugins
  readonly modules: readonly PluginModule[]
  readonly findings: readonly Finding[]
  /** Whether the file may name kinds of sinks that are not known for this reason alone. */
  readonly incomplete: boolean
}

/** One plugin as a file names it. */
interface Named {
  readonly at: number
  /** As it stands in the file, for people. */
  readonly written: string
  readonly name: string
}

/** The plugins that a file names, and what is wrong with them. */
export async function loadPlugins(parsed: ParsedText, options: Options): Promise<LoadedPlugins> {
  const { builtIn, running, env } = options
  const list = listIn(parsed.value)
  if (list.length === 0 && (running ?? []).length === 0)
    return { plugins: builtIn, modules: [], findings: [], incomplete: false }
  const named = namedIn(list, env)
  const loader = new Loader(parsed, options)
  // What follows a broken line was guessed by the parser: that is no reason to run code.
  if (parsed.brokenAt === null) await loader.load(named)
  const { modules, findings } = loader
  const incomplete = parsed.brokenAt !== null || findings.length > 0 || named.length < list.length
  return { plugins: loader.plugins(), modules, findings, incomplete }
}

/** The same of a gateway that runs; what does not load any more is left out. */
export async function runningPlugins(modules: readonly PluginModule[], builtIn: Plugins): Promise<Plugins> {
  const loaded = await Promise.all(modules.map(({ url }) => definedBy(url).catch(() => null)))
  return together(
    builtIn,
    loaded.filter((one) => one !== null),
  )
}

/** Mirrors, streams and providers of a kind that a plugin may have defined: where they stand. */
export function unknownKinds(tree: unknown, { sinks, providers }: Plugins): string[] {
  const [sinkNames, providerNames] = [sinks, providers].map((list) => list.map(({ name }) => name))
  return [
    ...deliveriesOf(tree).filter(({ value }) => !sinkNames?.includes(String(value['sink']))),
    ...providersOf(tree).filter(({ entry }) => !providerNames?.includes(String(entry['provider']))),
  ].map(({ pointer }) => pointer)
}

class Loader {
  readonly modules: PluginModule[] = []
  readonly findings: Finding[] = []
  readonly #loaded: Definitions[] = []
  /** Who has a name, by kind and name. */
  readonly #taken = new Map<string, string>()
  readonly #parsed: ParsedText
  readonly #options: Options

  constructor(parsed: ParsedText, options: Options) {
    this.#parsed = parsed
    this.#options = options
    for (const key of keysOf(options.builtIn)) this.#taken.set(key, 'built in')
  }

  plugins(): Plugins {
    return together(this.#options.builtIn, this.#loaded)
  }

  async load(named: readonly Named[]): Promise<void> {
    const { running } = this.#options
    const started = running?.map(({ name }) => name)
    if (started !== undefined && !isDeepStrictEqual([...new Set(named.map(({ name }) => name))], started)) {
      const got = listed(named.map(({ written }) => written))
      const rule = `must stay ${listed(started)} while the gateway runs (restart it to change them)`
      this.#find('/plugins', `${rule}, got ${got}`)
      return
    }
    for (const one of named) {
      try {
        await this.#loadOne(one, running)
      } catch (error) {
        const { message, detail } = this.#faultOf(error)
        const more = detail === '' ? '' : `: ${detail}`
        this.#find(pointerTo('/plugins', one.at), `${message}, got ${show(one.written)}${more}`)
      }
    }
  }

  #faultOf(error: unknown): PluginFault {
    if (error instanceof PluginFault) return error
    const { env, text } = this.#options
    return new PluginFault('must be a module that loads', faultText(error, secretsOf(env, text)))
  }

  async #loadOne({ name, written }: Named, running: readonly PluginModule[] | undefined): Promise<void> {
    if (this.modules.some((one) => one.name === name)) return
    const started = running?.find((one) => one.name === name)
    const url = started?.url ?? locatePlugin(name, this.#options.folder)
    const digest = digestOf(url) ?? ''
    if (started !== undefined && started.digest !== digest)
      throw new PluginFault('must stay as it was when the gateway started (restart it to load another one)')
    const definitions = await definedBy(url)
    const keys = keysOf(definitions)
    for (const [at, key] of keys.entries()) {
      const owner = keys.indexOf(key) < at ? 'there twice' : this.#taken.get(key)
      if (owner !== undefined) throw new PluginFault('must define names of its own', `${key} is ${owner}`)
    }
    for (const key of keys) this.#taken.set(key, `that of ${show(written)}`)
    this.modules.push({ name, url, digest })
    this.#loaded.push(definitions)
  }

  #find(pointer: string, message: string): void {
    this.findings.push({ pointer, place: this.#parsed.places.value(pointer), message })
  }
}

function listIn(tree: unknown): readonly unknown[] {
  const list = isSection(tree) ? tree['plugins'] : undefined
  return Array.isArray(list) ? list.slice(0, limits.plugins_max) : []
}

/** Without what is told elsewhere: what is no text, and texts that need a variable which is not set. */
function namedIn(list: readonly unknown[], env: Environment): Named[] {
  return list.flatMap((written, at) => {
    if (typeof written !== 'string' || written === '') return []
    const needed = [...written.matchAll(/\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}/g)].map(([, name = '']) => name)
    const isSet = needed.every((name) => (env[name] ?? '') !== '')
    return isSet ? [{ at, written, name: fillEnvironment(written, env) }] : []
  })
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'an empty list' : names.map(show).join(', ')
}

function keysOf({ sinks, providers }: Definitions): string[] {
  return [...sinks.map(({ name }) => `sink ${name}`), ...providers.map(({ name }) => `provider ${name}`)]
}

/** By URL: a module is evaluated once per thread, and its definitions stay the same ones. */
const defined = new Map<string, Definitions>()

async function definedBy(url: string): Promise<Definitions> {
  const known = defined.get(url)
  if (known !== undefined) return known
  const definitions = definitionsOf(await importPlugin(url))
  defined.set(url, definitions)
  return definitions
}

/** By what is built in, then by what was loaded: validators are compiled once for each list of sinks. */
const joined = new WeakMap<object, { readonly of: readonly Definitions[]; readonly plugins: Plugins }>()

function together(builtIn: Plugins, loaded: readonly Definitions[]): Plugins {
  if (loaded.length === 0) return builtIn
  const known = joined.get(builtIn.sinks)
  if (known?.of.length === loaded.length && known.of.every((one, at) => one === loaded[at]))
    return known.plugins
  const plugins = {
    sinks: [...builtIn.sinks, ...loaded.flatMap(({ sinks }) => sinks)],
    providers: [...builtIn.providers, ...loaded.flatMap(({ providers }) => providers)],
  }
  joined.set(builtIn.sinks, { of: [...loaded], plugins })
  return plugins
}
