/** Writes captured exchanges as the items that collectors receive (contract §3). */
import { type Outcome, outcomes } from '../contract/exchange.ts'
import type { Half } from '../contract/plugin.ts'
import type { RecordMirror } from '../contract/tasks.ts'
import { stringAt } from '../queue/slab-format.ts'
import type { BodyRange, Range, SlabReader } from '../queue/slab-reader.ts'
import { type ItemRenderer, itemRenderer } from '../render/items.ts'
import { isApi, SummaryWriter } from './api-event.ts'
import { BodyWriter } from './body.ts'
import { HeaderReader } from './headers.ts'
import { ItemBuffer, type Literal, literal } from './item-buffer.ts'
import { answeredAt, writeTime } from './item-time.ts'
import { Redactor } from './redact.ts'
import { writeRequestLine } from './target.ts'

/** What of a mirror decides how its items look; mirrors that agree in it share one encoder. */
export type ItemRules = Pick<
  RecordMirror,
  'format' | 'message' | 'environment' | 'bodyBytes' | 'requestBody' | 'responseBody' | 'decode' | 'redact'
>

/** Equal for mirrors whose items are the same bytes. */
export function itemRulesKey(rules: ItemRules): string {
  const { format, message, environment, bodyBytes, requestBody, responseBody, decode, redact } = rules
  // Of the others, the half that a leg carries says all.
  const made = madeFormats.has(format) ? [format, message] : null
  return JSON.stringify([made, environment, bodyBytes, requestBody, responseBody, decode, redact])
}

/** Formats whose items are not told by the half that they carry. */
const madeFormats: ReadonlySet<string> = new Set(['har', 'akto', 'template', 'api_summary', 'api_details'])

const ID = literal('{"id":"')
const TIME = literal('","ts":"')
const CLIENT = literal(',"client":{"ip":"')
const PORT = literal('","port":')
const CLIENT_END = literal('}')
/** Up to how long it took. */
const outcomeTexts = Object.fromEntries(
  outcomes.map((outcome) => [outcome, literal(`,"outcome":"${outcome}","duration_ms":{"total":`)]),
) as Readonly<Record<Outcome, Literal>>
const UPSTREAM_MS = literal(',"upstream":')
const UPSTREAM = literal('},"upstream":"')
const REQUEST = literal(',"request":{"method":"')
const VERSION = literal('","http_version":"')
const RESPONSE = literal(',"response":{"status":')
const STATUS_VERSION = literal(',"http_version":"')
const HEADERS = literal('","headers":[')
const HEADERS_END = literal(']')
const TRAILERS = literal(',"trailers":[')
const PART_END = literal('}')
const ITEM_END = literal('}\n')
const QUOTE = literal('"')
const NOTHING = literal('null')

/** An item where it was written. */
interface Made {
  turn: number
  buffer: ItemBuffer
  from: number
  to: number
}

export class ItemEncoder {
  readonly #rules: ItemRules
  readonly #render: ItemRenderer | null
  readonly #redactor: Redactor
  readonly #requestHeaders: HeaderReader
  readonly #responseHeaders: HeaderReader
  readonly #trailers: HeaderReader
  /** Pairs that are read before their place is reached, or may be none. */
  readonly #requestPairs = new ItemBuffer()
  readonly #trailerPairs = new ItemBuffer()
  readonly #body: BodyWriter
  readonly #summary: SummaryWriter | null
  readonly #environment: Literal
  readonly #made: Record<Half, Made | null> = { request: null, response: null, exchange: null }
  /** Bodies left out so far because they could not be redacted. */
  notRedactable = 0

  constructor(rules: ItemRules) {
    const { environment, bodyBytes, decode } = rules
    this.#rules = rules
    this.#render = itemRenderer(
      isApi(rules.format) ? 'exchange' : rules.format,
      environment,
      rules.message ?? null,
    )
    const redactor = new Redactor(rules.redact)
    this.#summary = isApi(rules.format) ? new SummaryWriter(rules.format, environment, redactor) : null
    this.#redactor = redactor
    this.#requestHeaders = new HeaderReader(redactor)
    this.#responseHeaders = new HeaderReader(redactor)
    this.#trailers = new HeaderReader(redactor)
    this.#body = new BodyWriter({ bodyBytes, decode, redactor })
    const name = JSON.stringify(environment)
    this.#environment = literal(`","environment":${name},"collection":"`)
  }

  /**
   * Appends the item and its newline. `turn` counts exchanges: the second leg that asks within a turn gets
   * the same bytes, which until then have to stay where they were written.
   */
  item(record: SlabReader, half: Half, turn: number, out: ItemBuffer): void {
    const made = (this.#made[half] ??= { turn: -1, buffer: out, from: 0, to: 0 })
    if (made.turn === turn) return out.raw(made.buffer.bytes, made.from, made.to)
    made.turn = -1
    const from = out.length
    if (half === 'request') this.#request(record, out)
    else if (half === 'response') this.#response(record, out)
    else if (this.#summary !== null) this.#api(record, this.#summary, out)
    else this.#exchange(record, out)
    out.literal(ITEM_END)
    if (this.#render !== null) rewrite(out, from, this.#render)
    made.turn = turn
    made.buffer = out
    made.from = from
    made.to = out.length
  }

  #request(record: SlabReader, out: ItemBuffer): void {
    this.#head(record, record.startedAt, out)
    this.#client(record, out)
    this.#requestPart(record, out)
  }

  #response(record: SlabReader, out: ItemBuffer): void {
    this.#head(record, answeredAt(record), out)
    this.#outcome(record, out)
    this.#responsePart(record, out)
  }

  #exchange(record: SlabReader, out: ItemBuffer): void {
    this.#head(record, record.startedAt, out)
    this.#client(record, out)
    this.#outcome(record, out)
    this.#requestPart(record, out)
    this.#responsePart(record, out)
  }

  #api(record: SlabReader, summary: SummaryWriter, out: ItemBuffer): void {
    summary.write(record, out)
    if (this.#rules.format === 'api_summary') return
    this.#readRequestHeaders(record)
    this.#requestPart(record, out)
    this.#responsePart(record, out)
  }

  #readRequestHeaders(record: SlabReader): void {
    this.#requestPairs.reset()
    this.#requestHeaders.read(record, record.requestHeaders, this.#requestPairs)
  }

  /** Up to the collection. */
  #head(record: SlabReader, time: number, out: ItemBuffer): void {
    out.literal(ID)
    out.string(record, stringAt.id)
    out.literal(TIME)
    writeTime(time, out)
    out.literal(this.#environment)
    out.string(record, stringAt.collection)
    out.literal(QUOTE)
  }

  /** The trace stands before the request that it came with. */
  #client(record: SlabReader, out: ItemBuffer): void {
    this.#readRequestHeaders(record)
    out.literal(CLIENT)
    out.string(record, stringAt.clientIp)
    out.literal(PORT)
    out.integer(record.clientPort)
    out.literal(CLIENT_END)
    const { traceparent } = this.#requestHeaders
    if (traceparent !== null) out.text(`,"traceparent":${JSON.stringify(traceparent)}`)
  }

  #outcome(record: SlabReader, out: ItemBuffer): void {
    out.literal(outcomeTexts[record.outcome])
    out.milliseconds(record.durationMs)
    out.literal(UPSTREAM_MS)
    out.milliseconds(record.upstreamMs)
    out.literal(UPSTREAM)
    out.string(record, stringAt.upstream)
    out.literal(QUOTE)
  }

  /** After the headers were read. */
  #requestPart(record: SlabReader, out: ItemBuffer): void {
    const headers = this.#requestHeaders
    out.literal(REQUEST)
    const redacted = writeRequestLine(record, this.#redactor, out)
    out.literal(VERSION)
    out.string(record, stringAt.requestVersion)
    out.literal(HEADERS)
    out.append(this.#requestPairs)
    out.literal(HEADERS_END)
    headers.redacted ||= redacted
    this.#bodyPart(record, record.requestBody, headers, record.requestTrailers, this.#rules.requestBody, out)
  }

  #responsePart(record: SlabReader, out: ItemBuffer): void {
    const headers = this.#responseHeaders
    const { status } = record
    out.literal(RESPONSE)
    if (status === null) out.literal(NOTHING)
    else out.integer(status)
    out.literal(STATUS_VERSION)
    out.string(record, stringAt.responseVersion)
    out.literal(HEADERS)
    headers.read(record, record.responseHeaders, out)
    out.literal(HEADERS_END)
    const { responseBody: wanted } = this.#rules
    this.#bodyPart(record, record.responseBody, headers, record.responseTrailers, wanted, out)
  }

  /** The end of a part: its body, and its trailers. */
  #bodyPart(
    record: SlabReader,
    body: BodyRange,
    headers: HeaderReader,
    trailers: Range,
    wanted: boolean,
    out: ItemBuffer,
  ): void {
    const pairs = this.#trailerPairs
    pairs.reset()
    this.#trailers.read(record, trailers, pairs)
    headers.redacted ||= this.#trailers.redacted
    if (this.#body.write(out, record.bytes, body, headers, wanted)) this.notRedactable++
    if (pairs.length > 0) {
      out.literal(TRAILERS)
      out.append(pairs)
      out.literal(HEADERS_END)
    }
    out.literal(PART_END)
  }
}

/** Redaction is done by then, so no format can miss it. The item begins at `from`. */
function rewrite(out: ItemBuffer, from: number, render: ItemRenderer): void {
  const item = render(out.bytes.toString('utf8', from, out.length - 1))
  out.length = from
  out.text(item)
  out.text('\n')
}
