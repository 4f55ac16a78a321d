/** The answers that the gateway makes itself (contract §3): their JSON, their fields, their raw form. */
import { type GatewayErrorCode, gatewayErrors } from '../contract/errors.ts'
import { reasonPhrase } from '../contract/node-http.ts'
import { rejectReasons, threadCell } from '../telemetry/counters.ts'

export interface GatewayAnswer {
  readonly status: number
  readonly body: string
  /** Without Connection and Date, which belong to the writer. */
  readonly lines: string
  /** Whether the connection ends with it: its framing or its owner cannot be trusted any more. */
  readonly close: boolean
}

const closing: ReadonlySet<GatewayErrorCode> = new Set([
  'bad_request',
  'request_timeout',
  'body_too_large',
  // A CONNECT goes on with bytes that are no HTTP.
  'method_not_allowed',
  'expectation_failed',
  'headers_too_large',
])
const passing: ReadonlySet<GatewayErrorCode> = new Set(['overloaded', 'no_healthy_upstream', 'draining'])

export function gatewayAnswer(
  code: GatewayErrorCode,
  requestId: string,
  serverHeader: boolean,
  allow: string,
): GatewayAnswer {
  const { status, message } = gatewayErrors[code]
  const body = `${JSON.stringify({ error: code, message, request_id: requestId })}\n`
  let lines = `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
  if (passing.has(code)) lines += 'retry-after: 1\r\n'
  // RFC 9110 §15.5.6.
  if (code === 'method_not_allowed') lines += `allow: ${allow}\r\n`
  if (serverHeader) lines += 'server: mirrorgate\r\n'
  return { status, body, lines, close: closing.has(code) }
}

/** As it is written. `bodyless`: to a HEAD. */
export function answerText(
  { status, body, lines }: GatewayAnswer,
  connection: string,
  bodyless: boolean,
): string {
  const head = `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${lines}`
  return `${head}date: ${new Date().toUTCString()}\r\n${connection}\r\n${bodyless ? '' : body}`
}

/** Cell of `http_rejected_total` for a code. */
export function rejectedCell(code: GatewayErrorCode): number {
  return threadCell.rejected + rejectReasons.indexOf(code)
}
