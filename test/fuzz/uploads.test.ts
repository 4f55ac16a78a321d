/** Whatever comes first, the body or its answer, and whoever waits for a 100: both come through, once. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { type Random, randomOf } from '../support/random.ts'
import { until } from '../support/wait.ts'
import { isLast, readAnswers, type Stream } from './answer-judge.ts'
import { Bed, HANG_MS, Wire } from './bed.ts'
import { split } from './grammar.ts'
import type { Judged } from './request-judge.ts'
import { boxMs, type Outcome, runCases } from './run.ts'
import { type UploadPlan, uploadPlan, WHOLE, write } from './upload-grammar.ts'
import { isTold, judgeUpload, second } from './upload-verdict.ts'

/** Longer texts are cut into pieces of one size: thousands of them would take too long. */
const PIECES_BYTES_MAX = 3000
const PIECE_BYTES = 30_000

/** The upstream of a case: says what it has to say as the upload arrives. */
class Upstream {
  /** Bytes of the body that have arrived; all of the request counts as more than any. */
  progress = -1
  said = ''
  /** It did what it does behind its last word. */
  finished = false
  readonly wrong: string[] = []
  readonly #plan: UploadPlan
  /** Who brought the upload. */
  #socket: Socket | null = null
  #next = 0
  /** The client is through, whatever still arrives. */
  #over = false

  constructor(plan: UploadPlan) {
    this.#plan = plan
  }

  onProgress({ target, state, inBody, body }: Judged, socket: Socket): void {
    if (target === '/second' && socket === this.#socket && this.spent) this.wrong.push('a spent connection')
    if (target !== '/upload' || (this.#socket !== null && this.#socket !== socket)) return
    this.#socket = socket
    this.progress = state === 'whole' ? WHOLE : inBody ? body.length : -1
    this.#speak(socket)
  }

  #speak(socket: Socket): void {
    const { says, deaf } = this.#plan
    for (let say = says[this.#next]; say !== undefined; say = says[this.#next]) {
      if (say.at > this.progress) return
      this.#next += 1
      this.said += say.text
      const last = this.#next === says.length
      if (last && deaf && !this.#over) socket.pause()
      socket.write(say.text, 'latin1', () => {
        if (last) this.#finish(socket)
      })
    }
  }

  #finish(socket: Socket): void {
    const { ending } = this.#plan
    this.finished = true
    if (ending === 'end') socket.end()
    if (ending === 'close') socket.destroy()
    if (ending === 'reset') socket.resetAndDestroy()
  }

  /** Nothing may follow on its connection: the answer said so, or came before the request was whole. */
  get spent(): boolean {
    const final = readAnswers(this.said, ['POST'], false).answers[0]?.final
    return final !== undefined && (isLast(final) || this.progress !== WHOLE)
  }

  /** Reads again, so that it sees the end; waits for it where nothing may follow. */
  async settle(): Promise<void> {
    const socket = this.#socket
    this.#over = true
    socket?.resume()
    if (socket === null) return
    // The rest of the request may still come.
    await until(() => !this.spent || !socket.readable || socket.destroyed, {
      ...{
        what: 'the connection of an upload that was not whole is closed',
        within_ms: HANG_MS,
        every_ms: 2,
      },
    })
  }
}

/** The client of a case: sends, and waits where it is told to. */
class Uploader {
  readonly wire: Wire
  sent = ''
  left = false
  early = false
  readonly #plan: UploadPlan
  readonly #upstream: Upstream
  readonly #random: Random
  readonly #told: boolean

  constructor(wire: Wire, plan: UploadPlan, upstream: Upstream, random: Random) {
    this.wire = wire
    this.#plan = plan
    this.#upstream = upstream
    this.#random = random
    this.#told = isTold({ plan })
  }

  read(text = this.wire.text): Stream {
    return readAnswers(text, ['POST', 'GET'], this.wire.ended === 'order')
  }

  /** Resolves with what it waited for in vain; null: nothing. */
  async run(): Promise<string | null> {
    const { stops, leaves, second: next } = this.#plan
    const { text, offset } = write(this.#plan)
    const marks = [...new Set([...stops, ...(leaves === null ? [] : [leaves.at])])].sort((a, b) => a - b)
    for (const mark of marks) {
      await this.#send(text.slice(this.sent.length, offset(mark)))
      if (stops.includes(mark) && !(await this.#waits(mark))) return `what is said after ${mark} bytes`
      if (leaves?.at === mark) return this.#leave(leaves.how)
      if (this.sent.length < text.length && this.#answered && this.#keeps) return this.#giveUp()
    }
    const behind = next === 'behind' ? 'GET /second HTTP/1.1\r\nHost: a\r\n\r\n' : ''
    await this.#send(text.slice(this.sent.length) + behind)
    if (next === 'after') {
      if (!(await this.wire.reach((got) => this.#whole(got, 1)))) return 'its answer'
      await this.#send('GET /second HTTP/1.1\r\nHost: a\r\n\r\n')
    }
    const due = next === 'none' ? 1 : 2
    return (await this.wire.reach((got) => this.#whole(got, due))) ? this.#end() : 'its answers'
  }

  async #send(text: string): Promise<void> {
    if (text === '') return
    this.sent += text
    await this.wire.send(this.#pieces(text))
  }

  #pieces(text: string): string[] {
    if (text.length <= PIECES_BYTES_MAX) return split(this.#random, text)
    if (this.#random.once(2)) return [text]
    const count = Math.ceil(text.length / PIECE_BYTES)
    return Array.from({ length: count }, (_, at) => text.slice(at * PIECE_BYTES, (at + 1) * PIECE_BYTES))
  }

  #whole(got: string, due: number): boolean {
    const { answers } = this.read(got)
    const last = answers.at(-1)?.final
    if (last?.state === 'whole' && isLast(last)) return true
    return answers.filter(({ final }) => final.state === 'whole').length >= due
  }

  /** The answer is here while some of the request is not sent. */
  get #answered(): boolean {
    if (this.read().answers[0]?.final.inBody === true) this.early = true
    return this.early
  }

  get #keeps(): boolean {
    const { obeys, expects } = this.#plan
    const all = this.read().answers[0]?.interim ?? []
    return obeys && expects && !all.some(({ status }) => status === 100)
  }

  /** Until all that the upstream says to so much of the body has come. */
  async #waits(mark: number): Promise<boolean> {
    const { says, version } = this.#plan
    const upstream = this.#upstream
    const due = this.read(says.flatMap(({ at, text }) => (at <= mark ? [text] : [])).join(''))
    const over = says.length > 0 && says.every(({ at }) => at <= mark)
    const [exchange] = due.answers
    const arrived = () => upstream.progress >= mark || upstream.finished || this.wire.ended !== 'no'
    const gone = exchange?.final.state === 'whole' || over
    if (!gone) await until(arrived, { what: `${mark} bytes arrive`, within_ms: HANG_MS, every_ms: 1 })
    const count = version === '1.0' ? 0 : (exchange?.interim ?? due.interim).length + (this.#told ? 1 : 0)
    return this.wire.reach((text) => {
      const got = this.read(text)
      const final = got.answers[0]?.final
      // What broke off is an answer of the gateway's own, or one that is cut.
      if (final?.state === 'whole') return true
      if (over || exchange?.final.state === 'whole') return false
      if (exchange?.final.inBody === true) return final?.inBody === true
      return (got.answers[0]?.interim ?? got.interim).length >= count
    })
  }

  #leave(how: 'end' | 'destroy' | 'reset'): null {
    const { socket } = this.wire
    this.left = true
    if (how === 'end') socket.end()
    else if (how === 'destroy') socket.destroy()
    else socket.resetAndDestroy()
    return null
  }

  /** It keeps the body: the connection ends without its doing, or the answer never comes to its end. */
  async #giveUp(): Promise<string | null> {
    if (this.read().answers[0]?.final.state !== 'whole') return this.#leave('destroy')
    return (await this.wire.reach(() => false)) ? null : 'the end of a connection on which nothing can follow'
  }

  async #end(): Promise<string | null> {
    const last = this.read().answers.at(-1)?.final
    if (last === undefined || !isLast(last)) this.wire.socket.end()
    return (await this.wire.reach(() => false)) ? null : 'the end of its connection'
  }
}

/** Has the upstream answer as HTTP/1.0 does. */
async function warm(bed: Bed): Promise<void> {
  bed.script = (_arrival, socket) => socket.end('HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold')
  const wire = await Wire.open(bed.gateway.port)
  await wire.send(['GET /warm HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'])
  if (!(await wire.reach(() => false))) bed.wrong.push('the warming request hangs')
  wire.socket.destroy()
}

async function play(bed: Bed, random: Random): Promise<Outcome> {
  const plan = uploadPlan(random)
  const upstream = new Upstream(plan)
  bed.onExpect = () => {}
  bed.onProgress = () => {}
  if (plan.old) await warm(bed)
  bed.reset()
  bed.onProgress = (request, socket) => upstream.onProgress(request, socket)
  bed.script = ({ request }, socket) => {
    if (request.target !== '/second') return
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${second.length}\r\n\r\n${second}`)
  }
  const wire = await Wire.open(bed.gateway.port)
  const client = new Uploader(wire, plan, upstream, random)
  const vain = await client.run().catch(String)
  if (vain !== null) bed.wrong.push(`it waits in vain for ${vain}`)
  const { text: received, ended } = wire
  // What an end of its side does is seen before the connection is gone for good.
  if (client.left && plan.leaves?.how === 'end') await wire.reach(() => false)
  wire.socket.destroy()
  await upstream.settle().catch((error) => bed.wrong.push(String(error)))
  await bed.settle(client.left)
  const { sent, left, early } = client
  const seen = { plan, sent, left, early, received, ended, said: upstream.said, finished: upstream.finished }
  const judged = judgeUpload({ ...seen, arrivals: bed.arrivals, partials: bed.partials })
  const short = (text: string) => JSON.stringify(text.length > 600 ? `${text.slice(0, 600)}…` : text)
  const shown = `${short(JSON.stringify({ ...plan, body: plan.body.length }))}\nsent ${short(sent)}`
  return {
    wrong: [...bed.wrong, ...upstream.wrong, ...judged],
    shown: `${shown}\nsaid ${short(upstream.said)}\ngot ${short(received)}, ${ended}`,
  }
}

test('uploads', { timeout: boxMs + 60_000 }, async () => {
  const bed = await Bed.start()
  await runCases('uploads', (seed) => play(bed, randomOf(seed)))
  expect(await bed.finish()).toEqual([])
})
