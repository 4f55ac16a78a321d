/** One problem of a configuration, with its place (contract §1: `file:line:col path: rule, got value`). */
import { apiPrefix } from '../contract/resources.ts'

export interface Problem {
  /** A path; or `api:mirrors/salt` for what the API defined, which has no lines: they are 1. */
  readonly file: string
  /** 1-based. */
  readonly line: number
  readonly column: number
  /** Like `mirrors[0].batch.max_wait_ms`; empty for the file as a whole; within what the API defined. */
  readonly path: string
  /** Rule, then value: `must be at least 10, got 0`. Never a secret. */
  readonly message: string
}

/** One line for people. */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  const place = file.startsWith(apiPrefix) ? file : `${file}:${line}:${column}`
  return `${place}${path === '' ? '' : ` ${path}`}: ${message}`
}

/** What the API defined does not fit the file any more, or what the store holds does not fit this version. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super('the configuration is wrong')
    this.problems = problems
  }
}

/** A problem as whoever changed the file reads it: what the API defined is not what they changed. */
export function withAdvice(problem: Problem): Problem {
  if (!problem.file.startsWith(apiPrefix)) return problem
  const advice = 'this was defined by API: change it there, or keep in the file what it needs'
  return { ...problem, message: `${problem.message} (${advice})` }
}
