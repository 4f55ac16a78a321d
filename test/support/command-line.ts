/** The command line as a real process. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))
const main = join(root, 'src/main.ts')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** What it reads on stdin. */
  readonly input?: string
  /** Another program than the checkout's own. */
  readonly script?: string
  /** Options of node. */
  readonly node?: readonly string[]
}

export function run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { input = '', script = main, node = [] } = options
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [...node, script, ...args],
      { timeout: 20_000, cwd: root },
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    )
    child.stdin?.end(input)
  })
}
