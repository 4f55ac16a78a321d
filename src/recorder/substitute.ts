/** What stands in the place of a value that was taken out. */
import { createHmac } from 'node:crypto'

export const REDACTED = '[redacted]'

/** `remove` takes fields away; values that have none of their own leave nothing. */
export type RedactMode = 'mask' | 'remove' | 'hash'

/** The value in plain text → its substitute, which needs no escape in JSON and no quotes of its own. */
export type Substitute = (value: string) => string

/** 96 bits: two values among billions do not meet by chance. */
const TOKEN_CHARS = 16

/** `hashKey`: needed for `hash`; whoever has it can try values out. */
export function substituteOf(mode: RedactMode, hashKey: string | undefined): Substitute {
  if (mode === 'remove') return () => ''
  if (mode === 'mask') return () => REDACTED
  if (hashKey === undefined || hashKey === '') throw new Error('mode hash needs a key, got none')
  return (value) => {
    const digest = createHmac('sha256', hashKey).update(value).digest('base64url')
    return `[hash:${digest.slice(0, TOKEN_CHARS)}]`
  }
}
