/** The micro-benches by step of the data path; each module names its steps, this one times them. */
import { median } from '../harness/statistics.ts'
import { frameAppend } from './frame.ts'
import { recorderSteps } from './recorder.ts'
import { slabRead, slabWrite } from './slab.ts'

export interface Step {
  readonly name: string
  /** What one call handles: an exchange, an item, a frame. */
  readonly unit: string
  readonly note: string
  /** Does the step at least `times` times, with an error too small to matter; may return a promise. */
  run(times: number): void | Promise<void>
  close?(): void | Promise<void>
}

export interface MicroResult {
  readonly name: string
  readonly unit: string
  readonly note: string
  /** CPU time of this process, microseconds, median of rounds. */
  readonly usEach: number
  readonly rounds: number
}

const steps: readonly (() => Step | Promise<Step>)[] = [slabWrite, slabRead, ...recorderSteps, frameAppend]

/** Times one step: enough repetitions for a round to last, CPU time because the machine may be shared. */
async function time(step: Step, roundMs: number, rounds: number): Promise<MicroResult> {
  let times = 64
  for (;;) {
    const before = performance.now()
    await step.run(times)
    if (performance.now() - before >= roundMs / 4) break
    times *= 2
  }
  times *= 4
  const each: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage()
    await step.run(times)
    const { user, system } = process.cpuUsage(before)
    each.push((user + system) / times)
  }
  return { name: step.name, unit: step.unit, note: step.note, usEach: median(each), rounds }
}

export async function micro(smoke: boolean): Promise<MicroResult[]> {
  const results: MicroResult[] = []
  for (const prepare of steps) {
    const step = await prepare()
    try {
      results.push(await time(step, smoke ? 5 : 200, smoke ? 1 : 5))
    } finally {
      await step.close?.()
    }
  }
  return results
}
