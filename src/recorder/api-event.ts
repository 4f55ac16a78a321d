/** One exchange as a line of an API log: who asked for what, how it went, and how long it took. */
import { gatewayErrors } from '../contract/errors.ts'
import type { CapturedExchange } from '../contract/exchange.ts'
import { reasonPhrase } from '../contract/node-http.ts'
import type { ApiFormat, RecordMirror } from '../contract/tasks.ts'
import type { Redactor } from './redact.ts'

export function isApi(format: RecordMirror['format']): format is ApiFormat {
  return format === 'api_summary' || format === 'api_details'
}

/** Below it an answer is a success. */
const ERROR_FROM = 400

interface SummaryRules {
  readonly format: ApiFormat
  readonly environment: string
  /** Start of the exchange, ISO 8601. */
  readonly ts: string
  readonly redactor: Redactor
}

/** JSON without a newline. */
export function apiSummary(exchange: CapturedExchange, rules: SummaryRules): string {
  const { id, status, errorCode, outcome, method, target, collection, durationMs, upstreamMs } = exchange
  const mark = target.indexOf('?')
  const path = rules.redactor.path(mark === -1 ? target : target.slice(0, mark))
  const isError = status === null || status >= ERROR_FROM || outcome !== 'complete'
  return JSON.stringify({
    event: rules.format,
    request_id: id,
    date: rules.ts,
    environment: rules.environment,
    type: isError && outcome !== 'upgraded' ? 'Error' : 'Success',
    code: status,
    status_text: status === null ? null : reasonPhrase(status),
    gateway_code: errorCode,
    status_details: errorCode === null ? detailsOf(outcome) : gatewayErrors[errorCode].message,
    ip: exchange.clientIp,
    timing_ms: round(durationMs),
    delay_ms: round(Math.max(0, durationMs - upstreamMs)),
    collection,
    endpoint: `${method} ${path}`,
    client: {
      ip: exchange.clientIp,
      port: exchange.clientPort,
      user_agent: userAgent(exchange, rules.redactor),
    },
    method,
    scheme: exchange.scheme,
    host: exchange.host,
    path,
    query: mark === -1 ? '' : rules.redactor.query(target.slice(mark + 1)),
    upstream: exchange.upstream,
    outcome,
    request_bytes: exchange.requestBody.size,
    response_bytes: exchange.responseBody.size,
  })
}

/** What went wrong although the upstream's own answer went out. */
function detailsOf(outcome: CapturedExchange['outcome']): string | null {
  if (outcome === 'client_aborted') return 'the client left before the end'
  if (outcome === 'upstream_error') return 'the answer of the upstream broke off'
  return outcome === 'timeout' ? 'the exchange took too long' : null
}

function userAgent({ requestHeaders }: CapturedExchange, redactor: Redactor): string | null {
  const at = requestHeaders.findIndex((text, place) => place % 2 === 0 && /^user-agent$/i.test(text))
  const value = requestHeaders[at + 1]
  if (at === -1 || value === undefined) return null
  if (redactor.headerRule('user-agent') !== 'redact') return redactor.header(value)
  return redactor.mode === 'remove' ? null : redactor.substitute(value)
}

/** Microseconds are enough. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
