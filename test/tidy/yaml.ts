/** Every example loads: ```yaml blocks of Markdown as a whole gateway.yaml, `yaml fragment` ones as YAML. */
import { parseDocument } from 'yaml'
import { complaint, lineOf, paths, read } from './tree.ts'

interface Block {
  readonly path: string
  readonly line: number
  readonly text: string
  readonly fragment: boolean
}

function blocksOf(path: string): Block[] {
  const text = read(path)
  return [...text.matchAll(/^```ya?ml([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const [, info = '', body = ''] = match
    return { path, line: lineOf(text, match.index) + 1, text: body, fragment: info.trim() === 'fragment' }
  })
}

export function brokenYaml(): string[] {
  const examples = paths.filter((path) => path.endsWith('gateway.yaml'))
  const whole = examples.map((path) => ({ path, line: 1, text: read(path), fragment: false }))
  const blocks = [...paths.filter((path) => path.endsWith('.md')).flatMap(blocksOf), ...whole]
  return blocks.flatMap(({ path, line, text }) =>
    parseDocument(text).errors.map((error) => complaint(path, line, `is no YAML: ${error.message}, mend it`)),
  )
}
