/** Compiles the text of a WebAssembly module. */
import { readFileSync } from 'node:fs'
import wabt from 'wabt'

/** Throws what the assembler says of a text that is none. */
export async function assemble(wat: URL): Promise<Uint8Array> {
  const { parseWat } = await wabt()
  const module = parseWat(wat.pathname, readFileSync(wat, 'utf8'), { simd: true })
  module.validate()
  return module.toBinary({}).buffer
}
