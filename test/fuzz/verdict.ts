/** Whether what an upstream got and what a client was answered are what the client's bytes say. */
import { gatewayErrors } from '../../src/contract/errors.ts'
import { type Answer, isLast, readAnswers } from './answer-judge.ts'
import type { Arrival } from './bed.ts'
import { type Field, valuesOf } from './framer.ts'
import { endToEnd, type Judged, readRequests, saysClose } from './request-judge.ts'

/** How the client left: after its last answer, at once behind its last byte, or without a word. */
export type Leaving = 'last' | 'early' | 'abrupt'

export interface Observed {
  readonly sent: string
  readonly received: string
  readonly ended: 'no' | 'order' | 'reset'
  readonly leaving: Leaving
  readonly arrivals: readonly Arrival[]
  /** Requests that broke off on their way to an upstream. */
  readonly partials: readonly Judged[]
}

/** Statuses that refuse what may be refused. */
const anyRefusal = [400, 405, 408, 413, 414, 417, 431, 501, 505]

const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 400) ?? ''

const titleOf = ({ request }: Arrival): string => `${request.method} ${request.target}`

export const serialOf = ({ fields }: Pick<Answer, 'fields'>): number | null => {
  const [serial] = valuesOf(fields, 'x-serial')
  return serial === undefined ? null : Number(serial)
}

/** Fields that the gateway writes itself towards upstreams; the client's own of these names end there. */
const own = /^(?:x-request-id|x-forwarded-(?:for|proto|host)|connection|transfer-encoding|trailer)$/

/** What is wrong with the fields of an arrival. */
function compareFields(judged: Judged, { fields }: Judged): string | null {
  const via = fields.findLastIndex(([name]) => name.toLowerCase() === 'via')
  const unhosted = valuesOf(judged.fields, 'host').length === 0
  const passed = fields.filter(([name], at) => {
    const lower = name.toLowerCase()
    return !own.test(lower) && at !== via && !(unhosted && lower === 'host')
  })
  const expected = endToEnd(judged)
  if (shown(passed) !== shown(expected)) return `fields must be ${shown(expected)}, got ${shown(passed)}`
  const added: readonly [string, string[]][] = [
    ['x-forwarded-for', ['127.0.0.1']],
    ['x-forwarded-proto', ['http']],
    ['x-forwarded-host', judged.host === '' ? [] : [judged.host]],
    ['transfer-encoding', judged.framing.kind === 'chunked' ? ['chunked'] : []],
  ]
  for (const [name, value] of added) {
    const got = valuesOf(fields, name)
    if (got.join() !== value.join()) return `${name} must be ${shown(value)}, got ${shown(got)}`
  }
  if (valuesOf(fields, 'x-request-id').length !== 1) return 'there must be one x-request-id'
  return valuesOf(fields, 'host').length === 1 ? null : 'there must be one host'
}

function targetOf({ path, route }: Judged): string {
  const rest = route === 'cut' ? path.slice('/cut'.length) : path
  return rest.startsWith('/') || rest === '*' ? rest : `/${rest}`
}

/** RFC 9110 §6.5.1: trailers may be left out, never changed; those that mean nothing here are kept. */
export function compareTrailers(sent: readonly Field[], got: readonly Field[]): string | null {
  const harmless = (fields: readonly Field[]) => fields.filter(([name]) => /^x-/i.test(name))
  if (shown(harmless(sent)) !== shown(harmless(got)))
    return `trailers must be ${shown(sent)}, got ${shown(got)}`
  const texts = sent.map(shown)
  return got.every((field) => texts.includes(shown(field))) ? null : `a trailer was made up: ${shown(got)}`
}

/** What is wrong with a request at the upstream; `whole`: with all of its body. */
export function compareRequest(judged: Judged, request: Judged, whole: boolean): string | null {
  const { method, target, version, body } = request
  if (method !== judged.method) return `method must be ${judged.method}, got ${method}`
  if (target !== targetOf(judged)) return `target must be ${shown(targetOf(judged))}, got ${shown(target)}`
  if (version !== '1.1') return `version must be 1.1, got ${version}`
  const fields = compareFields(judged, request)
  if (fields !== null) return fields
  if (whole ? body !== judged.body : !judged.body.startsWith(body))
    return `body must be ${shown(judged.body)}, got ${shown(body)}`
  return whole ? compareTrailers(judged.trailers, request.trailers) : null
}

function compareArrival(judged: Judged, arrival: Arrival | undefined): string | null {
  if (judged.state !== 'whole') return `it is ${judged.state} (${judged.why}) and was forwarded`
  if (judged.refusals.length > 0)
    return `it must be refused with ${judged.refusals.join()}, and was forwarded`
  if (arrival === undefined) return 'it was answered by an upstream that never got it'
  if (arrival.collection !== judged.route) return `it belongs to ${judged.route}, got ${arrival.collection}`
  return compareRequest(judged, arrival.request, true)
}

/** What is wrong with an answer that the gateway made itself (contract §3). */
function judgeRefusal(judged: Judged, answer: Answer): string | null {
  const { status, body, fields } = answer
  const free = judged.doubts.length > 0 || judged.state === 'unfinished'
  const statuses = free ? [...anyRefusal, ...judged.refusals] : judged.refusals
  if (!statuses.includes(status)) {
    const wanted = judged.state === 'whole' && statuses.length === 0 ? 'forwarded' : statuses.join(' or ')
    return `it must be ${wanted} (${judged.why || judged.doubts.join()}), got ${status} ${shown(body)}`
  }
  if (judged.state !== 'whole' && !isLast(answer)) return 'the connection must close'
  if (valuesOf(fields, 'content-type').join() !== 'application/json') return 'a refusal must be JSON'
  if (judged.method === 'HEAD' && body === '') return null
  const { error, message, request_id: id } = JSON.parse(body) as Record<string, unknown>
  const known = Object.entries(gatewayErrors).find(([code]) => code === error)
  if (known === undefined || known[1].status !== status) return `no such error: ${shown(body)}`
  return known[1].message === message && typeof id === 'string' && id !== ''
    ? null
    : `not whole: ${shown(body)}`
}

/** Walks the requests of one connection and what became of each, in step. */
class Walk {
  readonly wrong: string[] = []
  readonly #seen: Observed
  readonly #requests: readonly Judged[]
  readonly #answers: readonly Answer[]
  #arrivals = 0

  constructor(seen: Observed) {
    this.#seen = seen
    this.#requests = readRequests(seen.sent)
    this.#answers = answersOf(seen, this.#requests)
  }

  #note(at: number, what: string | null): boolean {
    if (what !== null) this.wrong.push(`request ${at}: ${what}`)
    return what === null
  }

  run(): string[] {
    let at = 0
    while (at < this.#requests.length && this.#step(at, this.#requests[at] as Judged)) at += 1
    // Whatever stopped the walk has the last answer.
    if (this.#answers.length > at + 1)
      this.wrong.push(`${this.#answers.length} answers, at most ${at + 1} were due`)
    this.#judgeRest(at)
    return this.wrong
  }

  /** Whether another answer may follow. */
  #step(at: number, judged: Judged): boolean {
    const answer = this.#answers[at]
    const { leaving } = this.#seen
    if (answer === undefined || answer.state !== 'whole') {
      const due = leaving === 'last' && (judged.state !== 'unfinished' || answer !== undefined)
      if (due)
        this.#note(at, `no whole answer (${judged.state} ${judged.why}), got ${shown(this.#seen.received)}`)
      return false
    }
    const serial = serialOf(answer)
    if (serial === null) return this.#note(at, judgeRefusal(judged, answer)) && !isLast(answer)
    const arrival = this.#seen.arrivals[this.#arrivals++]
    if (!this.#note(at, compareArrival(judged, arrival))) return false
    if (arrival?.serial !== serial) this.#note(at, `answer ${serial} is not its own, ${arrival?.serial} is`)
    // RFC 9112 §9.6.
    if (saysClose(judged) && !isLast(answer)) this.#note(at, 'its answer must say close')
    return !isLast(answer)
  }

  /** What reached upstreams without an answer that came back: only where the client has left. */
  #judgeRest(at: number): void {
    const { arrivals, partials, leaving } = this.#seen
    const rest = arrivals.slice(this.#arrivals)
    if (leaving === 'last' && rest.length > 0)
      this.wrong.push(`surplus at the upstream: ${rest.map(titleOf).join()}`)
    const unrefused = this.#requests.slice(at).filter(({ refusals }) => refusals.length === 0)
    for (const [index, arrival] of rest.entries()) {
      const judged = unrefused[index]
      if (judged === undefined) this.wrong.push(`surplus at the upstream: ${titleOf(arrival)}`)
      else this.#note(at + index, compareArrival(judged, arrival))
    }
    for (const partial of partials) {
      if (!this.#requests.some((judged) => judged.inBody && compareRequest(judged, partial, false) === null))
        this.wrong.push(`half of something reached the upstream: ${shown(partial)}`)
    }
    if (partials.length > 1) this.wrong.push(`half requests must be at most one, got ${partials.length}`)
  }
}

function answersOf({ received, ended }: Observed, requests: readonly Judged[]): Answer[] {
  const methods = requests.map(({ method, state }) =>
    method === 'HEAD' && state === 'whole' ? method : 'GET',
  )
  const stream = readAnswers(received, methods, ended === 'order')
  const answers = stream.answers.map(({ final }) => final)
  const [before, last] = answers.slice(-2)
  // A refusal of a HEAD that could not be read as one has a body, and the connection ends with it.
  const refusal = received.slice(last?.start ?? 0).startsWith('{"error":')
  if (refusal && before !== undefined && isLast(before)) return answers.slice(0, -1)
  // One that could be read as one has none, whatever else is wrong with it.
  const final = answers.at(-1)
  const empty = final?.state === 'unfinished' && final.inBody && final.body === ''
  if (empty && requests[answers.length - 1]?.method === 'HEAD') final.state = 'whole'
  return answers
}

export const judge = (seen: Observed): string[] => new Walk(seen).run()
