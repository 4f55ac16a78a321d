/**
 * Bodies as the inside of JSON strings, by a WebAssembly module: `json-escape.wat` is its source, and
 * `npm run wasm` compiles it. It takes 16 bytes at a time, where JavaScript takes one or four.
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import type { FieldWatch } from './field-watch.ts'
import type { ItemBuffer } from './item-buffer.ts'

/** What the module's memory holds where; see its source. */
const STEP_BYTES = 16_384
const ESCAPES_AT = 64
const ESCAPE_BYTES = 8
const MARKS_AT = 1024
const INPUT_AT = 2048
const OUTPUT_AT = 18_944

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** Before every input: the first quote of a body has none before it. */
const NO_QUOTE = -0x2000_0000
/** The highest bit of each of four bytes. */
const HIGHS = 0x8080_8080 | 0

/** What of it is used here: the standard library's declarations of it come with a browser's. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}
interface Module {
  readonly memory: { readonly buffer: ArrayBuffer }
  escape(at: number, to: number, lengths: number, hides: number, wide: number): number
}

const file = new URL('./json-escape.wasm', import.meta.url)
const module = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file))).exports as Module
const memory = Buffer.from(module.memory.buffer)
/** How much was written, and where the last quote stands. */
const state = new Int32Array(module.memory.buffer, 0, 2)
for (let byte = 0; byte < 0x20; byte++) {
  const escape = JSON.stringify(String.fromCharCode(byte)).slice(1, -1)
  const at = ESCAPES_AT + byte * ESCAPE_BYTES
  memory.write(escape, at, 'latin1')
  memory[at + ESCAPE_BYTES - 1] = escape.length
}

/** Whose marks it holds. */
let watched: FieldWatch | null = null

/**
 * Appends a body as the inside of a JSON string. False, with nothing appended, when it is not UTF-8, or when
 * `watch` suspects a field in it: both are found on the way, so that most bodies are read once.
 */
export function appendText(
  out: ItemBuffer,
  source: Buffer,
  from: number,
  to: number,
  watch: FieldWatch | null,
): boolean {
  const before = out.length
  if (watch !== null && watch !== watched) {
    watched = watch
    memory.set(watch.marks, MARKS_AT)
  }
  const lengths = watch === null ? 0 : watch.lengths
  const hides = watch === null ? 0 : watch.hides
  let wide = HIGHS
  let quote = NO_QUOTE
  for (let start = from; start < to; start += STEP_BYTES) {
    const size = Math.min(STEP_BYTES, to - start)
    source.copy(memory, INPUT_AT, start, start + size)
    for (let at = 0; ; at++) {
      state[1] = quote
      at = module.escape(at, size, lengths, hides, wide)
      out.raw(memory, OUTPUT_AT, OUTPUT_AT + (state[0] as number))
      quote = state[1] as number
      if (at === size) break
      const stop = start + at
      const byte = source[stop] as number
      if (byte >= 0x80 && isUtf8(source.subarray(from, to))) {
        wide = 0
        at--
        continue
      }
      if (byte >= 0x80 || (watch !== null && isSuspect(source, start + quote, stop, watch))) {
        out.length = before
        return false
      }
      if (byte === QUOTE) quote = at
      out.escape(byte)
    }
    quote -= size
  }
  return true
}

/** `quote`: the one before; before the body when there is none. */
function isSuspect(source: Buffer, quote: number, stop: number, watch: FieldWatch): boolean {
  const byte = source[stop]
  if (byte === BACKSLASH) return watch.escape(source[stop + 1])
  if (byte !== QUOTE) return true
  return quote >= 0 && watch.name(source, quote + 1, stop)
}
