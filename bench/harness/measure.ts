/** One measurement: a load on a target, and what it cost. */
import { setTimeout as wait } from 'node:timers/promises'
import { type Shape, shapes } from '../bed/payload.ts'
import type { Bed } from './bed.ts'
import { type Driven, type Driver, drivers } from './drive.ts'
import { type CoreSample, coreSample, cpuByThread, cpuOf } from './procfs.ts'
import type { Row, Target } from './target.ts'

export interface Measurement {
  readonly row: string
  readonly shape: Shape
  readonly driver: Driver
  readonly round: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failures: number
  /** CPU of the process and its children per request, from the load's start until its copies rest, µs. */
  readonly cpuUs: number
  /** The same by thread name. */
  readonly threadsUs: Readonly<Record<string, number>>
  /** Share of the measured core that was in use while the load ran. */
  readonly coreBusy: number
  /** Share of it that this process used: the difference is somebody else, or interrupts. */
  readonly ownBusy: number
  /** Share of the load core that was in use. */
  readonly loadCoreBusy: number
  /** Share of requests whose copy is delivered or on disk; null where nothing is copied. */
  readonly mirrored: number | null
  readonly dropped: Readonly<Record<string, number>>
  /** Why the row does not count, or null. */
  readonly invalid: string | null
}

interface Shares {
  readonly core: number
  readonly loadCore: number
  readonly own: number
}

/** Samples both cores and the process until told to stop; the start of the load generator is left out. */
function watch(bed: Bed, pid: number): () => Shares {
  const sample = () => ({
    core: coreSample(Number(bed.core)),
    loadCore: coreSample(Number(bed.loadCore)),
    own: cpuOf(pid).total,
    at: performance.now(),
  })
  let first = sample()
  let last = first
  let seen = 0
  const clock = setInterval(() => {
    last = sample()
    seen += 1
    if (seen === 4) first = last
  }, 100)
  return () => {
    clearInterval(clock)
    if (seen <= 4) last = sample()
    const used = (was: CoreSample, is: CoreSample): number =>
      is.all === was.all ? 0 : (is.busy - was.busy) / (is.all - was.all)
    return {
      core: used(first.core, last.core),
      loadCore: used(first.loadCore, last.loadCore),
      own: (last.own - first.own) / ((last.at - first.at) * 1000),
    }
  }
}

function whyInvalid(driven: Driven, ended: boolean, proof: string | null): string | null {
  if (ended) return 'the process ended during the measurement'
  if (driven.requests === 0) return 'no request was answered'
  if (driven.failures > 0) return `${driven.failures} requests failed`
  return proof
}

export async function measure(
  bed: Bed,
  row: Row,
  target: Target,
  what: { shape: Shape; driver: Driver; seconds: number; round: number },
): Promise<Measurement> {
  await target.begin?.()
  const before = cpuOf(target.child.pid)
  const stop = watch(bed, target.child.pid)
  const driven = await drivers[what.driver](bed, target.port, what.shape, { seconds: what.seconds })
  const shares = stop()
  const settled = await target.settle?.(driven.requests)
  const after = cpuOf(target.child.pid)
  const proof = row.proof?.(await bed.stats(), what.shape) ?? null
  const threads = [...cpuByThread(before, after)].map(([name, us]) => [name, us / driven.requests] as const)
  return {
    row: row.name,
    ...what,
    perSecond: driven.requests / driven.seconds,
    p50Ms: driven.p50Ms,
    p99Ms: driven.p99Ms,
    failures: driven.failures,
    cpuUs: (after.total - before.total) / driven.requests,
    threadsUs: Object.fromEntries(threads.filter(([, us]) => us >= 0.05)),
    coreBusy: shares.core,
    loadCoreBusy: shares.loadCore,
    ownBusy: shares.own,
    mirrored: settled === undefined ? null : Math.min(1, settled.exchanges / driven.requests),
    dropped: settled?.dropped ?? {},
    invalid: whyInvalid(driven, target.child.ended(), proof),
  }
}

/**
 * After so many requests V8 has compiled what it compiles, in all threads: after 60,000 a mirrored exchange
 * still costs up to a tenth more.
 */
const warmRequests = 200_000

/** Load that is not measured: GETs and POSTs by turns, for at most `secondsMax`, at least a turn of each. */
export async function warm(bed: Bed, target: Target, secondsMax: number): Promise<void> {
  if (secondsMax <= 0) return
  const driver: Driver = bed.machine.tools.wrk === null ? 'autocannon' : 'wrk'
  let answered = 0
  for (let turn = 0; turn < 2 || (turn < secondsMax && answered < warmRequests); turn += 1) {
    const shape = shapes[turn % 2] ?? 'get'
    answered += (await drivers[driver](bed, target.port, shape, { seconds: 1 })).requests
  }
  await target.settle?.(0)
  await wait(100)
}
