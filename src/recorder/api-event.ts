/** One exchange as a line of an API log: who asked for what, how it went, and how long it took. */
import { type GatewayErrorCode, gatewayErrors } from '../contract/errors.ts'
import { type Outcome, outcomes } from '../contract/exchange.ts'
import { reasonPhrase } from '../contract/node-http.ts'
import type { ApiFormat, RecordMirror } from '../contract/tasks.ts'
import { stringAt } from '../queue/slab-format.ts'
import { HeaderLine, type SlabReader } from '../queue/slab-reader.ts'
import { findHeader } from './headers.ts'
import { type ItemBuffer, type Literal, literal } from './item-buffer.ts'
import { writeTime } from './item-time.ts'
import { NameSet } from './name-set.ts'
import type { Redactor } from './redact.ts'
import { writePath, writeRequestLine } from './target.ts'

export function isApi(format: RecordMirror['format']): format is ApiFormat {
  return format === 'api_summary' || format === 'api_details'
}

/** Below it an answer is a success. */
const ERROR_FROM = 400

const REQUEST_ID = literal('","request_id":"')
const DATE = literal('","date":"')
const TIMING = literal('","timing_ms":')
const DELAY = literal(',"delay_ms":')
const COLLECTION = literal(',"collection":"')
const ENDPOINT = literal('","endpoint":"')
const SPACE = literal(' ')
const CLIENT = literal('","client":{"ip":"')
const PORT = literal('","port":')
const USER_AGENT = literal(',"user_agent":')
const METHOD = literal('},"method":"')
const UPSTREAM = literal('","upstream":"')
const OUTCOME = literal('","outcome":"')
const REQUEST_BYTES = literal('","request_bytes":')
const RESPONSE_BYTES = literal(',"response_bytes":')

const NOTHING = literal('null')
const QUOTE = literal('"')
const agentName = new NameSet(['user-agent'])

/** As they stand in items. */
export const outcomeTexts = Object.fromEntries(
  outcomes.map((outcome) => [outcome, literal(outcome)]),
) as Readonly<Record<Outcome, Literal>>

/** Writes events of one format. */
export class SummaryWriter {
  readonly #redactor: Redactor
  readonly #event: Literal
  readonly #environment: Literal
  /** Whether user agents are copied as they are. */
  readonly #keepsAgent: boolean
  readonly #line = new HeaderLine()
  #last: Result = { status: -1, errorCode: null, outcome: 'complete', text: literal('') }

  constructor(format: ApiFormat, environment: string, redactor: Redactor) {
    this.#redactor = redactor
    this.#keepsAgent = !redactor.detects && !redactor.headers.has('user-agent')
    this.#event = literal(`{"event":"${format}`)
    this.#environment = literal(`","environment":${JSON.stringify(environment)},`)
  }

  /** Appends one without its closing brace: details follow, or nothing. */
  write(record: SlabReader, out: ItemBuffer): void {
    out.literal(this.#event)
    out.literal(REQUEST_ID)
    out.string(record, stringAt.id)
    out.literal(DATE)
    writeTime(record.startedAt, out)
    out.literal(this.#environment)
    this.#result(record, out)
    out.string(record, stringAt.clientIp)
    out.literal(TIMING)
    out.milliseconds(record.durationMs)
    out.literal(DELAY)
    out.milliseconds(Math.max(0, record.durationMs - record.upstreamMs))
    out.literal(COLLECTION)
    out.string(record, stringAt.collection)
    this.#who(record, out)
    out.literal(METHOD)
    writeRequestLine(record, this.#redactor, out)
    out.literal(UPSTREAM)
    out.string(record, stringAt.upstream)
    out.literal(OUTCOME)
    out.literal(outcomeTexts[record.outcome])
    out.literal(REQUEST_BYTES)
    out.integer(record.requestBody.size)
    out.literal(RESPONSE_BYTES)
    out.integer(record.responseBody.size)
  }

  /** The same as that of the exchange before, mostly. */
  #result({ status, errorCode, outcome }: SlabReader, out: ItemBuffer): void {
    const last = this.#last
    if (last.status !== status || last.errorCode !== errorCode || last.outcome !== outcome)
      this.#last = { status, errorCode, outcome, text: resultOf(status, errorCode, outcome) }
    out.literal(this.#last.text)
  }

  #who(record: SlabReader, out: ItemBuffer): void {
    out.literal(ENDPOINT)
    out.string(record, stringAt.method)
    out.literal(SPACE)
    writePath(record, this.#redactor, out)
    out.literal(CLIENT)
    out.string(record, stringAt.clientIp)
    out.literal(PORT)
    out.integer(record.clientPort)
    out.literal(USER_AGENT)
    this.#agent(record, out)
  }

  #agent({ bytes, requestHeaders }: SlabReader, out: ItemBuffer): void {
    if (!findHeader(bytes, requestHeaders, agentName, this.#line)) return out.literal(NOTHING)
    const { value: from, valueEnd: to } = this.#line
    if (this.#keepsAgent) {
      out.literal(QUOTE)
      out.latin1(bytes, from, to)
      return out.literal(QUOTE)
    }
    out.text(JSON.stringify(shownAgent(bytes.toString('latin1', from, to), this.#redactor)))
  }
}

/** What a redactor leaves of a user agent. */
function shownAgent(value: string, redactor: Redactor): string | null {
  if (!redactor.headers.has('user-agent')) return redactor.header(value)
  return redactor.mode === 'remove' ? null : redactor.substitute(value)
}

interface Result {
  readonly status: number | null
  readonly errorCode: GatewayErrorCode | null
  readonly outcome: Outcome
  readonly text: Literal
}

/** Its type and what follows, up to the address of the client. */
function resultOf(status: number | null, errorCode: GatewayErrorCode | null, outcome: Outcome): Literal {
  const isError = status === null || status >= ERROR_FROM || outcome !== 'complete'
  const fields = {
    type: isError && outcome !== 'upgraded' ? 'Error' : 'Success',
    code: status,
    status_text: status === null ? null : reasonPhrase(status),
    gateway_code: errorCode,
    status_details: errorCode === null ? detailsOf(outcome) : gatewayErrors[errorCode].message,
  }
  return literal(`${JSON.stringify(fields).slice(1, -1)},"ip":"`)
}

/** What went wrong although the upstream's own answer went out. */
function detailsOf(outcome: Outcome): string | null {
  if (outcome === 'client_aborted') return 'the client left before the end'
  if (outcome === 'upstream_error') return 'the answer of the upstream broke off'
  return outcome === 'timeout' ? 'the exchange took too long' : null
}
