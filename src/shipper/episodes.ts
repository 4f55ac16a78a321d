/**
 * Outages and losses as people hear of them: a mirror or stream is parked once, by its first leg, and
 * recovers with its last one, also over a restart; so is the connection that several share. Losses come by
 * the minute.
 */
import type { Config, DeliveryConfig } from '../config/schema.ts'
import { type AuditTrail, theGateway } from '../contract/audit-trail.ts'
import type { DropReason } from '../contract/errors.ts'
import { limits } from '../contract/limits.ts'
import { type DeliveryKind, resourceNouns } from '../contract/resources.ts'
import type { Store } from '../store/store.ts'
import { Tally } from '../telemetry/tally.ts'
import type { Leg } from './leg.ts'
import type { LegNews } from './leg-host.ts'
import { type Owner, ownerKey } from './owners.ts'

type Parked = Extract<LegNews, { kind: 'parked' }>

/** Settings of the store, by leg: whether people were told that its destination is gone. */
const OUTAGE = 'outage:'

/** What is told, by whose it is. */
const events = Object.freeze({
  mirrors: { parked: 'mirror_parked', recovered: 'mirror_recovered', dropped: 'spool_dropped' },
  streams: { parked: 'stream_parked', recovered: 'stream_recovered', dropped: 'stream_dropped' },
} as const)

interface Loss {
  readonly owner: Owner
  readonly leg: string
  readonly reason: DropReason | 'several'
}

export class Episodes {
  readonly #trail: AuditTrail
  readonly #store: Store
  readonly #config: () => Pick<Config, DeliveryKind>
  /** Key of a mirror or stream → keys of its parked legs. */
  readonly #owners = new Map<string, Set<string>>()
  /** Connection → keys of the parked legs that use it. */
  readonly #connections = new Map<string, Set<string>>()
  readonly #losses: Tally<Loss>

  constructor(parts: { trail: AuditTrail; store: Store; config: () => Pick<Config, DeliveryKind> }) {
    this.#trail = parts.trail
    this.#store = parts.store
    this.#config = parts.config
    this.#losses = new Tally<Loss>({
      kindsMax: limits.loss_kinds_max,
      others: { owner: { kind: 'mirrors', name: 'several' }, leg: 'several', reason: 'several' },
      tell: (loss, items) => this.#tellLoss(loss, items),
    })
  }

  news(leg: Leg, news: LegNews): void {
    if (news.kind === 'begun') this.#begun(leg)
    else if (news.kind === 'parked') this.#parked(leg, news)
    else if (news.kind === 'recovered') this.#recovered(leg)
    // A person threw these away, and has an entry for it.
    else if (news.reason !== 'purged') {
      const { reason, items } = news
      this.#losses.add(`${leg.ledger.key} ${reason}`, { owner: leg.owner, leg: leg.name, reason }, items)
    }
  }

  /** An outage that was told of before a restart goes on. */
  #begun(leg: Leg): void {
    if (this.#store.setting(OUTAGE + leg.ledger.key) !== true) return
    leg.outage = true
    join(this.#owners, ownerKey(leg.owner), leg)
    const connection = this.#connectionOf(leg)
    if (connection !== null) join(this.#connections, connection, leg)
  }

  /** At the end: what was not told yet. */
  flush(): void {
    this.#losses.flush()
  }

  #parked(leg: Leg, { failure: { kind, status, message } }: Parked): void {
    this.#keep(leg, true)
    const details = { leg: leg.name, reason: kind, status, error: message }
    const connection = this.#connectionOf(leg)
    const { kind: owner, name } = leg.owner
    if (join(this.#owners, ownerKey(leg.owner), leg)) {
      const resource = { name }
      void this.#trail.record({ event: events[owner].parked, actor: theGateway, resource, details })
    }
    if (connection !== null && join(this.#connections, connection, leg)) {
      void this.#trail.record({
        event: 'connection_lost',
        actor: theGateway,
        resource: { name: connection },
        details: { [resourceNouns[owner]]: name, ...details },
      })
    }
  }

  #recovered(leg: Leg): void {
    this.#keep(leg, false)
    if (leave(this.#owners, ownerKey(leg.owner), leg)) {
      const { kind, name } = leg.owner
      const resource = { name }
      void this.#trail.record({ event: events[kind].recovered, actor: theGateway, resource })
    }
    const connection = this.#connectionOf(leg)
    for (const name of [...this.#connections.keys()]) {
      // A leg that was given another connection says nothing about its old one.
      if (leave(this.#connections, name, leg) && name === connection) {
        void this.#trail.record({ event: 'connection_restored', actor: theGateway, resource: { name } })
      }
    }
  }

  /** Without it a restart would only tell of the same outage again. */
  #keep({ ledger: { key } }: Leg, parked: boolean): void {
    const command = { type: 'setting' as const, name: OUTAGE + key, value: parked ? true : null }
    this.#store.apply([command]).catch(() => {})
  }

  #connectionOf({ owner, settings }: Leg): string | null {
    const listed: readonly DeliveryConfig[] = this.#config()[owner.kind]
    const config = settings?.delivery ?? listed.find(({ name }) => name === owner.name)
    return config?.connection ?? null
  }

  #tellLoss({ owner, leg, reason }: Loss, items: number): void {
    void this.#trail.record({
      event: events[owner.kind].dropped,
      actor: theGateway,
      resource: { name: owner.name },
      details: { leg, reason, items },
    })
  }
}

/** True when it is the first of its group. */
function join(groups: Map<string, Set<string>>, name: string, { ledger: { key } }: Leg): boolean {
  const group = groups.get(name)
  group?.add(key)
  if (group === undefined) groups.set(name, new Set([key]))
  return group === undefined
}

/** True when it was the last of its group. */
function leave(groups: Map<string, Set<string>>, name: string, { ledger: { key } }: Leg): boolean {
  const group = groups.get(name)
  if (group?.delete(key) !== true || group.size > 0) return false
  groups.delete(name)
  return true
}
