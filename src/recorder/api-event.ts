/** One exchange as a line of an API log: who asked for what, how it went, and how long it took. */
import { type GatewayErrorCode, gatewayErrors } from '../contract/errors.ts'
import { type Outcome, outcomes } from '../contract/exchange.ts'
import { reasonPhrase } from '../contract/node-http.ts'
import type { ApiFormat, RecordMirror } from '../contract/tasks.ts'
import { stringAt } from '../queue/slab-format.ts'
import { HeaderLine, type SlabReader } from '../queue/slab-reader.ts'
import { findHeader } from './headers.ts'
import { ascii, type ItemBuffer } from './item-buffer.ts'
import { writeTime } from './item-time.ts'
import { NameSet } from './name-set.ts'
import type { Redactor } from './redact.ts'
import { writePath, writeRequestLine } from './target.ts'

export function isApi(format: RecordMirror['format']): format is ApiFormat {
  return format === 'api_summary' || format === 'api_details'
}

/** Below it an answer is a success. */
const ERROR_FROM = 400

const REQUEST_ID = ascii('","request_id":"')
const DATE = ascii('","date":"')
const TIMING = ascii('","timing_ms":')
const DELAY = ascii(',"delay_ms":')
const COLLECTION = ascii(',"collection":"')
const ENDPOINT = ascii('","endpoint":"')
const SPACE = ascii(' ')
const CLIENT = ascii('","client":{"ip":"')
const PORT = ascii('","port":')
const USER_AGENT = ascii(',"user_agent":')
const METHOD = ascii('},"method":"')
const UPSTREAM = ascii('","upstream":"')
const OUTCOME = ascii('","outcome":"')
const REQUEST_BYTES = ascii('","request_bytes":')
const RESPONSE_BYTES = ascii(',"response_bytes":')

const NOTHING = ascii('null')
const QUOTE = ascii('"')
const agentName = new NameSet(['user-agent'])

/** As they stand in items. */
export const outcomeBytes = Object.fromEntries(
  outcomes.map((outcome) => [outcome, ascii(outcome)]),
) as Readonly<Record<Outcome, Uint8Array>>

/** Writes events of one format. */
export class SummaryWriter {
  readonly #redactor: Redactor
  readonly #event: Uint8Array
  readonly #environment: Uint8Array
  /** Whether user agents are copied as they are. */
  readonly #keepsAgent: boolean
  readonly #line = new HeaderLine()
  #last: Result = { status: -1, errorCode: null, outcome: 'complete', bytes: ascii('') }

  constructor(format: ApiFormat, environment: string, redactor: Redactor) {
    this.#redactor = redactor
    this.#keepsAgent = !redactor.detects && !redactor.headers.has('user-agent')
    this.#event = ascii(`{"event":"${format}`)
    this.#environment = new Uint8Array(Buffer.from(`","environment":${JSON.stringify(environment)},`))
  }

  /** Appends one without its closing brace: details follow, or nothing. */
  write(record: SlabReader, out: ItemBuffer): void {
    out.ascii(this.#event)
    out.ascii(REQUEST_ID)
    out.string(record, stringAt.id)
    out.ascii(DATE)
    writeTime(record.startedAt, out)
    out.ascii(this.#environment)
    this.#result(record, out)
    out.string(record, stringAt.clientIp)
    out.ascii(TIMING)
    out.milliseconds(record.durationMs)
    out.ascii(DELAY)
    out.milliseconds(Math.max(0, record.durationMs - record.upstreamMs))
    out.ascii(COLLECTION)
    out.string(record, stringAt.collection)
    this.#who(record, out)
    out.ascii(METHOD)
    writeRequestLine(record, this.#redactor, out)
    out.ascii(UPSTREAM)
    out.string(record, stringAt.upstream)
    out.ascii(OUTCOME)
    out.ascii(outcomeBytes[record.outcome])
    out.ascii(REQUEST_BYTES)
    out.integer(record.requestBody.size)
    out.ascii(RESPONSE_BYTES)
    out.integer(record.responseBody.size)
  }

  /** The same as that of the exchange before, mostly. */
  #result({ status, errorCode, outcome }: SlabReader, out: ItemBuffer): void {
    const last = this.#last
    if (last.status !== status || last.errorCode !== errorCode || last.outcome !== outcome)
      this.#last = { status, errorCode, outcome, bytes: resultOf(status, errorCode, outcome) }
    out.ascii(this.#last.bytes)
  }

  #who(record: SlabReader, out: ItemBuffer): void {
    out.ascii(ENDPOINT)
    out.string(record, stringAt.method)
    out.ascii(SPACE)
    writePath(record, this.#redactor, out)
    out.ascii(CLIENT)
    out.string(record, stringAt.clientIp)
    out.ascii(PORT)
    out.integer(record.clientPort)
    out.ascii(USER_AGENT)
    this.#agent(record, out)
  }

  #agent({ bytes, requestHeaders }: SlabReader, out: ItemBuffer): void {
    if (!findHeader(bytes, requestHeaders, agentName, this.#line)) return out.ascii(NOTHING)
    const { value: from, valueEnd: to } = this.#line
    if (this.#keepsAgent) {
      out.ascii(QUOTE)
      out.latin1(bytes, from, to)
      return out.ascii(QUOTE)
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
  readonly bytes: Uint8Array
}

/** Its type and what follows, up to the address of the client. */
function resultOf(status: number | null, errorCode: GatewayErrorCode | null, outcome: Outcome): Uint8Array {
  const isError = status === null || status >= ERROR_FROM || outcome !== 'complete'
  const fields = {
    type: isError && outcome !== 'upgraded' ? 'Error' : 'Success',
    code: status,
    status_text: status === null ? null : reasonPhrase(status),
    gateway_code: errorCode,
    status_details: errorCode === null ? detailsOf(outcome) : gatewayErrors[errorCode].message,
  }
  return new Uint8Array(Buffer.from(`${JSON.stringify(fields).slice(1, -1)},"ip":"`))
}

/** What went wrong although the upstream's own answer went out. */
function detailsOf(outcome: Outcome): string | null {
  if (outcome === 'client_aborted') return 'the client left before the end'
  if (outcome === 'upstream_error') return 'the answer of the upstream broke off'
  return outcome === 'timeout' ? 'the exchange took too long' : null
}
