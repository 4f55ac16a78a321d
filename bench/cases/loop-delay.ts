/** Event-loop delay of a data thread at a fixed rate, mirror off and on, other threads on the other core. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Bed } from '../harness/bed.ts'
import { paced } from '../harness/drive.ts'
import { taskset } from '../harness/machine.ts'
import { cpuByThread, cpuOf } from '../harness/procfs.ts'
import { median } from '../harness/statistics.ts'
import { type GatewayTarget, startGateway } from './gateway.ts'

export const loopRate = 5000
const probe = fileURLToPath(new URL('../load/loop-probe.ts', import.meta.url))

export interface LoopDelay {
  readonly mirror: 'off' | 'on'
  readonly round: number
  readonly perSecond: number
  /** Medians over the seconds of the run. */
  readonly meanMs: number
  readonly p99Ms: number
  /** Of clients, open loop. */
  readonly clientP50Ms: number
  readonly clientP99Ms: number
  readonly failures: number
}

/** The thread that a short load keeps busiest is the data thread. */
async function dataThread(bed: Bed, target: GatewayTarget): Promise<string> {
  const before = cpuOf(target.child.pid)
  await paced(bed, target.port, loopRate, 1)
  const after = cpuOf(target.child.pid)
  let [busiest, most] = ['', -1]
  for (const [key, { us }] of after.threads) {
    const spent = us - (before.threads.get(key)?.us ?? 0)
    if (spent > most) [busiest, most] = [key, spent]
  }
  if (cpuByThread(before, after).size === 0) throw new Error('the gateway spent no CPU on a load')
  return busiest.slice(busiest.indexOf('/') + 1)
}

function delays(folder: string, tid: string, from: number, until: number): { meanMs: number; p99Ms: number } {
  const file = readdirSync(folder).find((name) => name === `${tid}.ndjson`)
  if (file === undefined) throw new Error(`no event-loop figures of thread ${tid}`)
  const lines = readFileSync(`${folder}/${file}`, 'utf8').trim().split('\n')
  const seconds = lines
    .map((line) => JSON.parse(line) as { at: number; meanMs: number; p99Ms: number })
    .filter(({ at }) => at >= from + 1000 && at <= until)
  return {
    meanMs: median(seconds.map((each) => each.meanMs)),
    p99Ms: median(seconds.map((each) => each.p99Ms)),
  }
}

export async function loopDelay(
  bed: Bed,
  what: { mirror: 'off' | 'on'; round: number; seconds: number },
): Promise<LoopDelay> {
  const folder = `${bed.folder}/loop-${what.mirror}-${what.round}`
  const loopFolder = `${folder}/delays`
  mkdirSync(loopFolder, { recursive: true })
  const target = await startGateway(bed, folder, {
    name: 'loop-delay',
    mirror: what.mirror === 'on' ? bed.collector : null,
    away: false,
    cores: bed.loadCore,
    nodeArgs: ['--import', probe],
    env: { BENCH_LOOP_FOLDER: loopFolder },
  })
  const tid = await dataThread(bed, target)
  execFileSync(taskset, ['-p', '-c', bed.core, tid], { stdio: 'ignore' })
  await paced(bed, target.port, loopRate, 2)
  const from = Date.now()
  const driven = await paced(bed, target.port, loopRate, what.seconds)
  const figures = delays(loopFolder, tid, from, Date.now())
  await target.child.stop()
  const { requests, seconds, p50Ms, p99Ms, failures } = driven
  const clients = { clientP50Ms: p50Ms, clientP99Ms: p99Ms, failures }
  return { mirror: what.mirror, round: what.round, perSecond: requests / seconds, ...figures, ...clients }
}
