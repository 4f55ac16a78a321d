/** What is kept of clients of the admin port: their numbers, those made by API, when each came last. */
import type { Database, RootDatabase } from 'lmdb'
import type { EnvironmentName } from '../contract/environments.ts'
import type { Role } from '../contract/roles.ts'

/** A client made by API. Its token is nowhere: what is kept cannot sign in. */
export interface ClientRecord {
  name: string
  role: Role
  environment: EnvironmentName
  /** SHA-256 of the token, hex. */
  digest: string
  /** The first characters of the token, so that people know which one it is. */
  token_prefix: string
  /** The token before it, which works until then. */
  previous: { digest: string; until: number } | null
  created_at: number
  created_by: string
  rotated_at: number | null
  expires_at: number | null
}

/** One client as a whole; null removes it, and when it came last. */
interface OneClientCommand {
  type: 'client'
  id: number
  record: ClientRecord | null
}

/** A client that the file defines, with its number: assigned once, so that old entries still mean it. */
interface ClientIdCommand {
  type: 'client_id'
  name: string
  id: number
}

/** When a client made its last request, whoever defines it. */
interface ClientUsedCommand {
  type: 'client_used'
  id: number
  at: number
}

export type ClientCommand = OneClientCommand | ClientIdCommand | ClientUsedCommand

export function isClientCommand(command: { type: string }): command is ClientCommand {
  return command.type === 'client' || command.type === 'client_id' || command.type === 'client_used'
}

export class ClientTable {
  readonly #clients: Database<ClientRecord, number>
  readonly #ids: Database<number, string>
  readonly #used: Database<number, number>

  constructor(env: RootDatabase) {
    this.#clients = env.openDB({ name: 'clients' })
    this.#ids = env.openDB({ name: 'client_ids' })
    this.#used = env.openDB({ name: 'client_used' })
  }

  /** Inside a transaction of the store. */
  apply(command: ClientCommand): void {
    if (command.type === 'client_id') {
      this.#ids.put(command.name, command.id)
    } else if (command.type === 'client_used') {
      this.#used.put(command.id, command.at)
    } else if (command.record === null) {
      this.#clients.remove(command.id)
      this.#used.remove(command.id)
    } else {
      this.#clients.put(command.id, command.record)
    }
  }

  /** Those made by API, by number. */
  all(): Map<number, ClientRecord> {
    return mapOf(this.#clients)
  }

  /** Numbers of the clients that the file defines, or once did, by name. */
  ids(): Map<string, number> {
    return mapOf(this.#ids)
  }

  /** When each client made its last request, in Unix milliseconds, by number. */
  used(): Map<number, number> {
    return mapOf(this.#used)
  }
}

function mapOf<Key extends string | number, Value>(table: Database<Value, Key>): Map<Key, Value> {
  return new Map([...table.getRange()].map(({ key, value }) => [key, value]))
}
