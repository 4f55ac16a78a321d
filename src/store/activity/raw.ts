/**
 * The activity log as bytes, opened for reading beside a gateway that may be writing: for those who check,
 * export or copy it.
 */
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { databases } from './format.ts'

/** Entries between two renewals of the read transaction: an old one keeps the writer from reusing pages. */
const RENEW_ENTRIES = 10_000

/** The file of the store in a data folder or a backup; null when there is none. */
export function storeFile(folder: string): string | null {
  const file = path.join(folder, 'store', 'data.mdb')
  const plain = path.join(folder, 'store')
  if (existsSync(file)) return file
  return existsSync(plain) && statSync(plain).isFile() ? plain : null
}

export class RawActivityLog {
  readonly #env: RootDatabase

  /** `folder`: a data folder or a backup, with a store in it. */
  constructor(folder: string) {
    this.#env = open({ path: path.join(folder, 'store'), maxDbs: 32, readOnly: true })
  }

  /** Ids and stored bytes, ascending; a value is valid until the next one is asked for. */
  *entries(): Generator<{ readonly id: number; readonly value: Buffer }> {
    const table = this.#env.openDB<Buffer, number>({ name: databases.entries, encoding: 'binary' })
    let after = 0
    for (;;) {
      const range = table.getRange({ start: after + 1, limit: RENEW_ENTRIES, snapshot: false })
      let read = 0
      for (const { key, value } of range) {
        yield { id: key, value }
        after = key
        read += 1
      }
      if (read < RENEW_ENTRIES) return
    }
  }

  /** Signed checkpoints as they are stored, ascending. */
  checkpoints(): string[] {
    const table = this.#env.openDB<string, number>({ name: databases.checkpoints, encoding: 'string' })
    return [...table.getRange()].map(({ value }) => value)
  }

  /** Writes a consistent copy of the whole store into a folder; writing goes on meanwhile. */
  async backup(folder: string, compact: boolean): Promise<void> {
    await this.#env.backup(folder, compact)
  }

  async close(): Promise<void> {
    await this.#env.close()
  }
}
