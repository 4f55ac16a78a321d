/** The task of a recorder thread: one slab in, one frame per leg out. */
import type {
  RecordDrop,
  RecordedFrame,
  RecordMirror,
  RecordPlan,
  RecordResult,
  RecordTask,
} from '../contract/tasks.ts'
import { SlabReader } from '../queue/slab-reader.ts'
import { ItemEncoder, itemRulesKey } from './encode.ts'
import { LegRecorder } from './leg.ts'
import { Writers } from './writers.ts'

/** Plans of slabs that were under way while the configuration changed. */
const PLANS_KEPT = 4

interface CompiledMirror {
  readonly encoder: ItemEncoder
  readonly legs: readonly LegRecorder[]
}
interface CompiledPlan {
  readonly text: string
  readonly encoders: readonly ItemEncoder[]
  readonly mirrors: ReadonlyMap<number, CompiledMirror>
}

/** Records slabs, one at a time; keeps plans, open segments and buffers from one to the next. */
export class Recorder {
  readonly #writers = new Writers()
  readonly #plans = new Map<number, CompiledPlan>()
  /** Counts exchanges: encoders use it to tell one from the next. */
  #turn = 0

  /** Never throws for what a slab holds; what is lost is among the drops. */
  record(task: RecordTask): RecordResult {
    const plan = this.#planOf(task)
    const started: LegRecorder[] = []
    const frames: RecordedFrame[] = []
    const drops: RecordDrop[] = []
    let error: string | null = null
    for (const encoder of plan.encoders) encoder.notRedactable = 0
    try {
      const record = new SlabReader(task.slab, task.used)
      while (record.next()) {
        const wrong = this.#exchange(task, plan, record, started)
        error ??= wrong
      }
    } catch (thrown) {
      error ??= messageOf('reading a slab', thrown)
    }
    for (const leg of started) leg.finish(frames, drops)
    let notRedactable = 0
    for (const encoder of plan.encoders) notRedactable += encoder.notRedactable
    const spoolError = this.#writers.takeError()
    return {
      slab: task.slab,
      frames,
      drops,
      closed: this.#writers.takeClosed(),
      notRedactable,
      error: spoolError ?? error,
    }
  }

  /** Returns what went wrong with it, if anything; the others go on. */
  #exchange(task: RecordTask, plan: CompiledPlan, record: SlabReader, started: LegRecorder[]): string | null {
    this.#turn++
    let error: string | null = null
    for (let index = 0; index < record.mirrors; index++) {
      const slot = record.mirror(index)
      const mirror = plan.mirrors.get(slot)
      if (mirror === undefined) {
        error ??= `reading a slab: its plan must hold every mirror, got slot ${slot}`
        continue
      }
      for (const leg of mirror.legs) {
        if (!leg.started) {
          leg.begin(task)
          started.push(leg)
        }
        const { refusal } = leg
        if (refusal !== null) {
          leg.drop(refusal)
          continue
        }
        try {
          leg.add(mirror.encoder, record, this.#turn)
        } catch (thrown) {
          leg.drop('capture_error')
          error ??= messageOf('encoding an item', thrown)
        }
      }
    }
    return error
  }

  #planOf(task: RecordTask): CompiledPlan {
    const known = this.#plans.get(task.generation)
    if (known !== undefined && known.text === task.plan) return known
    const parsed = JSON.parse(task.plan) as RecordPlan
    this.#writers.apply(parsed)
    const compiled = compile(task.plan, parsed, this.#writers)
    this.#plans.delete(task.generation)
    this.#plans.set(task.generation, compiled)
    for (const generation of this.#plans.keys()) {
      if (this.#plans.size <= PLANS_KEPT) break
      this.#plans.delete(generation)
    }
    return compiled
  }
}

function compile(text: string, plan: RecordPlan, writers: Writers): CompiledPlan {
  const byRules = new Map<string, ItemEncoder>()
  const encoderOf = (mirror: RecordMirror): ItemEncoder => {
    const key = itemRulesKey(mirror)
    const encoder = byRules.get(key) ?? new ItemEncoder(mirror)
    byRules.set(key, encoder)
    return encoder
  }
  const mirrors = new Map<number, CompiledMirror>()
  for (const mirror of plan.mirrors) {
    const legs = mirror.legs.map((leg) => new LegRecorder(mirror, leg, writers))
    mirrors.set(mirror.slot, { encoder: encoderOf(mirror), legs })
  }
  return { text, encoders: [...byRules.values()], mirrors }
}

function messageOf(doing: string, thrown: unknown): string {
  return `${doing}: ${thrown instanceof Error ? thrown.message : String(thrown)}`
}

const recorder = new Recorder()

export function record(task: RecordTask): RecordResult {
  return recorder.record(task)
}
