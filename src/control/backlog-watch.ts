/**
 * Sees backlogs, the disk below them, and the activity log behind its streams coming to their ends: before
 * anything is lost.
 */
import type { DeliveryView } from '../admin/commands.ts'
import type { Config } from '../config/schema.ts'
import { diskSubject } from '../contract/incidents.ts'
import { limits } from '../contract/limits.ts'
import type { IncidentBook } from '../notify/incidents.ts'
import { legSpoolBytes } from '../shipper/janitor.ts'
import { ownersOf } from '../shipper/legs.ts'
import { type Owner, ownerKey } from '../shipper/owners.ts'
import { keepMs } from './activity-host.ts'

/** A backlog is nearly full from here on, and no longer below that: between them it may sway. */
const FULL_SHARE = 0.8
const ROOM_SHARE = 0.7

interface BacklogWatchParts {
  readonly book: Pick<IncidentBook, 'find' | 'raise' | 'resolve'>
  readonly config: () => Config
  readonly view: (owner: Owner) => DeliveryView | null
  readonly disk: () => { readonly freeBytes: number; readonly floorBytes: number } | null
  /** Milliseconds that never jump. */
  readonly monotonic?: () => number
}

type LegView = DeliveryView['legs'][number]

interface Finding {
  /** Of what it may take: the room on disk, or the time that entries are kept. */
  readonly share: number
  readonly details: Readonly<Record<string, number | boolean | string>>
  /** It is working itself out of it. */
  readonly improves: boolean
}

/** Where a leg of the activity log stood when its pace was taken last. */
interface Pace {
  readonly at: number
  readonly oldest: number
  readonly gains: boolean
}

export class BacklogWatch {
  readonly #parts: BacklogWatchParts
  readonly #monotonic: () => number
  readonly #paces = new Map<string, Pace>()

  constructor(parts: BacklogWatchParts) {
    this.#parts = parts
    this.#monotonic = parts.monotonic ?? (() => performance.now())
  }

  /** Once a second. */
  look(): void {
    const config = this.#parts.config()
    for (const { owner, delivery } of ownersOf(config)) {
      const maxBytes = legSpoolBytes(delivery)
      const findings = (this.#parts.view(owner)?.legs ?? []).map((leg) =>
        isOfLog(owner, leg) ? this.#behind(owner, leg, config) : spooled(leg, maxBytes),
      )
      this.#judge(ownerKey(owner), findings)
    }
    const disk = this.#parts.disk()
    if (disk === null) return
    const { freeBytes: free_bytes, floorBytes } = disk
    const share = floorBytes / Math.max(1, free_bytes)
    this.#judge(diskSubject, [{ share, details: { free_bytes, disk: true }, improves: false }])
  }

  /** By its worst leg. */
  #judge(subject: string, findings: readonly Finding[]): void {
    const { book } = this.#parts
    const known = book.find('spool_nearly_full', subject)
    const [worst] = findings
      .filter(({ share, improves }) => share >= FULL_SHARE && !improves)
      .sort((a, b) => b.share - a.share)
    if (worst !== undefined && known === undefined)
      book.raise({ kind: 'spool_nearly_full', subject, details: worst.details })
    else if (known !== undefined && findings.every(({ share }) => share < ROOM_SHARE))
      book.resolve('spool_nearly_full', subject)
  }

  /** How far a leg is behind the log, of what retention leaves it. */
  #behind(owner: Owner, { state, oldest_waiting_at: waiting }: LegView, config: Config): Finding {
    const key = ownerKey(owner)
    if (waiting === null) {
      this.#paces.delete(key)
      return { share: 0, details: {}, improves: true }
    }
    const oldest = Date.parse(waiting)
    const keep = keepMs(config, config.environment)
    const removed_from = new Date(oldest + keep).toISOString()
    return {
      share: (Date.now() - oldest) / keep,
      details: { leg: 'activity', behind_since: waiting, removed_from },
      improves: (state === 'delivering' || state === 'retrying') && this.#gains(key, oldest),
    }
  }

  /**
   * Whether it catches up with retention. One that has just begun (a stream from the beginning, a replay of
   * long ago) has the benefit of the doubt.
   */
  #gains(key: string, oldest: number): boolean {
    const now = this.#monotonic()
    const before = this.#paces.get(key)
    if (before !== undefined && now - before.at < limits.log_pace_ms) return before.gains
    const gains = before === undefined || oldest - before.oldest > now - before.at
    this.#paces.set(key, { at: now, oldest, gains })
    return gains
  }
}

/** Entries of the activity log take no room of their own: their backlog is the log. */
export function isOfLog(owner: Owner, { name }: Pick<LegView, 'name'>): boolean {
  return owner.kind === 'streams' && name === 'activity'
}

function spooled({ name, waiting_bytes: used_bytes }: LegView, max_bytes: number): Finding {
  const details = { leg: name, used_bytes, max_bytes }
  return { share: used_bytes / max_bytes, details, improves: false }
}
