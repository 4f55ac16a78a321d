/**
 * Random operations on one leg with tiny limits, against what must hold whatever happens. A failure names
 * its seed:
 * `MODEL_SEED=<seed> vitest run test/shipper/model.test.ts` runs it again.
 */
import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { deleteDeadLetters, replayDeadLetters } from '../../src/shipper/dead-letters.ts'
import { purge } from '../../src/shipper/janitor.ts'
import { type Fault, faults } from '../support/collector.ts'
import { soak } from '../support/soak.ts'
import { droppedOf } from '../support/wait.ts'
import { Rig } from './rig.ts'

const STEPS = 60
const seeds =
  process.env['MODEL_SEED'] === undefined
    ? Array.from({ length: soak ? 200 : 6 }, (_, at) => at + 1)
    : [Number(process.env['MODEL_SEED'])]

/** Mulberry32: small, seeded, good enough to choose with. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}

interface Run {
  readonly rig: Rig
  readonly random: () => number
  readonly steps: string[]
  /** Something was damaged on purpose: captured may differ from what was captured. */
  damaged: boolean
  /** Items may be delivered twice: after a kill, or a store that refused. */
  repeats: boolean
}

const pick = <Value>(run: Run, values: readonly Value[]): Value =>
  values[Math.floor(run.random() * values.length)] as Value

const collectorFaults: readonly (Fault | null)[] = [
  null,
  null,
  faults.status(500),
  faults.status(401),
  faults.status(400),
  faults.tooLarge(400),
  faults.tooManyRequests(0),
  faults.poison(({ id }) => Number(id.slice(5)) % 7 === 0),
  faults.times(2, faults.resetMidRequest),
  faults.closeSilently,
]

const operations: Readonly<Record<string, (run: Run) => unknown>> = {
  capture: ({ rig, random }) =>
    rig.capture(1 + Math.floor(random() * 8), 'x'.repeat(Math.floor(random() * 60))),
  captureMany: ({ rig, random }) => {
    for (let frame = 0; frame < 10 + random() * 40; frame += 1) rig.capture(1)
  },
  settle: () => delay(15),
  fault: (run) => {
    run.rig.collector.fault = pick(run, collectorFaults)
  },
  roll: ({ rig }) => rig.roll(),
  pause: ({ rig, random }) => {
    rig.leg.paused = random() < 0.5
    rig.leg.pump()
  },
  replay: ({ rig }) => rig.leg.replay(),
  remove: ({ rig, random }) => (random() < 0.5 ? rig.leg.configure(null) : rig.configure()),
  bounds: ({ rig, random }) =>
    rig.configure({
      batch: { max_items: 1 + Math.floor(random() * 12) },
      concurrency: 1 + Math.floor(random() * 4),
    }),
  housekeep: ({ rig, random }) =>
    rig.housekeep(Date.now() + (random() < 0.1 ? rig.mirror.spool.retention_ms + 1 : 0)),
  purge: ({ rig, random }) => random() < 0.2 && purge(rig.leg, 'purged'),
  replayDeadLetters: (run) => replayDeadLetters(run.rig.leg, run.rig.store).catch(() => {}),
  deleteDeadLetters: (run) =>
    run.random() < 0.2 && deleteDeadLetters(run.rig.leg, run.rig.store, 'purged').catch(() => {}),
  store: (run) => {
    run.rig.store.refuses = run.random() < 0.3
    run.repeats = true
  },
  restart: async (run) => {
    run.rig.store.refuses = false
    const before = run.rig.counts().captured
    await run.rig.restart()
    if (!run.damaged) expect(run.rig.counts().captured, 'captured after a clean restart').toBe(before)
  },
  crash: async (run) => {
    run.repeats = true
    await run.rig.crash()
  },
  damage: (run) => {
    const file = pick(run, run.rig.files())
    if (file === undefined || run.random() > 0.3) return
    run.damaged = true
    const bytes = fs.readFileSync(file)
    const at = Math.floor(run.random() * bytes.length)
    if (run.random() < 0.2) fs.rmSync(file)
    else if (run.random() < 0.3) fs.writeFileSync(file, bytes.subarray(0, at))
    else if (bytes.length > 0) fs.writeFileSync(file, bytes.with(at, (bytes[at] as number) ^ 0x40))
  },
}

/** Whatever becomes of it: what never arrived was given up or is a dead letter. */
function checkArrivals(run: Run): void {
  const { rig } = run
  const counts = rig.counts()
  const arrived = rig.arrived()
  const distinct = new Set(arrived).size
  const gone = droppedOf(counts) + counts.dead_lettered
  // A kill and a cut segment together lose frames of which nobody knows any more.
  if (!run.damaged) expect(rig.captured - distinct, 'items that never arrived').toBeLessThanOrEqual(gone)
  if (!run.repeats && !run.damaged) {
    expect(arrived.length, 'arrivals').toBe(counts.delivered)
    expect(counts.captured).toBe(rig.captured)
  }
}

async function play(run: Run, names: readonly string[]): Promise<void> {
  for (let step = 0; step < STEPS; step += 1) {
    const name = pick(run, names)
    run.steps.push(name)
    await operations[name]?.(run)
    run.rig.check()
  }
  const { rig } = run
  rig.store.refuses = false
  rig.collector.fault = null
  rig.leg.paused = false
  rig.configure()
  rig.leg.replay()
  await rig.drained()
  checkArrivals(run)
  const { captured, delivered } = rig.counts()
  await rig.restart()
  rig.check()
  expect(rig.counts()).toMatchObject({ captured, delivered, waiting: 0 })
}

const orderly = Object.keys(operations).filter((name) => !['damage', 'crash', 'store'].includes(name))

test.each(seeds)(
  'an orderly life, seed %i: every item is delivered once, dead, or given up',
  async (seed) => {
    await live(seed, orderly)
  },
)

test.each(seeds)('kills and a store that refuses, seed %i: nothing is lost', async (seed) => {
  await live(seed + 1000, [...orderly, 'crash', 'store'])
})

test.each(seeds)('damage on top, seed %i: the account still adds up', async (seed) => {
  await live(seed + 2000, Object.keys(operations))
})

async function live(seed: number, names: readonly string[]): Promise<void> {
  const random = randomOf(seed)
  const rig = await Rig.open({
    batch: { max_items: 1 + Math.floor(random() * 10), max_wait_ms: 1 },
    retry: { attempts: Math.floor(random() * 3), min_wait_ms: 10, max_wait_ms: 20, probe_ms: 20 },
    spool: {
      max_bytes: 30_000,
      when_full: random() < 0.5 ? 'drop_oldest' : 'drop_newest',
      retention_ms: 3_600_000,
    },
    concurrency: 1 + Math.floor(random() * 4),
    segment_bytes: 200 + Math.floor(random() * 3000),
  })
  const run: Run = { rig, random, steps: [], damaged: false, repeats: false }
  try {
    await play(run, names)
  } catch (error) {
    if (error instanceof Error) error.message = `seed ${seed}, after ${run.steps.join(' ')}: ${error.message}`
    throw error
  }
}
