/** The admin token that is generated when no client is configured: one file, kept over restarts. */
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { StartError } from '../contract/errors.ts'

/** A shorter content is no token that this program wrote. */
const TOKEN_CHARS_MIN = 32
const OWNER_ONLY = 0o600

export interface TokenFile {
  readonly path: string
  readonly token: string
  /** Whether it was made now. */
  readonly isNew: boolean
}

function read(file: string): string | null {
  try {
    const token = fs.readFileSync(file, 'utf8').trim()
    if (token.length < TOKEN_CHARS_MIN || /\s/.test(token)) return null
    fs.chmodSync(file, OWNER_ONLY)
    return token
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function write(file: string): string {
  const token = randomBytes(32).toString('base64url')
  const fresh = `${file}.new`
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  // A leftover may be readable for others; the mode below holds for new files only.
  fs.rmSync(fresh, { force: true })
  const handle = fs.openSync(fresh, 'wx', OWNER_ONLY)
  try {
    fs.writeSync(handle, `${token}\n`)
    fs.fsyncSync(handle)
  } finally {
    fs.closeSync(handle)
  }
  fs.renameSync(fresh, file)
  return token
}

/** Reads `dataDir/admin-token`, or makes it. Throws a StartError when neither can be done. */
export function ensureTokenFile(dataDir: string): TokenFile {
  const file = path.join(dataDir, 'admin-token')
  try {
    const token = read(file)
    return { path: file, token: token ?? write(file), isNew: token === null }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StartError(
      `cannot read or write the admin token ${file} (${code ?? 'unknown error'}): ` +
        'make it accessible, or configure admin.clients',
      { cause: error },
    )
  }
}
