/** Whatever clients send: upstreams get the requests that everyone reads alike, all others are refused. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { type Random, randomOf } from '../support/random.ts'
import { readAnswers } from './answer-judge.ts'
import { type Arrival, Bed, Wire } from './bed.ts'
import { conversation, split } from './grammar.ts'
import { type Judged, readRequests } from './request-judge.ts'
import { boxMs, runCases } from './run.ts'
import { judge, type Leaving } from './verdict.ts'

interface PlannedAnswer {
  readonly text: string
  /** The upstream closes behind it. */
  readonly closes: boolean
}

/** An answer with the serial number of the request, in one of the framings. */
function answerTo({ request, serial }: Arrival, random: Random): PlannedAnswer {
  const mark = `X-Serial: ${serial}\r\n`
  const head = `HTTP/1.1 200 OK\r\n${mark}`
  const body = `${serial} ${'x'.repeat(random.below(20))}`
  const length = `Content-Length: ${body.length}\r\n`
  const whole = `${head}${length}\r\n${request.method === 'HEAD' ? '' : body}`
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const hints = `HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n`
  const answers: readonly PlannedAnswer[] = [
    { text: whole, closes: false },
    { text: `${hints}${whole}`, closes: false },
    { text: whole.replace(mark, `Connection: close\r\n${mark}`), closes: true },
    { text: `HTTP/1.1 204 No Content\r\n${mark}\r\n`, closes: false },
    { text: `HTTP/1.1 304 Not Modified\r\n${mark}${length}\r\n`, closes: false },
    { text: `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`, closes: false },
    { text: `${head}\r\n${body}`, closes: true },
  ]
  // The last two have a body whatever was asked for.
  return answers[
    random.below(request.method === 'HEAD' ? answers.length - 2 : answers.length)
  ] as PlannedAnswer
}

function answerAtRandom(random: Random): (arrival: Arrival, socket: Socket) => void {
  return (arrival, socket) => {
    const { text, closes } = answerTo(arrival, random)
    socket.write(text, 'latin1')
    if (closes) socket.end()
  }
}

/** Whether a connection has all the answers that its requests can get. */
function answered(requests: readonly Judged[]): (text: string) => boolean {
  const due = requests.filter(({ state }) => state !== 'unfinished').length
  const methods = requests.map(({ method }) => method)
  return (text) =>
    readAnswers(text, methods, false).answers.filter(({ final }) => final.state === 'whole').length >= due
}

async function play(bed: Bed, random: Random): Promise<{ wrong: string[]; shown: string }> {
  const sent = conversation(random)
  const pieces = split(random, sent)
  const leaving: Leaving = random.pick(['last', 'last', 'last', 'last', 'last', 'last', 'early', 'abrupt'])
  bed.script = answerAtRandom(random)
  bed.reset()
  const requests = readRequests(sent)
  const wire = await Wire.open(bed.gateway.port)
  await wire.send(pieces)
  if (leaving === 'last' && !(await wire.reach(answered(requests))))
    bed.wrong.push('it hangs before its answers')
  if (leaving === 'abrupt') wire.socket.destroy()
  // What is bad ends the connection of itself.
  else if (leaving === 'last' && requests.at(-1)?.state === 'bad') await wire.reach(() => false)
  else wire.socket.end()
  if (leaving !== 'abrupt' && !(await wire.reach(() => false))) bed.wrong.push('its connection stays open')
  wire.socket.destroy()
  await bed.settle(leaving !== 'last')
  const seen = { sent, received: wire.text, ended: wire.ended, leaving }
  const wrong = [...bed.wrong, ...judge({ ...seen, arrivals: bed.arrivals, partials: bed.partials })]
  return {
    wrong,
    shown: `${JSON.stringify(sent)} in ${pieces.length} pieces, ${leaving}\ngot ${JSON.stringify(wire.text)}`,
  }
}

test('requests', { timeout: boxMs + 60_000 }, async () => {
  const bed = await Bed.start()
  await runCases('requests', (seed) => play(bed, randomOf(seed)))
  expect(await bed.finish()).toEqual([])
})
