/** Signs lines of audit webhooks with the key of the activity log, in a shipper thread. */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Signer } from '../render/konnect.ts'

/** By file: a process has one data folder, and a key stays as long as it. */
const keys = new Map<string, KeyObject>()

/** Throws when the key cannot be read. */
export function lineSigner(file: string): Signer {
  const key = keys.get(file) ?? createPrivateKey(readFileSync(file))
  keys.set(file, key)
  return (line) => sign(null, line, key)
}
