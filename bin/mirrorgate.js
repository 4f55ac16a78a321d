#!/usr/bin/env node
// The `mirrorgate` command: checks the version of Node in syntax that an old one can read, then hands over.
import { existsSync } from 'node:fs'

const oldest = 24
if (Number(process.versions.node.split('.')[0]) < oldest) {
  process.stderr.write(
    'mirrorgate needs Node.js ' +
      oldest +
      ' or newer, this is ' +
      process.versions.node +
      ': install a newer one\n',
  )
  process.exit(3)
}
// A checkout has the sources, a package what they compile to.
const source = new URL('../src/main.ts', import.meta.url)
import(existsSync(source) ? source.href : new URL('../dist/src/main.js', import.meta.url).href)
