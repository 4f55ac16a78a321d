/** Whether uploads and early answers came through as they were sent, once, and left nothing behind. */
import { limits } from '../../src/contract/limits.ts'
import { type Answer, isLast, readAnswers } from './answer-judge.ts'
import { judgeAnswer } from './answer-verdict.ts'
import type { Arrival } from './bed.ts'
import { valuesOf } from './framer.ts'
import { type Judged, readRequests } from './request-judge.ts'
import type { UploadPlan } from './upload-grammar.ts'
import { compareRequest } from './verdict.ts'

export const second = 'the second answer'

export interface UploadObserved {
  readonly plan: UploadPlan
  /** What the client sent, and whether it left before its answer. */
  readonly sent: string
  readonly left: boolean
  /** The answer came while the client kept a part of the body. */
  readonly early: boolean
  readonly received: string
  readonly ended: 'no' | 'order' | 'reset'
  /** What the upstream said, and whether it did what it does behind its last word. */
  readonly said: string
  readonly finished: boolean
  readonly arrivals: readonly Arrival[]
  readonly partials: readonly Judged[]
}

const ownContinue = 'HTTP/1.1 100 Continue\r\n\r\n'

/** RFC 9110 §10.1.1: an HTTP/1.0 upstream is not asked, so the client gets a 100 of the gateway's own. */
export function isTold({ plan }: Pick<UploadObserved, 'plan'>): boolean {
  const { old, expects, version, chunked, body } = plan
  return old && expects && version === '1.1' && (chunked || body !== '')
}

/** So much is at the gateway when it was written: a reset cannot overtake it. */
const ARRIVED_BYTES_MAX = 16_000

function endingOf({ plan, said, finished }: UploadObserved): 'stay' | 'end' | 'reset' {
  if (!finished) return 'stay'
  if (plan.ending === 'stay' || plan.ending === 'end') return plan.ending
  const final = readAnswers(said, ['POST'], false).answers[0]?.final
  return final?.state === 'whole' && said.length <= ARRIVED_BYTES_MAX ? 'stay' : 'reset'
}

function judgeInterim(seen: UploadObserved, got: readonly Answer[], final: Answer): string | null {
  const said = readAnswers(seen.said, ['POST'], false)
  const due = (said.answers[0]?.interim ?? said.interim).length
  if (seen.plan.version === '1.0') return null
  if (valuesOf(final.fields, 'x-mark').length === 0 && got.length <= due) return null
  return got.length === due ? null : `interim answers must be ${due}, got ${got.length}`
}

/** RFC 9110 §10.1.1, RFC 9112 §9.3: whether something may follow the answer. */
function judgeEnd(seen: UploadObserved, final: Answer, continued: boolean): string | null {
  const { plan, early } = seen
  if (plan.version === '1.0' || final.state !== 'whole') return null
  if (plan.expects && !continued) {
    if (early && !isLast(final)) return 'nothing can follow: the client may send the body or not'
    return null
  }
  return isLast(final) ? 'the connection must stay' : null
}

function judgeClient(seen: UploadObserved): string[] {
  const { plan, said, ended } = seen
  const told = isTold(seen)
  if (told && !seen.received.startsWith(ownContinue)) return ['the gateway must say 100 itself']
  const received = told ? seen.received.slice(ownContinue.length) : seen.received
  const stream = readAnswers(received, ['POST', 'GET'], ended === 'order')
  const [first, next] = stream.answers
  if (first === undefined) return [`there must be an answer, got ${JSON.stringify(received)}`]
  const asked = plan.second !== 'none' && seen.sent.includes('GET /second ')
  // After more than it throws away the gateway ends the connection.
  const sure = plan.body.length <= limits.early_answer_drain_bytes
  const wrong = judgeAnswer({
    ...{ sent: said, ending: endingOf(seen), method: 'POST', version: plan.version, received, ended },
    second: asked && (sure || next !== undefined) ? second : null,
  })
  const continued = told || first.interim.some(({ status }) => status === 100)
  const more = [judgeInterim(seen, first.interim, first.final), judgeEnd(seen, first.final, continued)]
  return [...wrong, ...more.filter((one) => one !== null)]
}

function judgeUpstream({ plan, sent, left, received, arrivals, partials }: UploadObserved): string[] {
  const wrong: string[] = []
  const whole = arrivals.map(({ request }) => request)
  const uploads = [...whole, ...partials].filter(({ target }) => target === '/upload')
  const seconds = whole.filter(({ target }) => target === '/second')
  const others = [...whole, ...partials].filter(({ target }) => target !== '/upload' && target !== '/second')
  if (others.length > 0) wrong.push(`requests that nobody sent: ${JSON.stringify(others).slice(0, 400)}`)
  if (uploads.length > 1 || (uploads.length === 0 && !left))
    wrong.push(`one upload must arrive, got ${uploads.length}`)
  const [judged] = readRequests(sent)
  for (const upload of uploads) {
    const expected = plan.old && judged !== undefined ? withoutExpect(judged) : judged
    if (expected === undefined) wrong.push('an upload arrived that nobody sent')
    else wrong.push(compareRequest(expected, upload, upload.state === 'whole') ?? '')
    if (upload.state === 'whole' && judged?.state !== 'whole') wrong.push('half an upload arrived as a whole')
  }
  const answered = received.includes(second) ? 1 : 0
  // RFC 9110 §9.2.2: again, where the first connection turns out to be closed.
  const again = plan.ending === 'stay' ? 0 : 1
  if (seconds.length > answered + again || (seconds.length < answered && !left))
    wrong.push(`the second request must arrive ${answered} times, got ${seconds.length}`)
  return wrong.filter((one) => one !== '')
}

function withoutExpect(judged: Judged): Judged {
  return { ...judged, fields: judged.fields.filter(([name]) => name !== 'Expect') }
}

/** What is wrong on either side. */
export function judgeUpload(seen: UploadObserved): string[] {
  return [...(seen.left ? [] : judgeClient(seen)), ...judgeUpstream(seen)]
}
