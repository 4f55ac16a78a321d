/** The code that plugins/README.md prints, as a stranger copies it. */
import { readFileSync } from 'node:fs'

const page = readFileSync(new URL('../../plugins/README.md', import.meta.url), 'utf8')

function block(heading: string, kind: string, at: number): string {
  const section = page.slice(page.indexOf(`\n## ${heading}\n`))
  const text = [...section.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].filter(([, info]) => info === kind)[
    at
  ]?.[2]
  if (text === undefined) throw new Error(`plugins/README.md: ${heading} must have a block of ${kind}`)
  return text
}

export const printed = Object.freeze({
  sink: block('Writing one', 'ts', 0),
  test: block('Writing one', 'ts', 1),
  config: block('Outside the tree', 'yaml fragment', 0),
  conformance: block('Outside the tree', 'sh', 0).trim(),
})
