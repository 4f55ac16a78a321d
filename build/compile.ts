/** Compiles the gateway to dist/: Node strips no types under node_modules, so a package needs JavaScript. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
/** What the package runs; tests stay behind. */
const sources = ['src', 'plugins', 'demo']

function files(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
}

function compile(): void {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const run = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  if (run.status !== 0) throw new Error('tsc: the sources do not compile')
}

/** tsc rewrites import specifiers only; thread entries are named by URL, and their files end in .js here. */
function pointUrlsAtJavaScript(path: string): void {
  const source = readFileSync(join(root, path), 'utf8')
  const urls = /(new URL\(\s*|import\.meta\.resolve\(\s*)(['"])(\.{1,2}\/[^'"]+)\.ts\2/g
  const compiled = source.replace(urls, '$1$2$3.js$2')
  for (const [literal, file] of compiled.matchAll(/['"`](\.{1,2}\/[^'"`\s]*)\.ts['"`]/g)) {
    // One that stands beside its .js form was chosen at run time.
    if (compiled.includes(`${file}.js`)) continue
    throw new Error(`${path}: ${literal} is no file here, write new URL('./name.ts', import.meta.url)`)
  }
  if (compiled !== source) writeFileSync(join(root, path), compiled)
}

function copyAssets(): void {
  const assets = sources.flatMap(files).filter((path) => !/\.(ts|md)$/.test(path))
  for (const path of assets) {
    mkdirSync(dirname(join(dist, path)), { recursive: true })
    copyFileSync(join(root, path), join(dist, path))
  }
}

/** The nearest package.json of the compiled files: their version, and their own `mirrorgate/plugin`. */
function writeManifest(): void {
  const { name, version, type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    string
  >
  const exports = { './plugin': './src/contract/plugin.js' }
  writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name, version, type, exports }, null, 2)}\n`)
}

rmSync(dist, { recursive: true, force: true })
compile()
for (const path of files('dist')) if (path.endsWith('.js')) pointUrlsAtJavaScript(path)
copyAssets()
writeManifest()
