/** Incidents, and what channels are still to be told of them, kept over restarts. */
import type { Database, RootDatabase } from 'lmdb'
import type { Incident, PendingNotice } from '../contract/incidents.ts'

/** One incident as a whole; null removes it. */
interface OneIncidentCommand {
  type: 'incident'
  id: number
  record: Incident | null
}

/** What waits to be told; null: it was, or never will be. */
interface NoticeCommand {
  type: 'notice'
  key: string
  record: PendingNotice | null
}

export type IncidentCommand = OneIncidentCommand | NoticeCommand

export function isIncidentCommand(command: { type: string }): command is IncidentCommand {
  return command.type === 'incident' || command.type === 'notice'
}

export class IncidentTable {
  readonly #incidents: Database<Incident, number>
  readonly #notices: Database<PendingNotice, string>

  constructor(env: RootDatabase) {
    this.#incidents = env.openDB({ name: 'incidents' })
    this.#notices = env.openDB({ name: 'notices' })
  }

  /** Inside a transaction of the store. */
  apply(command: IncidentCommand): void {
    if (command.type === 'notice') {
      if (command.record === null) this.#notices.remove(command.key)
      else this.#notices.put(command.key, command.record)
    } else if (command.record === null) this.#incidents.remove(command.id)
    else this.#incidents.put(command.id, command.record)
  }

  get(id: number): Incident | undefined {
    return this.#incidents.get(id)
  }

  /** By ascending id. */
  *all(): Generator<Incident> {
    for (const { value } of this.#incidents.getRange()) yield value
  }

  pending(): Map<string, PendingNotice> {
    return new Map([...this.#notices.getRange()].map(({ key, value }) => [key, value]))
  }
}
