/** Audit webhooks as their API knows them: destinations, which of them each webhook uses, replays. */
import type { Database, RootDatabase } from 'lmdb'

export const logFormats = ['cef', 'json', 'cps'] as const
export type LogFormat = (typeof logFormats)[number]

/** Where lines go. Its authorization is not here: the connection of the same name has it, sealed. */
export interface DestinationRecord {
  name: string
  endpoint: string
  log_format: LogFormat
  skip_ssl_verification: boolean
  created_at: number
  updated_at: number
}

export interface WebhookRecord {
  /** Null: none any more. */
  destination_id: string | null
  enabled: boolean
  updated_at: number
}

export interface ReplayRecord {
  start_at: number
  end_at: number
  updated_at: number
}

/** One record as a whole; null removes it. `scope` is `organization`, or the id of a portal. */
export type WebhookCommand =
  | { type: 'audit_destination'; id: string; record: DestinationRecord | null }
  | { type: 'audit_webhook'; scope: string; record: WebhookRecord | null }
  | { type: 'audit_replay'; scope: string; record: ReplayRecord | null }

export function isWebhookCommand(command: { type: string }): command is WebhookCommand {
  return command.type.startsWith('audit_')
}

export class WebhookTable {
  readonly #destinations: Database<DestinationRecord, string>
  readonly #webhooks: Database<WebhookRecord, string>
  readonly #replays: Database<ReplayRecord, string>

  constructor(env: RootDatabase) {
    this.#destinations = env.openDB({ name: 'audit_destinations' })
    this.#webhooks = env.openDB({ name: 'audit_webhooks' })
    this.#replays = env.openDB({ name: 'audit_replays' })
  }

  /** Inside a transaction of the store. */
  apply(command: WebhookCommand): void {
    if (command.type === 'audit_destination') write(this.#destinations, command.id, command.record)
    else if (command.type === 'audit_webhook') write(this.#webhooks, command.scope, command.record)
    else write(this.#replays, command.scope, command.record)
  }

  /** The oldest first. */
  destinations(): { id: string; record: DestinationRecord }[] {
    const all = [...this.#destinations.getRange()].map(({ key, value }) => ({ id: key, record: value }))
    return all.sort((a, b) => a.record.created_at - b.record.created_at || (a.id < b.id ? -1 : 1))
  }

  destination(id: string): DestinationRecord | undefined {
    return this.#destinations.get(id)
  }

  webhooks(): { scope: string; record: WebhookRecord }[] {
    return [...this.#webhooks.getRange()].map(({ key, value }) => ({ scope: key, record: value }))
  }

  webhook(scope: string): WebhookRecord | undefined {
    return this.#webhooks.get(scope)
  }

  replay(scope: string): ReplayRecord | undefined {
    return this.#replays.get(scope)
  }
}

function write<Value>(table: Database<Value, string>, key: string, value: Value | null): void {
  if (value === null) table.remove(key)
  else table.put(key, value)
}
