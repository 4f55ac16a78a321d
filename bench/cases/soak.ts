/** Soak: memory of the gateway after many requests while its collector is dead. */
import { mkdirSync } from 'node:fs'
import { shapes } from '../bed/payload.ts'
import type { Bed } from '../harness/bed.ts'
import { drivers } from '../harness/drive.ts'
import { memoryOf } from '../harness/procfs.ts'
import { startGateway } from './gateway.ts'

export interface SoakResult {
  readonly requests: number
  readonly failures: number
  readonly startMiB: number
  readonly endMiB: number
  readonly peakMiB: number
  readonly waitingItems: number
  readonly dropped: Readonly<Record<string, number>>
}

/** GETs and POSTs by turns until `requests` were answered. */
export async function soak(bed: Bed, requests: number): Promise<SoakResult> {
  const folder = `${bed.folder}/soak`
  mkdirSync(folder)
  const env = { MALLOC_ARENA_MAX: '2' }
  const target = await startGateway(bed, folder, { name: 'soak', mirror: bed.dead, away: true, env })
  const startMiB = memoryOf(target.child.pid).now
  const useWrk = bed.machine.tools.wrk !== null
  let [answered, failures] = [0, 0]
  await target.begin?.()
  for (let turn = 0; answered < requests && !target.child.ended(); turn += 1) {
    const shape = shapes[turn % 2] ?? 'get'
    const span = useWrk ? { seconds: 5 } : { seconds: 0, amount: Math.min(50_000, requests - answered) }
    const driven = await drivers[useWrk ? 'wrk' : 'autocannon'](bed, target.port, shape, span)
    if (driven.requests === 0) throw new Error('the soak got no answer')
    answered += driven.requests
    failures += driven.failures
  }
  const settled = await target.settle?.(answered)
  const { now, peak } = memoryOf(target.child.pid)
  const waitingItems = (await target.legs()).reduce((sum, leg) => sum + leg.counts.waiting, 0)
  await target.child.stop()
  const dropped = settled?.dropped ?? {}
  return { requests: answered, failures, startMiB, endMiB: now, peakMiB: peak, waitingItems, dropped }
}
