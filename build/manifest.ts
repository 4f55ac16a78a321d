/**
 * Points `mirrorgate/plugin` in package.json at the compiled file while a package is packed, and back
 * afterwards: the checkout runs the TypeScript itself and has no dist/.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const entries = {
  checkout: '"./plugin": "./src/contract/plugin.ts"',
  package: '"./plugin": "./dist/src/contract/plugin.js"',
}

const wanted = process.argv[2]
if (wanted !== 'checkout' && wanted !== 'package')
  throw new Error('usage: node build/manifest.ts checkout|package')
const path = new URL('../package.json', import.meta.url)
const manifest = readFileSync(path, 'utf8')
const present = manifest.includes(entries.checkout) ? entries.checkout : entries.package
if (!manifest.includes(present)) throw new Error(`package.json: must contain ${entries.checkout}`)
writeFileSync(path, manifest.replace(present, entries[wanted]))
