/** Whatever upstreams answer: clients get what everyone reads alike, or a 502, or an answer visibly cut. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { type Random, randomOf } from '../support/random.ts'
import { until } from '../support/wait.ts'
import { answerText } from './answer-grammar.ts'
import { isLast, readAnswers } from './answer-judge.ts'
import { type AnswerObserved, judgeAnswer, readUpstream } from './answer-verdict.ts'
import { type Arrival, Bed, HANG_MS, Wire } from './bed.ts'
import { split } from './grammar.ts'
import { boxMs, runCases } from './run.ts'

const second = 'the second answer'

type Plan = Omit<AnswerObserved, 'received' | 'ended'>

function planOf(random: Random): Plan {
  const { text, surplus } = answerText(random)
  const plan: Plan = {
    sent: text,
    method: random.pick(['GET', 'GET', 'GET', 'POST', 'HEAD']),
    version: random.once(10) ? '1.0' : '1.1',
    ending: random.pick(['stay', 'stay', 'end', 'reset']),
    second: null,
  }
  const { exchange, surplus: read } = readUpstream({ ...plan, received: '', ended: 'no' })
  const open = exchange === null || exchange.final.state === 'unfinished'
  // An upstream that says nothing more is a matter of time-outs.
  if (open && plan.ending === 'stay') return { ...plan, ending: random.pick(['end', 'reset']) }
  // What comes behind an answer while the next request is out cannot be told from its answer.
  const safe = !surplus && read === '' && plan.version === '1.1'
  return { ...plan, second: safe && random.once(2) ? second : null }
}

/** Sends the answer in pieces, and ends as it is told. */
async function answer(socket: Socket, pieces: readonly string[], ending: Plan['ending']): Promise<void> {
  for (const piece of pieces) {
    if (!socket.writable) return
    await new Promise<void>((resolve) => {
      socket.write(piece, 'latin1', () => setImmediate(resolve))
    })
  }
  if (ending === 'end') socket.end()
  if (ending === 'reset') socket.resetAndDestroy()
}

function requestsOf({ method, version, second: next }: Plan): string {
  const first =
    method === 'POST'
      ? `POST /first HTTP/${version}\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`
      : `${method} /first HTTP/${version}\r\nHost: a\r\n\r\n`
  return next === null ? first : `${first}GET /second HTTP/1.1\r\nHost: a\r\n\r\n`
}

function scriptOf(random: Random, plan: Plan, onSocket: (socket: Socket) => void) {
  const pieces = plan.sent === '' ? [] : split(random, plan.sent)
  return ({ request }: Arrival, socket: Socket) => {
    if (request.target === '/second') {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${second.length}\r\n\r\n${second}`)
      return
    }
    onSocket(socket)
    answer(socket, pieces, plan.ending).catch(() => {})
  }
}

/** Whether the connection that brought it must not be used again. */
function isSpent(plan: Plan): boolean {
  const { exchange, surplus } = readUpstream({ ...plan, received: '', ended: 'no' })
  return exchange === null || exchange.final.state !== 'whole' || surplus !== '' || isLast(exchange.final)
}

async function play(bed: Bed, random: Random): Promise<{ wrong: string[]; shown: string }> {
  const plan = planOf(random)
  const sockets: Socket[] = []
  bed.script = scriptOf(random, plan, (socket) => sockets.push(socket))
  bed.reset()
  const wire = await Wire.open(bed.gateway.port)
  await wire.send([requestsOf(plan)])
  const due = plan.second === null ? 1 : 2
  const enough = (text: string) => {
    const { answers } = readAnswers(text, [plan.method, 'GET'], false)
    return answers.filter(({ final }) => final.state === 'whole').length >= due
  }
  if (!(await wire.reach(enough))) bed.wrong.push('it hangs before its answers')
  wire.socket.end()
  if (!(await wire.reach(() => false))) bed.wrong.push('its connection stays open')
  wire.socket.destroy()
  if (isSpent(plan)) {
    await until(() => sockets.every((socket) => !socket.readable || socket.destroyed), {
      ...{
        what: 'the upstream connection of an answer that was not clean is closed',
        within_ms: HANG_MS,
        every_ms: 2,
      },
    })
  }
  await bed.settle()
  const wrong = [...bed.wrong, ...judgeAnswer({ ...plan, received: wire.text, ended: wire.ended })]
  const shown = `${plan.method} HTTP/${plan.version} answered ${JSON.stringify(plan.sent)}, ${plan.ending}`
  return { wrong, shown: `${shown}\ngot ${JSON.stringify(wire.text)}, ${wire.ended}` }
}

test('answers', { timeout: boxMs + 60_000 }, async () => {
  const bed = await Bed.start()
  await runCases('answers', (seed) => play(bed, randomOf(seed)))
  expect(await bed.finish()).toEqual([])
})
