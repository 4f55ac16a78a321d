/** Writes the WebAssembly that the recorder loads: neither a start nor an install needs a compiler then. */
import { writeFileSync } from 'node:fs'
import { assemble } from './assemble.ts'

const name = 'src/recorder/json-escape'
const bytes = await assemble(new URL(`../${name}.wat`, import.meta.url))
writeFileSync(new URL(`../${name}.wasm`, import.meta.url), bytes)
console.log(`${name}.wasm: ${bytes.length} bytes`)
