/** A consistent copy of the store, made while writing goes on. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { RawActivityLog, storeFile } from '../store/activity/raw.ts'
import { UnreadableError } from './verify.ts'

const KEYS = 'audit-jwks.json'

/**
 * Copies the store of a data folder and its public keys into `target`, which must not hold anything; the
 * private key stays where it is. Resolves with the bytes of the copy.
 */
export async function backup(folder: string, target: string, compact: boolean): Promise<number> {
  if (storeFile(folder) === null) throw new UnreadableError(`there is no store in ${folder}`)
  if (existsSync(target) && readdirSync(target).length > 0) {
    throw new UnreadableError(`${target} must be empty, or not exist`)
  }
  const store = path.join(target, 'store')
  mkdirSync(store, { recursive: true, mode: 0o700 })
  const log = new RawActivityLog(folder)
  try {
    await log.backup(store, compact)
  } finally {
    await log.close()
  }
  copyFileSync(path.join(folder, KEYS), path.join(target, KEYS))
  const copy = storeFile(target)
  return copy === null ? 0 : statSync(copy).size
}
