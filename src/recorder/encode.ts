/** Writes captured exchanges as the items that collectors receive (contract §3). */
import type { CapturedExchange, HeaderPairs } from '../contract/exchange.ts'
import type { Half } from '../contract/plugin.ts'
import type { ApiFormat, RecordMirror } from '../contract/tasks.ts'
import { apiSummary, isApi } from './api-event.ts'
import { type BodyHead, writeBody } from './body.ts'
import { HeaderReader } from './headers.ts'
import { type ItemRenderer, itemRenderer } from '../render/items.ts'
import { ItemBuffer } from './item-buffer.ts'
import { Redactor } from './redact.ts'

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

/** One half of an exchange, read and redacted, but for its body. */
interface Part extends BodyHead {
  /** Its fields up to `headers`, as JSON without the closing brace. */
  readonly text: string
  readonly redacted: boolean
  readonly trailers: HeaderPairs
  readonly trailersRedacted: boolean
  readonly traceparent: string | undefined
}

export class ItemEncoder {
  readonly #rules: ItemRules
  readonly #render: ItemRenderer | null
  readonly #redactor: Redactor
  readonly #headers: HeaderReader
  readonly #bodyRules: { readonly bodyBytes: number; readonly decode: boolean; readonly redactor: Redactor }
  readonly #made: Record<Half, { readonly buffer: ItemBuffer; turn: number }> = {
    request: { buffer: new ItemBuffer(), turn: -1 },
    response: { buffer: new ItemBuffer(), turn: -1 },
    exchange: { buffer: new ItemBuffer(), turn: -1 },
  }
  /** Bodies left out so far because they could not be redacted. */
  notRedactable = 0

  constructor(rules: ItemRules) {
    this.#rules = rules
    this.#render = itemRenderer(
      isApi(rules.format) ? 'exchange' : rules.format,
      rules.environment,
      rules.message ?? null,
    )
    this.#redactor = new Redactor(rules.redact)
    this.#headers = new HeaderReader(this.#redactor)
    this.#bodyRules = { bodyBytes: rules.bodyBytes, decode: rules.decode, redactor: this.#redactor }
  }

  /**
   * The item and its newline. `turn` counts exchanges: the second leg that asks within a turn gets the
   * same bytes.
   */
  item(exchange: CapturedExchange, half: Half, turn: number): ItemBuffer {
    const made = this.#made[half]
    if (made.turn === turn) return made.buffer
    made.turn = -1
    made.buffer.reset()
    if (half === 'request') this.#request(exchange, made.buffer)
    else if (half === 'response') this.#response(exchange, made.buffer)
    else if (isApi(this.#rules.format)) this.#api(exchange, this.#rules.format, made.buffer)
    else this.#exchange(exchange, made.buffer)
    made.buffer.flush()
    if (this.#render !== null) rewrite(made.buffer, this.#render)
    made.turn = turn
    return made.buffer
  }

  #request(exchange: CapturedExchange, out: ItemBuffer): void {
    const part = this.#requestPart(exchange)
    const { id, startedAt, collection } = exchange
    const client = { ip: exchange.clientIp, port: exchange.clientPort }
    const { environment } = this.#rules
    const head = {
      id,
      ts: isoTime(startedAt),
      environment,
      collection,
      client,
      traceparent: part.traceparent,
    }
    out.text(`${JSON.stringify(head).slice(0, -1)},"request":${part.text}`)
    this.#requestBody(exchange, part, out)
    out.text('}\n')
  }

  #response(exchange: CapturedExchange, out: ItemBuffer): void {
    const part = this.#responsePart(exchange)
    const { id, collection, outcome, upstream } = exchange
    const { environment } = this.#rules
    const ts = isoTime(answeredAt(exchange))
    const head = { id, ts, environment, collection, outcome, duration_ms: durations(exchange), upstream }
    out.text(`${JSON.stringify(head).slice(0, -1)},"response":${part.text}`)
    this.#responseBody(exchange, part, out)
    out.text('}\n')
  }

  #exchange(exchange: CapturedExchange, out: ItemBuffer): void {
    const request = this.#requestPart(exchange)
    const { id, startedAt, collection, outcome, upstream } = exchange
    const head = {
      id,
      ts: isoTime(startedAt),
      environment: this.#rules.environment,
      collection,
      client: { ip: exchange.clientIp, port: exchange.clientPort },
      traceparent: request.traceparent,
      outcome,
      duration_ms: durations(exchange),
      upstream,
    }
    out.text(`${JSON.stringify(head).slice(0, -1)},"request":${request.text}`)
    this.#requestBody(exchange, request, out)
    const response = this.#responsePart(exchange)
    out.text(`,"response":${response.text}`)
    this.#responseBody(exchange, response, out)
    out.text('}\n')
  }

  #api(exchange: CapturedExchange, format: ApiFormat, out: ItemBuffer): void {
    const { environment } = this.#rules
    const ts = isoTime(exchange.startedAt)
    const summary = apiSummary(exchange, { format, environment, ts, redactor: this.#redactor })
    if (format === 'api_summary') {
      out.text(`${summary}\n`)
      return
    }
    const request = this.#requestPart(exchange)
    out.text(`${summary.slice(0, -1)},"request":${request.text}`)
    this.#requestBody(exchange, request, out)
    const response = this.#responsePart(exchange)
    out.text(`,"response":${response.text}`)
    this.#responseBody(exchange, response, out)
    out.text('}\n')
  }

  #requestPart(exchange: CapturedExchange): Part {
    const { method, scheme, host, target } = exchange
    const mark = target.indexOf('?')
    const asked = mark === -1 ? target : target.slice(0, mark)
    const path = this.#redactor.path(asked)
    const sent = mark === -1 ? '' : target.slice(mark + 1)
    const query = this.#redactor.query(sent)
    const read = this.#headers.read(exchange.requestHeaders)
    const trailers = this.#headers.read(exchange.requestTrailers)
    const fields = {
      method,
      scheme,
      host,
      path,
      query,
      http_version: exchange.requestVersion,
      headers: read.pairs,
    }
    return {
      text: JSON.stringify(fields).slice(0, -1),
      redacted: read.redacted || query !== sent || path !== asked,
      trailers: trailers.pairs,
      trailersRedacted: trailers.redacted,
      contentType: read.contentType,
      contentEncoding: read.contentEncoding,
      traceparent: read.traceparent,
    }
  }

  #responsePart(exchange: CapturedExchange): Part {
    const read = this.#headers.read(exchange.responseHeaders)
    const trailers = this.#headers.read(exchange.responseTrailers)
    const fields = { status: exchange.status, http_version: exchange.responseVersion, headers: read.pairs }
    return {
      text: JSON.stringify(fields).slice(0, -1),
      redacted: read.redacted,
      trailers: trailers.pairs,
      trailersRedacted: trailers.redacted,
      contentType: read.contentType,
      contentEncoding: read.contentEncoding,
      traceparent: undefined,
    }
  }

  #requestBody(exchange: CapturedExchange, part: Part, out: ItemBuffer): void {
    const redacted = part.redacted || part.trailersRedacted
    const omitted = writeBody(
      out,
      exchange.requestBody,
      part,
      this.#bodyRules,
      this.#rules.requestBody,
      redacted,
    )
    this.#endPart(part, omitted, out)
  }

  #responseBody(exchange: CapturedExchange, part: Part, out: ItemBuffer): void {
    const redacted = part.redacted || part.trailersRedacted
    const omitted = writeBody(
      out,
      exchange.responseBody,
      part,
      this.#bodyRules,
      this.#rules.responseBody,
      redacted,
    )
    this.#endPart(part, omitted, out)
  }

  #endPart(part: Part, omitted: boolean, out: ItemBuffer): void {
    if (omitted) this.notRedactable++
    out.text(part.trailers.length === 0 ? '}' : `,"trailers":${JSON.stringify(part.trailers)}}`)
  }
}

/** Redaction is done by then, so no format can miss it. */
function rewrite(buffer: ItemBuffer, render: ItemRenderer): void {
  const item = render(buffer.bytes.toString('utf8', 0, buffer.length - 1))
  buffer.reset()
  buffer.text(item)
  buffer.text('\n')
  buffer.flush()
}

function durations(exchange: CapturedExchange): { total: number; upstream: number } {
  return { total: round(exchange.durationMs), upstream: round(exchange.upstreamMs) }
}

/** Microseconds are enough, and keep noise digits out of every item. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** When the head of the answer was seen, or the exchange ended without one. */
function answeredAt(exchange: CapturedExchange): number {
  return exchange.answeredAt > 0 ? exchange.answeredAt : exchange.startedAt + Math.round(exchange.durationMs)
}

let isoSecond = -1
let isoPrefix = ''

/** ISO 8601 with milliseconds; exchanges of one second share the text before them. */
function isoTime(unixMs: number): string {
  const whole = Math.floor(unixMs)
  const second = Math.floor(whole / 1000)
  if (second !== isoSecond) {
    isoPrefix = new Date(second * 1000).toISOString().slice(0, 20)
    isoSecond = second
  }
  return `${isoPrefix}${String(whole - second * 1000).padStart(3, '0')}Z`
}
