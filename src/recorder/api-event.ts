/** One exchange as a line of an API log: who asked for what, how it went, and how long it took. */
import { type GatewayErrorCode, gatewayErrors } from '../contract/errors.ts'
import type { Outcome } from '../contract/exchange.ts'
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

const DATE = literal('","date":"')
const TIMING = literal('","timing_ms":')
const DELAY = literal(',"delay_ms":')
const COLLECTION = literal(',"collection":"')
const ENDPOINT = literal('","endpoint":"')
const SPACE = literal(' ')
const CLIENT = literal('","client":{"ip":"')
const PORT = literal('","port":')
const USER_AGENT = literal(',"user_agent":')
const USER_AGENT_TEXT = literal(',"user_agent":"')
const METHOD = literal('},"method":"')
const METHOD_AFTER_TEXT = literal('"},"method":"')
const UPSTREAM = literal('","upstream":"')
const RESPONSE_BYTES = literal(',"response_bytes":')

const NOTHING = literal('null')
const agentName = new NameSet(['user-agent'])

/** Writes events of one format. */
export class SummaryWriter {
  readonly #redactor: Redactor
  readonly #event: Literal
  readonly #environment: string
  /** Whether user agents are copied as they are. */
  readonly #keepsAgent: boolean
  readonly #line = new HeaderLine()
  #last: Result = { status: -1, errorCode: null, outcome: 'complete', text: NOTHING, ending: NOTHING }

  constructor(format: ApiFormat, environment: string, redactor: Redactor) {
    this.#redactor = redactor
    this.#keepsAgent = !redactor.detects && !redactor.headers.has('user-agent')
    this.#event = literal(`{"event":"${format}","request_id":"`)
    this.#environment = `","environment":${JSON.stringify(environment)},`
  }

  /** Appends one without its closing brace: details follow, or nothing. */
  write(record: SlabReader, out: ItemBuffer): void {
    out.literal(this.#event)
    out.string(record, stringAt.id)
    out.literal(DATE)
    writeTime(record.startedAt, out)
    out.literal(this.#result(record).text)
    out.string(record, stringAt.clientIp)
    out.literal(TIMING)
    out.milliseconds(record.durationMs)
    out.literal(DELAY)
    out.milliseconds(Math.max(0, record.durationMs - record.upstreamMs))
    out.literal(COLLECTION)
    out.string(record, stringAt.collection)
    this.#who(record, out)
    writeRequestLine(record, this.#redactor, out)
    out.literal(UPSTREAM)
    out.string(record, stringAt.upstream)
    out.literal(this.#last.ending)
    out.integer(record.requestBody.size)
    out.literal(RESPONSE_BYTES)
    out.integer(record.responseBody.size)
  }

  /** The same as that of the exchange before, mostly. */
  #result({ status, errorCode, outcome }: SlabReader): Result {
    const last = this.#last
    if (last.status === status && last.errorCode === errorCode && last.outcome === outcome) return last
    const text = literal(this.#environment + resultOf(status, errorCode, outcome))
    const ending = literal(`","outcome":"${outcome}","request_bytes":`)
    this.#last = { status, errorCode, outcome, text, ending }
    return this.#last
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
    this.#agent(record, out)
  }

  /** Up to the method. */
  #agent({ bytes, requestHeaders }: SlabReader, out: ItemBuffer): void {
    const found = findHeader(bytes, requestHeaders, agentName, this.#line)
    const { value: from, valueEnd: to } = this.#line
    if (found && this.#keepsAgent) {
      out.literal(USER_AGENT_TEXT)
      out.latin1(bytes, from, to)
      return out.literal(METHOD_AFTER_TEXT)
    }
    out.literal(USER_AGENT)
    if (!found) out.literal(NOTHING)
    else out.text(JSON.stringify(shownAgent(bytes.toString('latin1', from, to), this.#redactor)))
    out.literal(METHOD)
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
  /** From the environment to the address of the client. */
  readonly text: Literal
  /** From the outcome on. */
  readonly ending: Literal
}

/** Its type and what follows, up to the address of the client. */
function resultOf(status: number | null, errorCode: GatewayErrorCode | null, outcome: Outcome): string {
  const isError = status === null || status >= ERROR_FROM || outcome !== 'complete'
  const fields = {
    type: isError && outcome !== 'upgraded' ? 'Error' : 'Success',
    code: status,
    status_text: status === null ? null : reasonPhrase(status),
    gateway_code: errorCode,
    status_details: errorCode === null ? detailsOf(outcome) : gatewayErrors[errorCode].message,
  }
  return `${JSON.stringify(fields).slice(1, -1)},"ip":"`
}

/** What went wrong although the upstream's own answer went out. */
function detailsOf(outcome: Outcome): string | null {
  if (outcome === 'client_aborted') return 'the client left before the end'
  if (outcome === 'upstream_error') return 'the answer of the upstream broke off'
  return outcome === 'timeout' ? 'the exchange took too long' : null
}
