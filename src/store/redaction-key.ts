/** The key of redaction by hash, in the data folder: it lives as long as the items that are compared. */
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { StartError } from '../contract/errors.ts'
import { writeWhole } from './activity/signing.ts'

/** Whoever has it can try out which value has a token. */
const KEY_FILE = 'redaction-key'
const KEY_BYTES = 32

/** Reads the key of a data folder, or makes one; throws StartError when neither can be done. */
export function redactionKey(dataDir: string): string {
  const file = path.join(dataDir, KEY_FILE)
  try {
    if (!fs.existsSync(file)) writeWhole(file, `${crypto.randomBytes(KEY_BYTES).toString('hex')}\n`)
    const key = fs.readFileSync(file, 'utf8').trim()
    if (key.length < KEY_BYTES) throw new Error(`it must hold at least ${KEY_BYTES} characters`)
    return key
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`the key of redaction by hash, ${file}, cannot be used: ${reason}`)
  }
}
