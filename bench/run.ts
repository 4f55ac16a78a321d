/** `npm run bench`: starts every row by turns, measures, judges, prints; --publish writes README.md. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { shapes } from './bed/payload.ts'
import { activity, type ActivityResult } from './cases/activity.ts'
import { streams, type StreamsResult } from './cases/streams.ts'
import { idle, type IdleResult } from './cases/idle.ts'
import { type LoopDelay, loopDelay } from './cases/loop-delay.ts'
import { mirrorDead } from './cases/mirror-dead.ts'
import { mirrorHung } from './cases/mirror-hung.ts'
import { mirrorOff } from './cases/mirror-off.ts'
import { mirrorOn } from './cases/mirror-on.ts'
import { mirrorSummary } from './cases/mirror-summary.ts'
import { soak, type SoakResult } from './cases/soak.ts'
import { type Bed, openBed } from './harness/bed.ts'
import type { Driver } from './harness/drive.ts'
import { judge, type Run } from './harness/judge.ts'
import { commitOf, type Machine, readMachine, taskset, unfit } from './harness/machine.ts'
import { type Measurement, measure, warm } from './harness/measure.ts'
import { page, publish } from './harness/report.ts'
import type { Row } from './harness/target.ts'
import { type MicroResult, micro } from './micro/micro.ts'
import { haproxy } from './rivals/haproxy.ts'
import { nginxForward, nginxMirror } from './rivals/nginx.ts'
import { nginxLua } from './rivals/nginx-lua.ts'
import { httpProxy3, tcpRelay } from './rivals/node-rivals.ts'

const rows: readonly Row[] = [
  mirrorOff,
  mirrorOn,
  mirrorSummary,
  mirrorHung,
  mirrorDead,
  httpProxy3,
  tcpRelay,
  nginxForward,
  nginxMirror,
  nginxLua,
  haproxy,
]
/** What a run does besides the rows; chosen with --rows too. */
const extras = ['soak', 'idle', 'loop-delay', 'activity', 'streams', 'micro'] as const

const usage = `npm run bench -- [options]
  --smoke          every case very briefly, nothing judged; exit 1 when one does not work
  --rows a,b       only these: ${[...rows.map((row) => row.name), ...extras].join(', ')}
  --rounds N       interleaved rounds (5)
  --seconds N      seconds per measurement (2)
  --soak N         requests of the soak (200000)
  --idle N         idle connections (9900)
  --activity N     entries of the activity log (1000000)
  --streams N      entries of the log that are streamed (200000)
  --no-install     do not install missing rivals
  --publish        write the results into bench/README.md
  --json FILE      write every measurement
`

interface Plan {
  readonly smoke: boolean
  readonly chosen: ReadonlySet<string>
  readonly rounds: number
  readonly seconds: number
  readonly warmSeconds: number
  readonly soakRequests: number
  readonly idleConnections: number
  readonly loopSeconds: number
  readonly activityEntries: number
  readonly streamEntries: number
}

const say = (line: string): void => void process.stderr.write(`${line}\n`)

function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n${usage}`)
  process.exit(2)
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) refuse(`--${name}: must be above 0, got ${text}`)
  return value
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        smoke: { type: 'boolean', default: false },
        rows: { type: 'string' },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '2' },
        soak: { type: 'string', default: '200000' },
        idle: { type: 'string', default: '9900' },
        activity: { type: 'string', default: '1000000' },
        streams: { type: 'string', default: '200000' },
        'no-install': { type: 'boolean', default: false },
        publish: { type: 'boolean', default: false },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function planOf(options: ReturnType<typeof readOptions>): Plan {
  const names = [...rows.map((row) => row.name), ...extras]
  const chosen = options.rows === undefined ? names : options.rows.split(',')
  const unknown = chosen.filter((name) => !names.includes(name))
  if (unknown.length > 0) refuse(`--rows: must be one of ${names.join(', ')}, got ${unknown.join(', ')}`)
  const { smoke } = options
  return {
    smoke,
    chosen: new Set(chosen),
    rounds: smoke ? 1 : positive('rounds', options.rounds),
    seconds: smoke ? 0.4 : positive('seconds', options.seconds),
    warmSeconds: smoke ? 0 : 15,
    soakRequests: smoke ? 3000 : positive('soak', options.soak),
    idleConnections: smoke ? 200 : positive('idle', options.idle),
    loopSeconds: smoke ? 2 : 6,
    activityEntries: smoke ? 20_000 : positive('activity', options.activity),
    streamEntries: smoke ? 2000 : positive('streams', options.streams),
  }
}

/** Load by shape: everything, or in a smoke run one shape per generator. */
function loads(machine: Machine, plan: Plan): [shape: (typeof shapes)[number], driver: Driver][] {
  const wrk = machine.tools.wrk !== null
  if (plan.smoke)
    return wrk
      ? [
          ['get', 'autocannon'],
          ['post', 'wrk'],
        ]
      : [
          ['get', 'autocannon'],
          ['post', 'autocannon'],
        ]
  const drivers: Driver[] = wrk ? ['autocannon', 'wrk'] : ['autocannon']
  return drivers.flatMap((driver) => shapes.map((shape): [typeof shape, Driver] => [shape, driver]))
}

async function measureRow(bed: Bed, row: Row, plan: Plan, round: number): Promise<Measurement[]> {
  const folder = `${bed.folder}/${row.name}-${round}`
  mkdirSync(folder)
  const target = await row.start(bed, folder)
  const found: Measurement[] = []
  try {
    await warm(bed, target, plan.warmSeconds)
    for (const [shape, driver] of loads(bed.machine, plan)) {
      const one = await measure(bed, row, target, { shape, driver, seconds: plan.seconds, round })
      found.push(one)
      const busy = `core ${Math.round(one.coreBusy * 100)} % (${Math.round(one.ownBusy * 100)} %)`
      const figures = `${one.cpuUs.toFixed(1)} µs, ${Math.round(one.perSecond)}/s, ${busy}`
      const copies = one.mirrored === null ? '' : `, mirrored ${(one.mirrored * 100).toFixed(1)} %`
      say(`round ${round} ${row.name} ${shape} ${driver}: ${one.invalid ?? figures + copies}`)
    }
  } finally {
    await target.child.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return found
}

interface Findings extends Run {
  readonly micro: readonly MicroResult[]
  readonly problems: readonly string[]
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

async function runAll(bed: Bed, plan: Plan, chosen: readonly Row[]): Promise<Findings> {
  const measurements: Measurement[] = []
  const problems: string[] = []
  const loops: LoopDelay[] = []
  let soaked: SoakResult | null = null
  let idled: IdleResult | null = null
  let logged: ActivityResult | null = null
  let streamed: StreamsResult | null = null
  const attempt = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      problems.push(`${name}: ${reasonOf(error)}`)
      say(problems.at(-1) ?? '')
    }
  }
  for (let round = 1; round <= plan.rounds; round += 1) {
    for (const row of chosen) {
      await attempt(
        row.name,
        async () => void measurements.push(...(await measureRow(bed, row, plan, round))),
      )
    }
  }
  if (plan.chosen.has('loop-delay')) {
    for (let round = 1; round <= (plan.smoke ? 1 : 3); round += 1) {
      for (const mirror of ['off', 'on'] as const) {
        const what = { mirror, round, seconds: plan.loopSeconds }
        await attempt('loop-delay', async () => void loops.push(await loopDelay(bed, what)))
      }
    }
  }
  if (plan.chosen.has('soak')) {
    await attempt('soak', async () => {
      soaked = await soak(bed, plan.soakRequests)
    })
  }
  if (plan.chosen.has('idle')) {
    await attempt('idle', async () => {
      idled = await idle(bed, plan.idleConnections)
    })
  }
  if (plan.chosen.has('activity')) {
    await attempt('activity', async () => {
      logged = await activity(`${bed.folder}/activity`, plan.activityEntries)
    })
  }
  if (plan.chosen.has('streams')) {
    await attempt('streams', async () => {
      streamed = await streams(bed, plan.streamEntries)
    })
  }
  const found: MicroResult[] = []
  if (plan.chosen.has('micro'))
    await attempt('micro', async () => void found.push(...(await micro(plan.smoke))))
  for (const one of measurements)
    if (one.invalid !== null) problems.push(`${one.row} ${one.shape}: ${one.invalid}`)
  const twoCores = bed.machine.cores > 1
  return {
    measurements,
    soak: soaked,
    idle: idled,
    loops,
    activity: logged,
    streams: streamed,
    twoCores,
    micro: found,
    problems,
  }
}

async function main(): Promise<number> {
  const options = readOptions()
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  const plan = planOf(options)
  const reason = unfit()
  if (reason !== null) {
    say(`skipped: ${reason}`)
    return 0
  }
  const machine = readMachine({ install: !options['no-install'], say })
  const wanted = rows.filter((row) => plan.chosen.has(row.name))
  const able = wanted.filter((row) => row.needs.every((tool) => machine.tools[tool] !== null))
  const skipped = wanted
    .filter((row) => !able.includes(row))
    .map((row) => `Skipped ${row.name}: ${row.needs.join(', ')} is not installed here.`)
  for (const line of skipped) say(line)
  // This process polls; it must not do so on the core that is measured.
  if (machine.cores > 1)
    execFileSync(taskset, ['-a', '-p', '-c', '1', String(process.pid)], { stdio: 'ignore' })
  const folder = mkdtempSync(`${tmpdir()}/mirrorgate-bench-`)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const bed = await openBed(machine, folder)
  try {
    const run = await runAll(bed, plan, able)
    if (options.json !== undefined)
      writeFileSync(options.json, `${JSON.stringify({ machine, ...run }, null, 1)}\n`)
    if (plan.smoke) {
      say(
        run.problems.length === 0
          ? `smoke: ${plan.chosen.size} cases work`
          : `smoke: ${run.problems.join('; ')}`,
      )
      return run.problems.length === 0 ? 0 : 1
    }
    const root = fileURLToPath(new URL('..', import.meta.url))
    const command = ['npm run bench --', ...process.argv.slice(2)].join(' ')
    const notes = [...skipped, ...new Set(run.problems)]
    // With --rows, targets that nobody asked for are left out; otherwise an unmeasured one is said to be so.
    const verdicts = judge(run).filter((each) => options.rows === undefined || each.value !== null)
    const text = page({
      machine,
      commit: commitOf(root),
      command,
      run,
      verdicts,
      micro: run.micro,
      skipped: notes,
    })
    process.stdout.write(`${text}\n`)
    if (options.publish) publish(fileURLToPath(new URL('README.md', import.meta.url)), text)
    return 0
  } finally {
    await bed.close()
  }
}

process.exit(await main())
