/** Every example loads: ```yaml blocks of Markdown as a whole gateway.yaml, `yaml fragment` ones as YAML. */
import { parseDocument } from 'yaml'
import { providers, sinks } from '../../plugins/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { complaint, lineOf, paths, read } from './tree.ts'

interface Example {
  readonly path: string
  /** Where its text starts. */
  readonly line: number
  readonly text: string
  readonly fragment: boolean
}

/** A value for each variable that an example names without a default: what it holds is the reader's. */
function environmentOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/\$\{env:(\w+)\}/g)].map(([, name = '']) => [name, 'an-example-value']),
  )
}

function blocksOf(path: string): Example[] {
  const text = read(path)
  return [...text.matchAll(/^```ya?ml([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const [, info = '', body = ''] = match
    return { path, line: lineOf(text, match.index) + 1, text: body, fragment: info.trim() === 'fragment' }
  })
}

function brokenFragment({ path, line, text }: Example): string[] {
  return parseDocument(text).errors.map(({ message }) =>
    complaint(path, line, `is no YAML, mend it: ${message.split('\n')[0]}`),
  )
}

async function brokenConfig({ path, line, text }: Example): Promise<string[]> {
  const env = environmentOf(text)
  const loaded = await loadConfig({ file: path, text, env, sinks, providers, generation: 1 })
  if (loaded.ok) return []
  const advice = 'mend it, or mark a part of a file as `yaml fragment`'
  return loaded.problems.map((problem) =>
    complaint(path, line + problem.line - 1, `${problem.path} ${problem.message}, ${advice}`),
  )
}

export async function brokenYaml(): Promise<string[]> {
  const whole = paths
    .filter((path) => /(^|\/)gateway\.yaml$/.test(path) && !path.startsWith('test/'))
    .map((path) => ({ path, line: 1, text: read(path), fragment: false }))
  const examples = [...paths.filter((path) => path.endsWith('.md')).flatMap(blocksOf), ...whole]
  const broken = examples.map((example) =>
    example.fragment ? brokenFragment(example) : brokenConfig(example),
  )
  return (await Promise.all(broken)).flat()
}
