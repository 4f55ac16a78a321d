/** Whether a client was answered what the upstream's bytes say, and nothing else. */
import { type Answer, endToEnd, type Exchange, isLast, readAnswers, withoutHop } from './answer-judge.ts'
import { poison } from './answer-grammar.ts'
import { valuesOf } from './framer.ts'
import { compareTrailers } from './verdict.ts'

export interface AnswerObserved {
  /** What the upstream sent, and how it ended: not at all, in order, by a reset. */
  readonly sent: string
  readonly ending: 'stay' | 'end' | 'reset'
  readonly method: string
  readonly version: string
  /** What the client of a first and perhaps a second request received. */
  readonly received: string
  readonly ended: 'no' | 'order' | 'reset'
  /** Body of the answer to the second request; null when there was none. */
  readonly second: string | null
}

const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 400) ?? ''

/** The judge's reading of an upstream's bytes. */
export interface Reading {
  readonly exchange: Exchange | null
  readonly interim: readonly Answer[]
  /** Bytes behind the end of the answer. */
  readonly surplus: string
}

export function readUpstream({ sent, ending, method }: AnswerObserved): Reading {
  const { answers, interim } = readAnswers(sent, [method], ending === 'end')
  const [exchange = null] = answers
  const surplus = exchange?.final.state === 'whole' ? sent.slice(exchange.final.end) : ''
  return { exchange, interim: exchange?.interim ?? interim, surplus }
}

function compareHead(judged: Answer, got: Answer): string | null {
  if (got.status !== judged.status) return `status must be ${judged.status}, got ${got.status}`
  if (got.reason !== judged.reason) return `reason must be ${shown(judged.reason)}, got ${shown(got.reason)}`
  const [expected, fields] = [shown(endToEnd(judged)), shown(withoutHop(got))]
  return fields === expected ? null : `fields must be ${expected}, got ${fields}`
}

/** Interim answers may be left out (RFC 9110 §15.2), never changed, never made up. */
function compareInterim({ interim }: Reading, seen: readonly Answer[], version: string): string | null {
  if (version === '1.0' && seen.length > 0) return 'HTTP/1.0 knows no interim answers'
  let at = 0
  for (const got of seen) {
    // RFC 9112 §4: what stands behind an interim status means nothing.
    while (
      at < interim.length &&
      compareHead({ ...(interim[at] as Answer), reason: got.reason }, got) !== null
    )
      at += 1
    if (at++ === interim.length) return `an interim answer that nobody sent: ${shown(got)}`
  }
  return null
}

/** Whether all of a judged answer is sure to have come through. */
function isCertain({ exchange, surplus }: Reading, { ending }: AnswerObserved): boolean {
  if (exchange === null || exchange.final.state !== 'whole') return false
  const doubts = [...exchange.interim, exchange.final].flatMap((answer) => answer.doubts)
  // A reset may overtake the last bytes.
  return surplus === '' && doubts.length === 0 && ending !== 'reset' && exchange.interim.length <= 32
}

/** The gateway's own answer in place of one that is none (contract §3). */
function judgeOwn(got: Answer, reading: Reading, seen: AnswerObserved): string | null {
  if (isCertain(reading, seen)) return `it must come through, got ${got.status} ${shown(got.body)}`
  if (got.status !== 502 || got.state !== 'whole') return `it must be 502, got ${got.status} ${got.state}`
  if (seen.method === 'HEAD') return null
  const { error } = JSON.parse(got.body) as { error: string }
  const state = reading.exchange?.final.state ?? 'unfinished'
  const doubtful =
    state === 'whole' || seen.ending === 'reset' || (reading.exchange?.final.doubts.length ?? 0) > 0
  if (state === 'bad' && !doubtful && error !== 'upstream_protocol_error')
    return `it is ${reading.exchange?.final.why}: got ${error}`
  return /^upstream_(?:protocol_error|reset)$/.test(error) ? null : `no error for this: ${error}`
}

function judgeRelayed(got: Answer, reading: Reading, seen: AnswerObserved): string | null {
  const judged = reading.exchange?.final
  if (judged === undefined || (judged.state !== 'whole' && !judged.inBody)) {
    return `it is ${judged?.state} (${judged?.why}) and came through: ${shown(got)}`
  }
  const head = compareHead(judged, got)
  if (head !== null) return head
  if (judged.state === 'whole' && got.state === 'whole') {
    if (got.body !== judged.body) return `body must be ${shown(judged.body)}, got ${shown(got.body)}`
    return got.ends === 'chunked' ? compareTrailers(judged.trailers, got.trailers) : null
  }
  if (isCertain(reading, seen)) return `it must come through whole, got ${got.state} ${got.why}`
  if (!judged.body.startsWith(got.body))
    return `body must begin ${shown(judged.body)}, got ${shown(got.body)}`
  return got.state === 'whole' ? `it is ${judged.state} (${judged.why}), and looks whole` : null
}

function judgeSecond(first: Answer, second: Answer | undefined, body: string): string | null {
  const last = isLast(first) || first.state !== 'whole'
  if (second === undefined) return last ? null : 'the second request was not answered'
  if (last) return `something follows the last answer: ${shown(second)}`
  return second.body === body ? null : `the second answer must be ${body}, got ${shown(second)}`
}

/** What is wrong with what the client received. */
export function judgeAnswer(seen: AnswerObserved): string[] {
  const reading = readUpstream(seen)
  const { answers: exchanges } = readAnswers(seen.received, [seen.method, 'GET'], seen.ended === 'order')
  const [first, second] = exchanges
  const wrong: (string | null)[] = []
  if (first === undefined) return [`there must be an answer, got ${shown(seen.received)}`]
  const relayed = valuesOf(first.final.fields, 'x-mark').length > 0 || first.final.status !== 502
  wrong.push(relayed ? judgeRelayed(first.final, reading, seen) : judgeOwn(first.final, reading, seen))
  wrong.push(compareInterim(reading, first.interim, seen.version))
  if (seen.second !== null) wrong.push(judgeSecond(first.final, second?.final, seen.second))
  else if (second !== undefined) wrong.push(`a second answer was made up: ${shown(second.final)}`)
  if (exchanges.length > 2) wrong.push('more answers than requests')
  if (seen.received.includes(poison) && !(reading.exchange?.final.body ?? '').includes(poison)) {
    if (!JSON.stringify(reading.exchange).includes(poison)) wrong.push('bytes behind the answer came through')
  }
  return wrong.filter((one) => one !== null)
}
