/** The demo: a gateway before an API, a collector that goes down and comes back, the account at the end. */
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { DeliveryView } from '../src/admin/commands.ts'
import { type AccountInput, checkAccount, formatChecks } from './accounting.ts'
import { type Figures, FiguresReader } from './figures.ts'
import { formatBytes, formatMs, liveScreen, plainScreen, type Screen } from './screen.ts'
import { Cleanup, mirrorName, type Stage, setStage } from './stage.ts'
import { endText, exampleText, introduction } from './story.ts'

const help = `Usage: mirrorgate demo [--rate N] [--seconds N]

Starts a gateway before a sample API, with a SALT-style collector, on free ports of this machine; sends
requests, takes the collector down, brings it back, and ends with the account. Removes everything at the end.

  --rate N      requests per second, 10 to 2000 (default 300)
  --seconds N   length of each part of the story, 1 to 10 (default 6)
  --help        this text

On a terminal it stays up until Ctrl-C. Elsewhere it ends by itself within a minute, with exit code 0 only
if the account adds up.
`

interface Options {
  rate: number
  /** Length of each part of the story. */
  seconds: number
}

/** Connections are opened and code is compiled meanwhile; nothing of it is shown. */
const warmUpMs = 1000
/** Time for the backlog to be delivered once clients have stopped. */
const settleMs = 20_000

/** Why the story ends before its end. */
class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

interface Scene extends Stage {
  readonly screen: Screen
  readonly signal: AbortSignal
  readonly figures: FiguresReader
  readonly startedAt: number
}

/** Runs the demo; resolves with the exit code. */
export async function runDemo(args: string[]): Promise<number> {
  const options = readArgs(args)
  if (typeof options === 'number') return options
  const live = process.stdout.isTTY
  const screen = live ? liveScreen(process.stdout) : plainScreen((text) => process.stdout.write(text))
  const cleanup = new Cleanup()
  const over = new AbortController()
  const interrupt = onInterrupt(over)
  try {
    screen.say('mirrorgate demo: starting a sample API, a collector and a gateway …')
    const stage = await setStage(cleanup, options.rate)
    stage.gateway.exited.then((code) => over.abort(new Error(endedBySelf(stage, code))))
    const scene: Scene = {
      ...stage,
      screen,
      signal: over.signal,
      figures: new FiguresReader(stage.admin, stage.load),
      startedAt: performance.now(),
    }
    return await play(scene, options, live)
  } catch (error) {
    const reason: unknown = over.signal.aborted ? over.signal.reason : error
    if (reason instanceof Interrupted) {
      screen.say('', 'Interrupted; cleaning up.')
      return 130
    }
    screen.say('', `The demo failed: ${reason instanceof Error ? reason.message : String(reason)}`)
    return 1
  } finally {
    await cleanup.run()
    interrupt.remove()
  }
}

function endedBySelf({ gateway }: Stage, code: number | null): string {
  const last = gateway.output().split('\n').slice(-10).join('\n')
  return `the gateway ended by itself, exit code ${code}; its last lines were:\n${last}`
}

function readArgs(args: string[]): Options | number {
  const value = { type: 'string' } as const
  try {
    const { values } = parseArgs({
      args,
      options: { rate: value, seconds: value, help: { type: 'boolean' } },
    })
    if (values.help === true) {
      process.stdout.write(help)
      return 0
    }
    return {
      rate: wholeNumber('--rate', values.rate ?? '300', 10, 2000),
      seconds: wholeNumber('--seconds', values.seconds ?? '6', 1, 10),
    }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\nmirrorgate demo --help shows how it is used\n`)
    return 2
  }
}

function wholeNumber(name: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value
  throw new Error(`${name} must be a whole number from ${minimum} to ${maximum}, got ${text}`)
}

/** Ctrl-C ends the story politely; a second one at least a second later ends it at once. */
function onInterrupt(over: AbortController): { remove: () => void } {
  let firstAt = 0
  const handle = () => {
    if (firstAt === 0) {
      firstAt = Date.now()
      over.abort(new Interrupted())
      return
    }
    if (Date.now() - firstAt >= 1000) process.exit(130)
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return {
    remove: () => {
      process.off('SIGINT', handle)
      process.off('SIGTERM', handle)
    },
  }
}

async function play(scene: Scene, { rate, seconds }: Options, live: boolean): Promise<number> {
  const { screen, collector, load, admin } = scene
  screen.say(...introduction(scene, rate))
  load.start()
  await delay(warmUpMs, undefined, { signal: scene.signal })

  screen.chapter('1. Everything is up', 'Each exchange reaches the collector as a pair, within a moment.')
  const up = await watch(scene, seconds)

  await collector.stop()
  screen.chapter(
    '2. The collector is down',
    'Its port refuses connections. The backlog grows on disk; clients go on.',
  )
  const down = await watch(scene, seconds)

  await collector.start()
  await admin.replay(mirrorName)
  screen.chapter(
    '3. The collector is back',
    'Replay was asked for: the oldest batch of each leg is tried now.',
  )
  const back = await watch(scene, seconds)

  await load.stop()
  const mirror = await settle(scene)
  screen.say('', '== What clients noticed', ...phaseTable({ up, down, back }))
  screen.say('', '== What the collector has of one of them', ...exampleText(collector))
  return live ? stayUp(scene) : endBySelf(scene, mirror)
}

interface Phase {
  median_ms: number | null
  p99_ms: number | null
  errors: number
  backlog_bytes_max: number
}

/** Shows figures once a second for a while. */
async function watch(
  { screen, figures, load, signal, startedAt }: Scene,
  for_seconds: number,
): Promise<Phase> {
  load.beginPhase()
  const errors = load.figures().errors
  let backlog = 0
  let last: Figures | null = null
  for (let left = for_seconds; left > 0; left -= 1) {
    await delay(1000, undefined, { signal })
    last = await figures.read(mirrorName)
    backlog = Math.max(backlog, last.waiting_bytes)
    screen.show((performance.now() - startedAt) / 1000, last)
  }
  return {
    median_ms: load.latencies.percentile(0.5),
    p99_ms: load.latencies.percentile(0.99),
    errors: load.figures().errors - errors,
    backlog_bytes_max: backlog,
  }
}

/** Waits until every exchange was captured and nothing is waiting, or the time is up. */
async function settle({ admin, load, signal, screen, figures, startedAt }: Scene): Promise<DeliveryView> {
  const { answered } = load.figures()
  const deadline = performance.now() + settleMs
  for (;;) {
    const mirror = await admin.mirror(mirrorName)
    const settled = mirror.legs.every(({ counts }) => counts.captured >= answered && counts.waiting === 0)
    if (settled || performance.now() > deadline) return mirror
    await delay(500, undefined, { signal })
    screen.show((performance.now() - startedAt) / 1000, await figures.read(mirrorName))
  }
}

function phaseTable({ up, down, back }: Record<'up' | 'down' | 'back', Phase>): string[] {
  const row = (title: string, { median_ms, p99_ms, errors, backlog_bytes_max }: Phase) =>
    `  ${title.padEnd(16)}median ${formatMs(median_ms).padStart(5)} ms   ` +
    `p99 ${formatMs(p99_ms).padStart(6)} ms   ${errors} errors   ` +
    `largest backlog ${formatBytes(backlog_bytes_max)}`
  return [row('collector up', up), row('collector down', down), row('replay', back)]
}

function account({ load, collector }: Scene, mirror: DeliveryView): AccountInput {
  const { answered, errors } = load.figures()
  return { answered, client_errors: errors, mirror, collector }
}

function report({ screen, load }: Scene, input: AccountInput): number {
  const checks = checkAccount(input)
  const wrong = checks.filter(({ holds }) => !holds).length
  screen.say('', '== The account', ...formatChecks(checks), '')
  const verdict = `The account does not add up: ${wrong} of ${checks.length} wrong.`
  screen.say(wrong === 0 ? 'The account adds up.' : verdict)
  const { first_error } = load.figures()
  if (first_error !== null) screen.say(`First client error: ${first_error}`)
  return wrong === 0 ? 0 : 1
}

async function endBySelf(scene: Scene, mirror: DeliveryView): Promise<number> {
  const exit_code = await scene.gateway.stop('SIGTERM', 20_000)
  return report(scene, { ...account(scene, mirror), exit_code })
}

async function stayUp(scene: Scene): Promise<number> {
  const { screen, signal, gateway } = scene
  const code = report(scene, account(scene, await scene.admin.mirror(mirrorName)))
  screen.say(...endText(scene))
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  if (!(signal.reason instanceof Interrupted)) throw signal.reason
  screen.say('', 'Stopping the gateway …')
  const exitCode = await gateway.stop('SIGTERM', 20_000)
  screen.say(`The gateway drained and ended with exit code ${exitCode}.`)
  return exitCode === 0 ? code : 1
}
