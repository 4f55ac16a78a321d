/** What an answer of a collector, or a failure before any answer, means for the leg. */
import { OutcomeError, type OutcomeKind, outcomeOfStatus } from './errors.ts'
import { limits } from './limits.ts'
import { reasonPhrase } from './node-http.ts'

/** An answer as far as it was read: at most `limits.answer_read_bytes`. */
export interface Answer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/**
 * What an answer means; null when the batch was accepted. The status decides: any 2xx is an acknowledgement,
 * also when the body behind it breaks off or never ends.
 */
export function answerError(answer: Answer, scrub: (text: string) => string): OutcomeError | null {
  const { status } = answer
  const kind = outcomeOfStatus(status)
  if (kind === null) return null
  const said = `the collector answered ${status} ${reasonPhrase(status)}`.trimEnd()
  const kept = Buffer.from(scrub(answer.body.toString())).subarray(0, limits.answer_kept_bytes).toString()
  const detail = {
    status,
    retryAfterMs: retryAfterMs(answer.headers['retry-after'], Date.now()),
    answer: kept,
  }
  return new OutcomeError(kind, said, detail)
}

/** What the error codes of a service mean, and what to check; the code is added. */
export type Meanings = Readonly<Record<string, readonly [kind: OutcomeKind, check: string]>>

/**
 * What a service that is spoken to through an SDK said instead of accepting: its own code decides, else the
 * status. It judges requests, not items: what has no code of its own is no reason to throw an item away.
 */
export function serviceRefusal(
  service: string,
  answer: Answer,
  code: string | null,
  meanings: Meanings,
): OutcomeError {
  const { status } = answer
  const named = code !== null && /^[\w.-]{1,64}$/.test(code) ? ` (${code})` : ''
  const [kind, check] = (code !== null && Object.hasOwn(meanings, code) && meanings[code]) || []
  const said =
    check === undefined ? `answered ${status} ${reasonPhrase(status)}`.trimEnd() : `refused: ${check}`
  const byStatus = outcomeOfStatus(status) ?? 'refused'
  return new OutcomeError(
    kind ?? (byStatus === 'rejected' ? 'refused' : byStatus),
    `${service} ${said}${named}`,
    {
      status,
      retryAfterMs: retryAfterMs(answer.headers['retry-after'], Date.now()),
      answer: answer.body.subarray(0, limits.answer_kept_bytes).toString(),
    },
  )
}

/** RFC 9110 §10.2.3: seconds or a date; capped. */
export function retryAfterMs(field: string | string[] | undefined, now: number): number | null {
  const [value] = [field].flat()
  if (value === undefined) return null
  const wait = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), limits.retry_after_ms_max)
}

/**
 * What failed before any answer: try again, unless it could not even be sent. What breaks on an open
 * connection (reset, time-out) is no network error: a probe that only connects would succeed and bring the
 * next try forward for nothing.
 */
export function transportError(error: Error, host: string, started: boolean): OutcomeError {
  const reason = sentence(error)
  if (reason === proxyRefused)
    return new OutcomeError('unauthorized', `connecting to ${host}: ${reason}`, { cause: error })
  if (reason === notSendable)
    return new OutcomeError('refused', `sending to ${host}: ${reason}`, { cause: error })
  const network = !started
  return new OutcomeError('retry', `${started ? 'sending' : 'connecting'} to ${host}: ${reason}`, {
    network,
    cause: error,
  })
}

/** Nothing was tried, and no connection would make it any better. */
const notSendable = 'a header or the path holds a character that HTTP forbids'
const proxyRefused = 'the proxy answered 407 Proxy Authentication Required'

const sentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  UND_ERR_SOCKET: 'connection closed',
  ETIMEDOUT: 'connection timed out',
  UND_ERR_CONNECT_TIMEOUT: 'connection timed out',
  ENOTFOUND: 'host not found',
  EAI_AGAIN: 'host name lookup failed',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  EPROTO: 'it does not speak TLS',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  CERT_NOT_YET_VALID: 'its certificate is not yet valid',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate chain is self-signed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate cannot be verified',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate cannot be verified',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  UND_ERR_INVALID_ARG: notSendable,
  UND_ERR_DESTROYED: 'the sink was closed',
  UND_ERR_CLOSED: 'the sink was closed',
}

/** Why a connection failed. Codes only, never the message of an error: that may quote URLs and headers. */
export function sentence(error: Error): string {
  if (error.name === 'TimeoutError') return 'timed out'
  if (/\b407\b/.test(error.message)) return proxyRefused
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  if (error.name === 'HTTPParserError') return 'it answered with invalid HTTP'
  return sentences[code] ?? code
}
