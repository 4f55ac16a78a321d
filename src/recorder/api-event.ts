/** One exchange as a line of an API log: who asked for what, how it went, and how long it took. */
import { gatewayErrors } from '../contract/errors.ts'
import type { Outcome } from '../contract/exchange.ts'
import { reasonPhrase } from '../contract/node-http.ts'
import type { ApiFormat, RecordMirror } from '../contract/tasks.ts'
import { stringAt } from '../queue/slab-format.ts'
import type { SlabReader } from '../queue/slab-reader.ts'
import { headerValue } from './headers.ts'
import type { ItemBuffer } from './item-buffer.ts'
import type { Redactor } from './redact.ts'

export function isApi(format: RecordMirror['format']): format is ApiFormat {
  return format === 'api_summary' || format === 'api_details'
}

/** Below it an answer is a success. */
const ERROR_FROM = 400

interface SummaryRules {
  readonly format: ApiFormat
  readonly environment: string
  readonly redactor: Redactor
}

/** Appends it without its closing brace: details follow, or nothing. */
export function writeSummary(record: SlabReader, rules: SummaryRules, out: ItemBuffer): void {
  const { status, errorCode, outcome, durationMs, upstreamMs } = record
  const target = record.string(stringAt.target)
  const method = record.string(stringAt.method)
  const ip = record.string(stringAt.clientIp)
  const mark = target.indexOf('?')
  const path = rules.redactor.path(mark === -1 ? target : target.slice(0, mark))
  const isError = status === null || status >= ERROR_FROM || outcome !== 'complete'
  const collection = record.string(stringAt.collection)
  const line = JSON.stringify({
    event: rules.format,
    request_id: record.string(stringAt.id),
    date: new Date(Math.floor(record.startedAt)).toISOString(),
    environment: rules.environment,
    type: isError && outcome !== 'upgraded' ? 'Error' : 'Success',
    code: status,
    status_text: status === null ? null : reasonPhrase(status),
    gateway_code: errorCode,
    status_details: errorCode === null ? detailsOf(outcome) : gatewayErrors[errorCode].message,
    ip,
    timing_ms: round(durationMs),
    delay_ms: round(Math.max(0, durationMs - upstreamMs)),
    collection,
    endpoint: `${method} ${path}`,
    client: {
      ip,
      port: record.clientPort,
      user_agent: userAgent(record, rules.redactor),
    },
    method,
    scheme: record.string(stringAt.scheme),
    host: record.string(stringAt.host),
    path,
    query: mark === -1 ? '' : rules.redactor.query(target.slice(mark + 1)),
    upstream: record.string(stringAt.upstream),
    outcome,
    request_bytes: record.requestBody.size,
    response_bytes: record.responseBody.size,
  })
  out.text(line.slice(0, -1))
}

/** What went wrong although the upstream's own answer went out. */
function detailsOf(outcome: Outcome): string | null {
  if (outcome === 'client_aborted') return 'the client left before the end'
  if (outcome === 'upstream_error') return 'the answer of the upstream broke off'
  return outcome === 'timeout' ? 'the exchange took too long' : null
}

function userAgent({ bytes, requestHeaders }: SlabReader, redactor: Redactor): string | null {
  const value = headerValue(bytes, requestHeaders, 'user-agent')
  if (value === null || !redactor.headers.has('user-agent'))
    return value === null ? null : redactor.header(value)
  return redactor.mode === 'remove' ? null : redactor.substitute(value)
}

/** Microseconds are enough. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
