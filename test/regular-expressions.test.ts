/** No regular expression that sees what others wrote takes more than linear time. */
import { globSync, readFileSync } from 'node:fs'
import { parseSync } from 'oxc-parser'
import { expect, test } from 'vitest'

/** Sources whose expressions are given requests, configurations, secrets, or what a collector answers. */
const sources = [
  ...globSync('src/{admin,audit,config,contract,render,secrets,shipper,store}/**/*.ts'),
  ...globSync('plugins/*/*.ts').filter((file) => !file.endsWith('.test.ts')),
]

interface Found {
  readonly place: string
  readonly expression: RegExp
}

/** Every literal, and every `pattern` that a schema holds. */
function expressionsOf(file: string): Found[] {
  const found: Found[] = []
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    if (Array.isArray(node)) return node.forEach(walk)
    const { type, regex, key, value, start } = node as Record<string, never>
    const { pattern, flags } = (regex ?? {}) as { pattern?: string; flags?: string }
    if (pattern !== undefined)
      found.push({ place: `${file}:${start} /${pattern}/`, expression: new RegExp(pattern, flags) })
    const text = (value as { value?: unknown } | undefined)?.value
    const name = (key as { name?: unknown } | undefined)?.name
    if (type === 'Property' && name === 'pattern' && typeof text === 'string')
      found.push({ place: `${file}:${start} ${text}`, expression: new RegExp(text, 'u') })
    Object.values(node).forEach(walk)
  }
  walk(parseSync(file, readFileSync(file, 'utf8')).program)
  return found
}

/** So few show what grows exponentially, and are done in a second. */
const EXPONENTIAL_CHARS = 20
const CHARS = 2000
/** A linear search of so many characters takes less by far: others are looked at again. */
const SUSPECT_MS = 0.2
/** How much longer four times as many take: 4 times when linear, 16 times when quadratic. */
const GROWTH_MAX = 9

/** Texts that are made to fail late, from what an expression itself looks for. */
function* attacks({ source }: RegExp): Generator<(chars: number) => string> {
  const runs = [...source.matchAll(/(?:\\[^dDwWsSbBpP]|[\w:/{$@=<>-])+/g)]
  const words = [...new Set(runs.map(([run]) => run.replaceAll('\\', '') || '\\'))].slice(0, 6)
  const characters = [...'a0A /:.-,"{$=\\\n\u00e9']
  const pairs = words.flatMap((one) => words.map((other) => `${one}a${other}`))
  for (const start of ['', ...words.slice(0, 4)]) {
    for (const pump of new Set([...characters, ...words, ...pairs])) {
      for (const end of ['\u0000', '}'])
        yield (chars) => start + pump.repeat(Math.ceil(chars / pump.length)) + end
    }
  }
}

function timeOf(expression: RegExp, text: string): number {
  const start = performance.now()
  text.replace(expression, '')
  return performance.now() - start
}

/** A neighbour makes some of several times longer, hardly all of them. */
const TIMES = 5
const fastest = (expression: RegExp, text: string): number =>
  Math.min(...Array.from({ length: TIMES }, () => timeOf(expression, text)))

/** How a text begins that takes more than linear time; null when there is none. */
function slow({ expression }: Found): string | null {
  for (const attack of attacks(expression)) {
    for (const chars of [EXPONENTIAL_CHARS, 2 * EXPONENTIAL_CHARS, CHARS]) {
      const text = attack(chars)
      if (timeOf(expression, text) < SUSPECT_MS) continue
      // The machine may have been busy: what counts is the best of several times, and how it grows.
      const short = fastest(expression, text)
      if (short < SUSPECT_MS) continue
      if (chars < CHARS || fastest(expression, attack(4 * CHARS)) > GROWTH_MAX * short)
        return `${JSON.stringify(text.slice(0, 40))} … ${JSON.stringify(text.slice(-3))}`
    }
  }
  return null
}

test('each literal and each pattern of a schema', () => {
  const all = sources.flatMap(expressionsOf)
  expect(all.length).toBeGreaterThan(80)
  const found = all.map((one) => [one.place, slow(one)]).filter(([, text]) => text !== null)
  expect(found).toEqual([])
})

test('the check itself finds what is slow', () => {
  const expressions = [/(a+)+x/, /\/+$/, /^\s*(basic)?\s*$/, /:\/\/[^?]*\?/, /\$\{secret:[^}]*\}/]
  const missed = expressions.filter((expression) => slow({ place: '', expression }) === null)
  expect(missed).toEqual([])
})
