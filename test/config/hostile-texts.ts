/** Configurations that are made to cost time and memory. */

const collection = 'collections: [{ name: a, upstreams: [{ url: "http://127.0.0.1:1" }] }]\n'

/** As many repetitions as fill so many characters. */
function filled(chars: number, part: (at: number) => string): string {
  const parts: string[] = []
  for (let length = 0; length < chars; length += parts.at(-1)?.length ?? 0) parts.push(part(parts.length))
  return parts.join('')
}

export type HostileText = keyof typeof texts

const texts = {
  'deep nesting': (chars: number) => `x:\n${filled(chars, () => `  - ${'['.repeat(60)}${']'.repeat(60)}\n`)}`,
  'anchors and aliases': (chars: number) =>
    `x:\n${filled(chars / 2, (at) => `  - &a${at} v\n`)}${filled(chars / 2, (at) => `  - *a${at}\n`)}`,
  'a huge flow map': (chars: number) => `x: {${filled(chars, (at) => `k${at}: 1, `)}}`,
  'unknown keys': (chars: number) => filled(chars, (at) => `k${at}: 1\n`),
  'nothing but commas': (chars: number) => `x: [${','.repeat(chars)}]`,
}

export const hostileTexts = Object.keys(texts) as HostileText[]

export function hostileText(kind: HostileText, chars: number): string {
  return collection + texts[kind](chars)
}
