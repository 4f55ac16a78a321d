/**
 * Seals texts that are kept on disk (AES-256-GCM, NIST SP 800-38D): who has the store and not the key reads
 * nothing, and a changed byte is noticed. The first key seals, every key opens: so keys can be rotated.
 *
 *   mg1.<first 8 hex digits of the key's SHA-256>.<base64url: 12 bytes nonce, 16 bytes tag, sealed text>
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { StartError } from '../contract/errors.ts'

/** A random nonce per text: 2^32 texts under one key before a repeat is worth a thought (SP 800-38D §8.3). */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
const version = 'mg1'
const generatedFile = 'seal-key'
/** Old keys are for opening only: more than this is a mistake in the file. */
const KEYS_MAX = 100

/** A sealed text that cannot be opened; its message names the key, never the text. */
export class SealError extends Error {
  override readonly name = 'SealError'
}

interface SealKey {
  readonly id: string
  readonly bytes: Buffer
}

export class Seal {
  readonly #load: () => readonly Buffer[]
  #keys: readonly SealKey[] | null = null

  /** `load` is called once, when the first text is sealed or opened. */
  constructor(load: () => readonly Buffer[]) {
    this.#load = load
  }

  seal(text: string): string {
    const [key] = this.#all()
    if (key === undefined) throw new SealError('there is no key to seal with')
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce)
    cipher.setAAD(Buffer.from(`${version}.${key.id}`))
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    const body = Buffer.concat([nonce, cipher.getAuthTag(), sealed])
    return `${version}.${key.id}.${body.toString('base64url')}`
  }

  /** Throws a `SealError` when the key is not here, or the text was changed. */
  open(sealed: string): string {
    const [kind, id, body = ''] = sealed.split('.')
    const bytes = Buffer.from(body, 'base64url')
    if (kind !== version || id === undefined || bytes.length < NONCE_BYTES + TAG_BYTES) {
      throw new SealError('is not a sealed text')
    }
    const key = this.#all().find((one) => one.id === id)
    if (key === undefined) throw new SealError(`was sealed with the key ${id.slice(0, 8)}, which is not here`)
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(0, NONCE_BYTES))
    decipher.setAAD(Buffer.from(`${version}.${id}`))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    try {
      const text = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES))
      return Buffer.concat([text, decipher.final()]).toString('utf8')
    } catch {
      throw new SealError(`was changed after it was sealed with the key ${id}`)
    }
  }

  #all(): readonly SealKey[] {
    this.#keys ??= this.#load().map((bytes) => ({
      id: createHash('sha256').update(bytes).digest('hex').slice(0, 8),
      bytes,
    }))
    return this.#keys
  }
}

export interface SealPlace {
  /** `secrets.key_file`. */
  readonly keyFile: string | undefined
  /** `MIRRORGATE_SEAL_KEY`. */
  readonly keyText: string | undefined
  readonly dataDir: string
}

/**
 * The seal of a gateway. Its key comes from the file, or else from the environment, or else it is made when
 * it is first needed, as `dataDir/seal-key`; a key that was made there goes on opening what it sealed. Throws
 * a StartError when a key that was given cannot be used.
 */
export function openSeal({ keyFile, keyText, dataDir }: SealPlace): Seal {
  const made = path.join(dataDir, generatedFile)
  const given =
    keyFile !== undefined
      ? readKeys(readKeyFile(keyFile), `secrets.key_file ${keyFile}`)
      : keyText !== undefined && keyText.trim() !== ''
        ? readKeys(keyText, 'MIRRORGATE_SEAL_KEY')
        : null
  return new Seal(() => [...(given ?? ensureKey(made)), ...(given === null ? [] : keysOf(made))])
}

function readKeyFile(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    const { code = 'unreadable' } = error as NodeJS.ErrnoException
    throw new StartError(
      `secrets.key_file ${file} cannot be read (${code}): make it readable, or leave it out`,
    )
  }
}

/** One key a line or word: 32 bytes, as 64 hex digits or as base64. */
function readKeys(text: string, where: string): Buffer[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '')
  const keys = words.map((word) => {
    const hex = /^[0-9a-f]{64}$/i.test(word)
    return Buffer.from(word, hex ? 'hex' : /[-_]/.test(word) ? 'base64url' : 'base64')
  })
  const fine = keys.length > 0 && keys.length <= KEYS_MAX && keys.every(({ length }) => length === KEY_BYTES)
  if (fine) return keys
  throw new StartError(
    `${where} must hold keys of ${KEY_BYTES} bytes as hex or base64, the newest first: ` +
      'make one with openssl rand -hex 32',
  )
}

/** The keys of the made file; none when there is no such file. */
function keysOf(file: string): Buffer[] {
  if (!fs.existsSync(file)) return []
  return readKeys(readKeyFile(file), `the key ${file}`)
}

function ensureKey(file: string): Buffer[] {
  const known = keysOf(file)
  if (known.length > 0) return known
  const key = randomBytes(KEY_BYTES)
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const fresh = `${file}.new`
  // A leftover may be readable for others; the mode below holds for new files only.
  fs.rmSync(fresh, { force: true })
  const handle = fs.openSync(fresh, 'wx', 0o600)
  try {
    fs.writeSync(handle, `${key.toString('hex')}\n`)
    // What is sealed next is lost for good without it.
    fs.fsyncSync(handle)
  } finally {
    fs.closeSync(handle)
  }
  fs.renameSync(fresh, file)
  return [key]
}
