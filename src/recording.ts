/** Slabs on their way from the data threads over a recorder to their legs, whatever becomes of a recorder. */
import type { RecordResult, RecordTask } from './contract/tasks.ts'
import type { DataThreads, SlabMessage } from './proxy/threads.ts'
import type { RecorderPool } from './recorder/pool.ts'
import type { Deliveries } from './shipper/deliveries.ts'
import type { Logger } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'

/** A slab that ends so many recorders would end the next one too. */
const RECORD_TRIES = 2

type Written = RecordTask['written']
type Settle = Deliveries['captures']['settleCrash']

/** The parts of a gateway that a slab passes. */
interface RecordingParts {
  readonly threads: Pick<DataThreads, 'returnSlab' | 'slabLost'>
  readonly recorder: Pick<RecorderPool, 'turn' | 'record'>
  readonly deliveries: Pick<Deliveries, 'recorderBounds'> & {
    readonly captures: Pick<Deliveries['captures'], 'planOf' | 'recorded' | 'settleCrash' | 'giveUp'>
  }
  readonly metrics: Pick<Metrics, 'observeCaptureLag' | 'countNotRedactable'>
  readonly log: Pick<Logger, 'error'>
}

export class Recording {
  readonly #gateway: RecordingParts
  #slabs = 0
  #settling = 0
  #error: string | null = null
  #idle: (() => void) | null = null

  constructor(gateway: RecordingParts) {
    this.#gateway = gateway
  }

  /** A crash is being settled: its segments are still searched for what was written last. */
  get settling(): boolean {
    return this.#settling > 0
  }

  /** First error of a spool since the last call. */
  takeError(): string | null {
    const error = this.#error
    this.#error = null
    return error
  }

  /** One slab on its way to the disk. Never rejects. */
  async record(thread: number, message: SlabMessage): Promise<void> {
    this.#slabs += 1
    const release = await this.#gateway.recorder.turn()
    try {
      await this.#record(thread, message)
    } catch (error) {
      this.#gateway.log.error({ err: error }, 'what a recorder left cannot be settled')
    } finally {
      release()
      this.#slabs -= 1
      if (this.#slabs === 0) this.#idle?.()
    }
  }

  /** What is shared stays when a recorder dies: the next one goes on where that one stopped. */
  async #record(thread: number, message: SlabMessage): Promise<void> {
    const { captures } = this.#gateway.deliveries
    const { slab, sequence, counts } = message
    const slabBytes = slab.byteLength
    let written: Written = {}
    let kept = slab
    try {
      for (let left = slab instanceof ArrayBuffer ? 1 : RECORD_TRIES; left > 0; left -= 1) {
        const result = await this.#tryToRecord(thread, message, written)
        if (result !== null) {
          kept = result.slab
          return
        }
        written = await this.#settle({ thread, sequence, counts }, written)
      }
      captures.giveUp(counts, written)
    } finally {
      const { threads } = this.#gateway
      // What was transferred and did not come back has no bytes any more.
      if (kept.byteLength === slabBytes) threads.returnSlab(thread, message, kept)
      else threads.slabLost(thread, message, slabBytes)
    }
  }

  /** Null: the recorder died. */
  async #tryToRecord(thread: number, message: SlabMessage, written: Written): Promise<RecordResult | null> {
    const { recorder, deliveries, metrics, log } = this.#gateway
    const { slab, used, sequence, generation, sealedAt, counts } = message
    const plan = deliveries.captures.planOf(generation)
    const bounds = deliveries.recorderBounds()
    let result: RecordResult
    try {
      result = await recorder.record({ slab, used, thread, sequence, generation, plan, ...bounds, written })
    } catch (error) {
      log.error({ err: error }, 'recorder failed')
      return null
    }
    deliveries.captures.recorded(result, counts, written)
    metrics.observeCaptureLag((Date.now() - sealedAt) / 1000)
    metrics.countNotRedactable(result.notRedactable)
    this.#error ??= result.error
    return result
  }

  async #settle(slab: Parameters<Settle>[0], written: Written): Promise<Written> {
    this.#settling += 1
    try {
      return await this.#gateway.deliveries.captures.settleCrash(slab, written)
    } finally {
      this.#settling -= 1
    }
  }

  /** Resolves when no slab is on its way any more. */
  ended(): Promise<void> {
    if (this.#slabs === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle = resolve
    })
  }
}
