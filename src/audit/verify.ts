/** `mirrorgate audit verify`: a live store, a backup or an export, checked with the public keys alone. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { RawActivityLog, storeFile } from '../store/activity/raw.ts'
import { checkpointOf, EntryReader, linesOf } from './lines.ts'
import { readKeys, type Scope, type Verdict, Verifier } from './verifier.ts'

export interface VerifyOptions {
  /** A data folder, a backup, or an export as NDJSON. */
  readonly place: string
  /** File of the public keys; null = the one beside what is checked. */
  readonly jwks: string | null
  /** The export holds a selection of entries. */
  readonly filtered: boolean
}

/** What cannot be checked at all, with the sentence for a person. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
}

type Keys = ReturnType<typeof readKeys>

export async function verify({ place, jwks, filtered }: VerifyOptions): Promise<Verdict> {
  if (!existsSync(place)) throw new UnreadableError(`there is no file or folder ${place}`)
  const folder = statSync(place).isDirectory()
  if (folder && storeFile(place) === null) throw new UnreadableError(`there is no store in ${place}`)
  const keys = keysOf(jwks ?? path.join(folder ? place : path.dirname(place), 'audit-jwks.json'))
  if (!folder) return verifyExport(place, keys, filtered ? 'selection' : 'export')
  const verdict = await verifyStore(place, keys)
  // Retention may have run between the checkpoints and the first entry: then a second look finds both.
  return verdict.finding === null ? verdict : verifyStore(place, keys)
}

function keysOf(file: string): Keys {
  try {
    return readKeys(readFileSync(file, 'utf8'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UnreadableError(`the public keys cannot be read from ${file} (choose with --jwks): ${reason}`)
  }
}

async function verifyStore(folder: string, keys: Keys): Promise<Verdict> {
  const log = new RawActivityLog(folder)
  const verifier = new Verifier(keys, 'store')
  try {
    for (const text of log.checkpoints()) verifier.checkpoint(text)
    for (const { id, value } of log.entries()) verifier.entry(id, value)
  } finally {
    await log.close()
  }
  return verifier.verdict()
}

async function verifyExport(file: string, keys: Keys, scope: Scope): Promise<Verdict> {
  const verifier = new Verifier(keys, scope)
  const reader = new EntryReader()
  // Checkpoints stand behind the entries that they speak of.
  for await (const lines of linesOf(file)) {
    for (const line of lines) {
      const checkpoint = checkpointOf(line)
      if (checkpoint !== null) verifier.checkpoint(checkpoint)
    }
  }
  let number = 0
  for await (const lines of linesOf(file)) {
    for (const line of lines) {
      number += 1
      if (checkpointOf(line) !== null) continue
      const entry = reader.read(line)
      if (entry === null) verifier.unreadable(number)
      else verifier.entry(entry.id, entry.stored)
    }
  }
  return verifier.verdict()
}
