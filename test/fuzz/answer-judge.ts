/** What the judge reads in the bytes of an upstream or of the gateway: answers, interim ones apart. */
import {
  type Body,
  type Field,
  type Found,
  optionsOf,
  readBody,
  readFields,
  readFraming,
  readLines,
} from './framer.ts'

export interface Answer extends Found {
  start: number
  inBody: boolean
  version: string
  status: number
  reason: string
  fields: Field[]
  /** How its end is known. */
  ends: 'head' | 'length' | 'chunked' | 'close'
  body: string
  trailers: Field[]
}

const lineForm = /^HTTP\/1\.([01]) ([0-9]{3})(?:( )(.*))?$/
/** Between these it is the gateway's choice; it adds a few fields itself. */
const bounds = { sureBytes: 24_000, refusedBytes: 40_000, sureFields: 200, refusedFields: 210 }

function judgeLine(answer: Answer, line: string): string | null {
  const [, minor, status, space, reason = ''] = lineForm.exec(line) ?? []
  if (status === undefined) return `a status line ${JSON.stringify(line.slice(0, 80))}`
  answer.version = `1.${minor}`
  answer.status = Number(status)
  answer.reason = reason
  // RFC 9112 §4: the space is part of the line, and often left out.
  if (space === undefined) answer.doubts.push('no space behind the status')
  // RFC 9110 §15: no class of status begins with these.
  if (answer.status < 100) return `a status ${status}`
  if (answer.status > 599) answer.doubts.push(`a status ${status}`)
  return null
}

/** RFC 9112 §6.3, for answers: no body by method or status, a framing, or up to the end of all. */
function judgeFraming(answer: Answer, method: string): string | null {
  const { fields, status, version, doubts } = answer
  const framing = readFraming(fields, version, doubts)
  if (typeof framing === 'string') return framing
  const never = status < 200 || status === 204
  // RFC 9112 §6.1, RFC 9110 §8.6: they announce no body, since they cannot have one.
  if (never && framing.kind !== 'none') doubts.push('a framing without a body')
  if (method === 'HEAD' || never || status === 304) answer.ends = 'head'
  else answer.ends = framing.kind === 'none' ? 'close' : framing.kind
  return null
}

/**
 * The answer at `at` to a request of this method; null when nothing is there. `closed`: the sender has ended,
 * and did so in order.
 */
export function readAnswer(text: string, at: number, method: string, closed: boolean): Answer | null {
  if (at >= text.length) return null
  const { lines, state, why, end } = readLines(text, at)
  const answer: Answer = {
    ...{ state, why, doubts: [], end, start: at, inBody: false, version: '', status: 0, reason: '' },
    ...{ fields: [], ends: 'head', body: '', trailers: [] },
  }
  if (state !== 'whole') return answer
  const bad = (wrong: string): Answer => ({ ...answer, state: 'bad', why: wrong })
  const line = judgeLine(answer, lines[0] ?? '')
  if (line !== null) return bad(line)
  const fields = readFields(lines.slice(1))
  if (typeof fields === 'string') return bad(fields)
  answer.fields = fields
  const bytes = end - at
  if (fields.length > bounds.refusedFields || bytes > bounds.refusedBytes)
    return bad('a head that is too large')
  if (fields.length > bounds.sureFields || bytes > bounds.sureBytes) answer.doubts.push('a large head')
  const framing = judgeFraming(answer, method)
  if (framing !== null) return bad(framing)
  // RFC 9110 §15.2.2: nobody asked for another protocol.
  if (answer.status === 101) return bad('a switch of protocols')
  return withBody(answer, bodyOf(answer, text, closed))
}

function bodyOf({ ends, fields, end }: Answer, text: string, closed: boolean): Body {
  if (ends === 'head') return readBody(text, end, { kind: 'none' })
  if (ends === 'chunked') return readBody(text, end, { kind: 'chunked' })
  if (ends === 'length') {
    const length = Number(optionsOf(fields, 'content-length')[0])
    return readBody(text, end, { kind: 'length', length })
  }
  const state = closed ? 'whole' : 'unfinished'
  const why = closed ? '' : 'the connection has not ended in order'
  return { state, why, doubts: [], end: text.length, body: text.slice(end), trailers: [] }
}

function withBody(answer: Answer, { state, why, end, body, trailers, doubts }: Body): Answer {
  return { ...answer, inBody: true, state, why, end, body, trailers, doubts: [...answer.doubts, ...doubts] }
}

/** RFC 9112 §9.3. */
export function isLast({ version, fields, ends }: Answer): boolean {
  const options = optionsOf(fields, 'connection')
  return (
    options.includes('close') || ends === 'close' || (version === '1.0' && !options.includes('keep-alive'))
  )
}

/** One answer with the interim ones before it. */
export interface Exchange {
  readonly interim: readonly Answer[]
  readonly final: Answer
}

export interface Stream {
  readonly answers: Exchange[]
  /** Interim ones before an answer that has not begun. */
  readonly interim: readonly Answer[]
}

/**
 * All answers on a connection, to requests of these methods; the last one may be unfinished or bad. What
 * comes after the last of them is read as an answer to GET.
 */
export function readAnswers(text: string, methods: readonly string[], closed: boolean): Stream {
  const answers: Exchange[] = []
  let interim: Answer[] = []
  for (let at = 0; ; ) {
    const answer = readAnswer(text, at, methods[answers.length] ?? 'GET', closed)
    if (answer === null) return { answers, interim }
    at = answer.end
    if (answer.state === 'whole' && answer.status < 200) {
      interim.push(answer)
      continue
    }
    answers.push({ interim, final: answer })
    interim = []
    if (answer.state !== 'whole') return { answers, interim }
  }
}

/** RFC 9110 §7.6.1 and RFC 2616 §13.5.1: what of an answer ends at the gateway. */
const ended =
  /^(?:connection|keep-alive|proxy-connection|proxy-authenticate|te|trailer|transfer-encoding|upgrade)$/
const kept = /^(?:content-length|transfer-encoding|host)$/

/** The fields of an upstream's answer as the client gets them. */
export function endToEnd({ fields, status }: Answer): Field[] {
  const nominated = optionsOf(fields, 'connection').filter((name) => !kept.test(name))
  return fields.filter(([name]) => {
    const lower = name.toLowerCase()
    // RFC 9110 §8.6: no length where there cannot be a body.
    if (lower === 'content-length' && (status < 200 || status === 204)) return false
    return !ended.test(lower) && !nominated.includes(lower)
  })
}

/** The fields of an answer that the gateway wrote of its own for the client's connection, taken away. */
export function withoutHop({ fields }: Answer): Field[] {
  return fields.filter(([name]) => !ended.test(name.toLowerCase()))
}
