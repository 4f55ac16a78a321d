/** The targets, and what a run says about each: met, missed, or not measured and why. */
import { type Shape, shapes } from '../bed/payload.ts'
import type { ActivityResult } from '../cases/activity.ts'
import type { StreamsResult } from '../cases/streams.ts'
import type { IdleResult } from '../cases/idle.ts'
import { type LoopDelay, loopRate } from '../cases/loop-delay.ts'
import type { SoakResult } from '../cases/soak.ts'
import type { Driver } from './drive.ts'
import type { Measurement } from './measure.ts'
import { judgeActivity } from './judge-activity.ts'
import { judgeStreams } from './judge-streams.ts'
import { median } from './statistics.ts'

/** A core below this had time to spare, so its throughput says something about the load generator only. */
const saturatedCore = 0.95
/** Others may have this share of the core (interrupts count too); above it they also evict its caches. */
const strangersMax = 0.15

export const strangers = (one: Measurement): number => Math.max(0, one.coreBusy - one.ownBusy)
export const saturated = (one: Measurement): boolean =>
  one.coreBusy >= saturatedCore && strangers(one) <= strangersMax
/** Copies may be missing from this share of requests at most, for a cost per mirrored exchange to count. */
const mirroredMin = 0.99

export interface Verdict {
  readonly target: string
  readonly how: string
  /** Null when it could not be measured. */
  readonly value: number | null
  readonly bound: string
  readonly met: boolean | null
  readonly note: string
}

export interface Run {
  readonly measurements: readonly Measurement[]
  readonly soak: SoakResult | null
  readonly idle: IdleResult | null
  readonly loops: readonly LoopDelay[]
  readonly activity: ActivityResult | null
  readonly streams: StreamsResult | null
  /** Whether this machine can hold the load generator away from what is measured. */
  readonly twoCores: boolean
}

type Figure = 'cpuUs' | 'perSecond' | 'p99Ms'

interface Ratio {
  readonly target: string
  readonly of: string
  readonly to: string
  readonly atLeast?: number
  readonly atMost?: number
  /** What is compared: cost counts as its inverse where more is better. */
  readonly figure: Figure
  readonly driver: Driver
  readonly shape: Shape
}

/** Rounds of a row that may be judged. */
export function usable(run: Run, row: string, shape: Shape, driver: Driver, figure: Figure): Measurement[] {
  return run.measurements.filter(
    (each) =>
      each.row === row &&
      each.shape === shape &&
      each.driver === driver &&
      each.invalid === null &&
      strangers(each) <= strangersMax &&
      (figure !== 'perSecond' || saturated(each)),
  )
}

function figureOf(run: Run, row: string, ratio: Ratio): number | string {
  const all = run.measurements.filter(
    (each) => each.row === row && each.shape === ratio.shape && each.driver === ratio.driver,
  )
  if (all.length === 0) return `no row ${row} with ${ratio.driver}`
  const good = usable(run, row, ratio.shape, ratio.driver, ratio.figure)
  // A median of the few rounds that happened to count would be a chosen one.
  if (good.length * 2 <= all.length) {
    const invalid = all.find((each) => each.invalid !== null)?.invalid
    const crowded = median(all.map(strangers))
    const shared = crowded > strangersMax ? `others used ${Math.round(crowded * 100)} % of its core` : null
    const why = ` (${invalid ?? shared ?? 'core not saturated'})`
    return `${row}: ${good.length} of ${all.length} rounds count${why}`
  }
  return median(good.map((each) => each[ratio.figure]))
}

function mirroredNote(run: Run, ratio: Ratio): string | null {
  for (const row of [ratio.of, ratio.to]) {
    const shares = usable(run, row, ratio.shape, ratio.driver, 'cpuUs').map((each) => each.mirrored ?? 1)
    if (shares.length > 0 && median(shares) < mirroredMin) {
      return `${row} mirrored ${(median(shares) * 100).toFixed(1)} % of its requests`
    }
  }
  return null
}

function judgeRatio(run: Run, ratio: Ratio): Verdict {
  const [of, to] = [figureOf(run, ratio.of, ratio), figureOf(run, ratio.to, ratio)]
  const names = { cpuUs: 'CPU per request', perSecond: 'throughput, saturated', p99Ms: 'p99' } as const
  const how = `${names[ratio.figure]}, ${ratio.shape.toUpperCase()}, ${ratio.driver}`
  const bound = ratio.atLeast === undefined ? `<= ${ratio.atMost}` : `>= ${ratio.atLeast}`
  const head = { target: ratio.target, how, bound }
  if (typeof of === 'string') return { ...head, value: null, met: null, note: of }
  if (typeof to === 'string') return { ...head, value: null, met: null, note: to }
  const inverse = ratio.figure === 'cpuUs' && ratio.atLeast !== undefined
  const value = inverse ? to / of : of / to
  const met = ratio.atLeast === undefined ? value <= (ratio.atMost ?? 0) : value >= ratio.atLeast
  const doubt = ratio.figure === 'p99Ms' ? null : mirroredNote(run, ratio)
  // Work that was dropped is work that was not paid for: such a cost may miss a target, never meet it.
  const counted = doubt === null || !met
  return { ...head, value, met: counted ? met : null, note: doubt ?? '' }
}

/** The ratios of the rows: by CPU per request under both loads, by throughput where it counts. */
function ratios(): Ratio[] {
  const all: Ratio[] = []
  for (const shape of shapes) {
    const both = (target: string, of: string, to: string, atLeast: number): void => {
      for (const driver of ['autocannon', 'wrk'] as const) {
        all.push({ target, of, to, atLeast, figure: 'cpuUs', driver, shape })
      }
      all.push({ target, of, to, atLeast, figure: 'perSecond', driver: 'wrk', shape })
    }
    both('on / off', 'on', 'off', 0.65)
    both('summary / on', 'summary', 'on', 0.95)
    for (const row of ['hung', 'dead']) {
      both(`${row} / on`, row, 'on', 0.95)
      all.push({
        target: `${row} / on`,
        of: row,
        to: 'on',
        atMost: 1.1,
        figure: 'p99Ms',
        driver: 'wrk',
        shape,
      })
    }
    both('on / http-proxy-3 alone', 'on', 'http-proxy-3', 1.4)
    both('on / nginx mirror', 'on', 'nginx-mirror', 2)
    for (const [target, of, to, atMost] of [
      ['cost of a mirrored exchange, on / nginx + Lua', 'on', 'nginx-lua', 1.2],
      ['cost of forwarding, off / nginx + Lua', 'off', 'nginx-lua', 0.85],
      ['cost of forwarding, off / raw TCP relay in Node', 'off', 'tcp-relay', 1.5],
    ] as const) {
      for (const driver of ['autocannon', 'wrk'] as const) {
        all.push({ target, of, to, atMost, figure: 'cpuUs', driver, shape })
      }
    }
  }
  return all
}

function judgeSoak(soak: SoakResult | null): Verdict {
  const target = 'memory with a dead collector'
  const bound = '<= 350 MiB'
  if (soak === null) return { target, how: 'RSS', value: null, bound, met: null, note: 'not run' }
  const how = `highest RSS over ${soak.requests.toLocaleString('en')} requests, MiB`
  const full = soak.requests >= 5_000_000
  const met = soak.peakMiB <= 350 ? (full ? true : null) : false
  const note = full ? '' : 'the target is set for 5 million requests (`--soak 5000000`)'
  return { target, how, value: soak.peakMiB, bound, met, note }
}

function judgeLoops(loops: readonly LoopDelay[]): Verdict[] {
  const of = (mirror: 'off' | 'on', figure: 'meanMs' | 'p99Ms'): number =>
    median(loops.filter((each) => each.mirror === mirror).map((each) => each[figure]))
  return (['meanMs', 'p99Ms'] as const).map((figure) => {
    const value = of('on', figure) / of('off', figure)
    const name = figure === 'meanMs' ? 'mean' : 'p99'
    const how = `${name} at 5,000 requests/s, recorder on the other core`
    const head = { target: 'event-loop delay of a data thread, on / off', how, bound: '<= 1.2' }
    const slow = loops.find((each) => each.failures > 0 || each.perSecond < loopRate * 0.98)
    if (slow !== undefined) {
      const reached = `${Math.round(slow.perSecond)} requests/s`
      const note = `mirror ${slow.mirror} reached ${reached}, ${slow.failures} unanswered`
      return { ...head, value: null, met: null, note }
    }
    if (!Number.isFinite(value)) return { ...head, value: null, met: null, note: 'not run' }
    return { ...head, value, met: value <= 1.2, note: '' }
  })
}

export function judge(run: Run): Verdict[] {
  const verdicts = [
    ...ratios().map((each) => judgeRatio(run, each)),
    judgeSoak(run.soak),
    ...judgeLoops(run.loops),
  ]
  // The log is measured without a load beside it.
  const alone = [...judgeActivity(run.activity), ...judgeStreams(run.streams)]
  if (run.twoCores) return [...verdicts, ...alone]
  const shared = { met: null, note: 'load and gateway shared one core' }
  return [...verdicts.map((each) => ({ ...each, ...shared })), ...alone]
}
