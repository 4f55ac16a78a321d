/** What Azure Monitor says when it refuses, in words that a person can act on. */
import { OutcomeError } from 'mirrorgate/plugin'

interface About {
  /** By the service's own code, or by status. */
  readonly meanings: Readonly<Record<string, string>>
  /** What proves who sends: never shown. */
  readonly hidden: string
  /** What a 400 says that no code explains. */
  readonly unknown: 'refused' | 'rejected'
}

/**
 * The status decides what the leg does, except that a code of ours to explain is about the request and not
 * about an event: nothing is thrown away for it.
 */
export function explained(error: unknown, { meanings, hidden, unknown }: About): unknown {
  if (!(error instanceof OutcomeError) || error.status === null) return error
  const { kind, status, retryAfterMs } = error
  const answer = error.answer?.replaceAll(hidden, '***') ?? null
  const [, code] = /"(?:code|Error)"\s*:\s*"([\w.-]{1,64})"/i.exec(answer ?? '') ?? []
  const known = code !== undefined && Object.hasOwn(meanings, code) ? meanings[code] : undefined
  const byStatus = Object.hasOwn(meanings, status) ? meanings[status] : undefined
  const advice = known ?? byStatus
  const said = `${error.message}${code === undefined ? '' : ` (${code})`}`
  const meant = kind === 'rejected' ? (known === undefined ? unknown : 'refused') : kind
  return new OutcomeError(meant, advice === undefined ? said : `${said}: ${advice}`, {
    status,
    retryAfterMs,
    answer,
  })
}
