/** What is kept of the clients of the admin port: the number that each one has in the activity log. */
import type { Database, RootDatabase } from 'lmdb'

/** A client that the file defines, with its number: assigned once, so that old entries still mean it. */
export interface ClientIdCommand {
  type: 'client_id'
  name: string
  id: number
}

export type ClientCommand = ClientIdCommand

export class ClientTable {
  readonly #ids: Database<number, string>

  constructor(env: RootDatabase) {
    this.#ids = env.openDB({ name: 'client_ids' })
  }

  /** Inside a transaction of the store. */
  apply(command: ClientCommand): void {
    this.#ids.put(command.name, command.id)
  }

  /** Numbers of the clients that the file defines, or once did, by name. */
  ids(): Map<string, number> {
    return new Map([...this.#ids.getRange()].map(({ key, value }) => [key, value]))
  }
}
