/** Slabs on their way from the data threads over a recorder to their legs, whatever becomes of a recorder. */
import type { DataThreads, SlabMessage } from './proxy/threads.ts'
import type { RecorderPool } from './recorder/pool.ts'
import type { Deliveries } from './shipper/deliveries.ts'
import type { Logger } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'

/** The parts of a gateway that a slab passes. */
interface RecordingParts {
  readonly threads: Pick<DataThreads, 'returnSlab' | 'slabLost'>
  readonly recorder: Pick<RecorderPool, 'turn' | 'record'>
  readonly deliveries: Pick<Deliveries, 'recorderBounds'> & {
    readonly captures: Pick<Deliveries['captures'], 'planOf' | 'recorded' | 'settleCrash'>
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

  async #record(thread: number, message: SlabMessage): Promise<void> {
    const { threads, recorder, deliveries, metrics, log } = this.#gateway
    const { slab, used, sequence, generation, sealedAt, counts } = message
    const slabBytes = slab.byteLength
    try {
      const plan = deliveries.captures.planOf(generation)
      const bounds = deliveries.recorderBounds()
      const result = await recorder.record({ slab, used, thread, sequence, generation, plan, ...bounds })
      threads.returnSlab(thread, result.slab)
      deliveries.captures.recorded(result, counts)
      metrics.observeCaptureLag((Date.now() - sealedAt) / 1000)
      metrics.countNotRedactable(result.notRedactable)
      this.#error ??= result.error
    } catch (error) {
      log.error({ err: error }, 'recorder failed')
      if (slab instanceof ArrayBuffer) threads.slabLost(thread, slabBytes)
      else threads.returnSlab(thread, slab)
      this.#settling += 1
      try {
        await deliveries.captures.settleCrash({ thread, sequence, counts })
      } finally {
        this.#settling -= 1
      }
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
