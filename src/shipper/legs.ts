/** Every leg of the gateway: read back at a start, made when a configuration first needs it. */
import type { Config, DeliveryConfig } from '../config/schema.ts'
import type { Counters } from '../telemetry/counters.ts'
import type { Leg } from './leg.ts'
import type { LegHost } from './leg-host.ts'
import type { MemoryCounts } from './ledger.ts'
import { isSame, type Owner } from './owners.ts'
import { knownLegs, legKey, recoverLeg } from './recover.ts'
import { legFolder } from './targets.ts'

/** Of a file: what delivers, with whose it is. */
export function ownersOf(config: Config): { owner: Owner; delivery: DeliveryConfig }[] {
  return (['mirrors', 'streams'] as const).flatMap((kind) =>
    config[kind].map((delivery) => ({ owner: { kind, name: delivery.name }, delivery })),
  )
}

export class Legs {
  readonly #host: LegHost
  readonly #dataDir: string
  readonly #counters: () => readonly Counters[]
  /** A leg's place is its name towards the recorder. */
  readonly list: Leg[] = []
  /** Counter slots that feed a leg: more than one after its mirror changed its legs. */
  readonly #slots = new Map<string, Set<number>>()

  constructor(host: LegHost, dataDir: string, counters: () => readonly Counters[]) {
    this.#host = host
    this.#dataDir = dataDir
    this.#counters = counters
  }

  /** Reads back every leg that an earlier process left. */
  async recover(config: Config): Promise<void> {
    const configured = ownersOf(config)
    for (const { owner, name } of knownLegs(this.#host.store, this.#dataDir)) {
      const known = configured.find((one) => isSame(one.owner, owner))
      await this.open(owner, name, known?.delivery)
    }
  }

  /** The leg of a name, made when it is new. */
  async open(owner: Owner, name: string, delivery: DeliveryConfig | undefined): Promise<Leg> {
    const known = this.find(owner, name)
    if (known !== undefined) return known
    const slots = new Set<number>()
    this.#slots.set(legKey(owner, name), slots)
    const identity = { owner, name, folder: legFolder(this.#dataDir, owner, name), batch: delivery?.batch }
    const leg = await recoverLeg(identity, this.#host, () => this.#memoryOf(slots))
    this.list.push(leg)
    this.#host.news(leg, { kind: 'begun' })
    return leg
  }

  find(owner: Owner, name: string): Leg | undefined {
    return this.list.find((leg) => leg.name === name && isSame(leg.owner, owner))
  }

  of(owner: Owner): Leg[] {
    return this.list.filter((leg) => isSame(leg.owner, owner))
  }

  /** A slot of the counters feeds a leg. */
  feed(leg: Leg, slot: number): void {
    this.#slots.get(leg.ledger.key)?.add(slot)
  }

  #memoryOf(slots: ReadonlySet<number>): MemoryCounts {
    const sum = { captured: 0, slabbed: 0, bufferFull: 0, captureError: 0 }
    for (const counters of this.#counters()) {
      for (const slot of slots) {
        const cells = counters.readMirror(slot)
        sum.captured += cells.captured
        sum.slabbed += cells.slabbed
        sum.bufferFull += cells.bufferFull
        sum.captureError += cells.captureError
      }
    }
    return sum
  }
}
