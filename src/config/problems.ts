/** One problem of a configuration, with its place (contract §1: `file:line:col path: rule, got value`). */

export interface Problem {
  readonly file: string
  /** 1-based. */
  readonly line: number
  readonly column: number
  /** Like `mirrors[0].batch.max_wait_ms`; empty for the file as a whole. */
  readonly path: string
  /** Rule, then value: `must be at least 10, got 0`. Never a secret. */
  readonly message: string
}

/** One line for people. */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  return `${file}:${line}:${column}${path === '' ? '' : ` ${path}`}: ${message}`
}
