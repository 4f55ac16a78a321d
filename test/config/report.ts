/** What loading a fixture says, as text: the expected output beside each fixture. */
import { basename } from 'node:path'
import { loadConfig, type Loaded } from '../../src/config/load.ts'
import { formatProblem, type Problem } from '../../src/config/problems.ts'
import { providers } from './providers.ts'
import { sinks } from './sinks.ts'

/** Everything that fixtures may refer to. */
export const env = Object.freeze({
  OPS_TOKEN: 'ops-token-from-the-environment',
  OTHER_TOKEN: 'other-token-from-the-environment',
  HOST: '127.0.0.1',
  PORT: '8081',
  DIGITS: '1234567890',
})

export function loadFixture(file: string): Promise<Loaded> {
  return loadConfig({ file, env, sinks, providers, generation: 1, threads: 1 })
}

/** Problems, or `ok` and the warnings; files by their name alone. */
export async function report(file: string): Promise<string> {
  const loaded = await loadFixture(file)
  const lines = loaded.ok
    ? ['ok', ...loaded.warnings.map((warning) => `warning: ${line(warning)}`)]
    : loaded.problems.map(line)
  return `${lines.join('\n')}\n`
}

function line(problem: Problem): string {
  return formatProblem({ ...problem, file: basename(problem.file) })
}
