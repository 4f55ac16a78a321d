/** Finds and imports the modules of plugins outside the tree; all of them share this process's contract. */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { limits } from '../contract/limits.ts'
import { PluginFault } from './plugin-fault.ts'

/** A plugin's own copy would have classes of its own: no outcome that it throws would be known as one. */
const contract = new URL('../contract/plugin.ts', import.meta.url).href
let hooked = false
/** Whose packages are looked for while a plugin is; null otherwise. */
let lookingFrom: string | null = null

function hook(): void {
  if (hooked) return
  hooked = true
  registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier === 'mirrorgate/plugin') return { url: contract, shortCircuit: true }
      return next(specifier, lookingFrom === null ? context : { ...context, parentURL: lookingFrom })
    },
  })
}

/** Its URL, from what the file says: a path from its folder, or a package that can be found from there. */
export function locatePlugin(name: string, folder: string): string {
  if (/^\.{0,2}\//.test(name)) {
    const path = resolve(folder, name)
    if (isFile(path)) return pathToFileURL(path).href
    throw new PluginFault('must be a file that exists')
  }
  const found = findPackage(name, folder)
  if (found?.startsWith('file:') === true) return found
  const rule = 'must be a path that begins with ./, ../ or /, or a package that is installed beside this file'
  throw new PluginFault(
    rule,
    isFile(resolve(folder, name)) ? 'there is a file of this name: write ./ before it' : '',
  )
}

function findPackage(name: string, folder: string): string | null {
  hook()
  lookingFrom = pathToFileURL(join(folder, 'gateway.yaml')).href
  try {
    return import.meta.resolve(name)
  } catch {
    return null
  } finally {
    lookingFrom = null
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

/** First 16 hex digits of the SHA-256 of its file; null when that cannot be read. */
export function digestOf(url: string): string | null {
  try {
    return createHash('sha256')
      .update(readFileSync(fileURLToPath(url)))
      .digest('hex')
      .slice(0, 16)
  } catch {
    return null
  }
}

/**
 * What a module exports by default; another bound only in tests. Throws whatever it throws itself, or a
 * PluginFault.
 */
export async function importPlugin(url: string, withinMs: number = limits.plugin_load_ms): Promise<unknown> {
  hook()
  const bound = Promise.withResolvers<never>()
  const rule = `must load within ${withinMs} ms`
  const timer = setTimeout(() => bound.reject(new PluginFault(rule)), withinMs)
  try {
    const module = (await Promise.race([import(/* @vite-ignore */ url), bound.promise])) as object
    const exported: unknown = 'default' in module ? module.default : undefined
    // CommonJS compiled from a module has its default one level down.
    const inner = exported as { __esModule?: boolean; default?: unknown } | null | undefined
    return inner?.__esModule === true ? inner.default : exported
  } finally {
    clearTimeout(timer)
  }
}
