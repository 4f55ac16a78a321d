/** The checkout as the tidy rules see it: its files, their lines, and the syntax tree of each source. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'oxc-parser'
import type { EcmaScriptModule, Program } from 'oxc-parser'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** Folders that hold nothing of ours, by name at the root. */
const outside = new Set(['node_modules', 'dist', 'data', '.git'])

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return outside.has(path) || entry.name === 'node_modules' ? [] : walk(path)
    return entry.isFile() && !/\.(log|tgz)$/.test(entry.name) ? [path] : []
  })
}

/** Every file of the project, relative to its root. */
export const paths: readonly string[] = walk('').sort()
const known = new Set(paths)

export function exists(path: string): boolean {
  return known.has(path) || paths.some((other) => other.startsWith(`${path}/`))
}

const texts = new Map<string, string>()

export function read(path: string): string {
  const text = texts.get(path) ?? readFileSync(join(root, path), 'utf8')
  texts.set(path, text)
  return text
}

/** 1-based line of an offset. */
export function lineOf(text: string, offset: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++
  return line
}

export interface Source {
  readonly path: string
  readonly text: string
  readonly program: Program
  readonly module: EcmaScriptModule
}

/** Every TypeScript and JavaScript file, parsed. */
export const sources: readonly Source[] = paths
  .filter((path) => /\.(ts|js|mjs)$/.test(path))
  .map((path) => {
    const text = read(path)
    const { program, module, errors } = parseSync(path, text)
    if (errors[0]) throw new Error(`${path}: must parse: ${errors[0].message}`)
    return { path, text, program, module }
  })

/** What a rule says: `path:line: what, do this instead`. */
export function complaint(path: string, line: number, message: string): string {
  return `${path}:${line}: ${message}`
}
