/** The key that signs checkpoints, in the data folder, and the public keys of all that ever did. */
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { StartError } from '../../contract/errors.ts'

/** RFC 8037 §2. */
export type PublicJwk = Record<'kty' | 'crv' | 'x' | 'kid' | 'alg' | 'use', string>

export interface SigningKey {
  readonly id: string
  readonly privateKey: crypto.KeyObject
  /** The newest last. */
  readonly jwks: { readonly keys: readonly PublicJwk[] }
}

/** The private key: whoever has it can sign checkpoints. */
const KEY_FILE = 'audit-key.pem'

/** Where the private key of a data folder is. */
export function signingKeyFile(dataDir: string): string {
  return path.join(dataDir, KEY_FILE)
}

/** RFC 7517 §5; may be given to anyone. */
const JWKS_FILE = 'audit-jwks.json'

/** Reads the key of a data folder, or makes one; throws StartError when neither can be done. */
export function signingKey(dataDir: string): SigningKey {
  const file = signingKeyFile(dataDir)
  try {
    if (!fs.existsSync(file)) writeKey(file)
    const privateKey = crypto.createPrivateKey(fs.readFileSync(file))
    if (privateKey.asymmetricKeyType !== 'ed25519')
      throw new Error(`must be an Ed25519 key, got ${privateKey.asymmetricKeyType}`)
    const jwk = publicJwk(privateKey)
    return { id: jwk.kid, privateKey, jwks: { keys: rememberPublic(path.join(dataDir, JWKS_FILE), jwk) } }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`the key of the activity log, ${file}, cannot be used: ${reason}`)
  }
}

function writeKey(file: string): void {
  const { privateKey } = crypto.generateKeyPairSync('ed25519')
  writeWhole(file, privateKey.export({ type: 'pkcs8', format: 'pem' }))
}

/** Whole or not at all, for the owner only, and on the disk before anything is made with it. */
export function writeWhole(file: string, content: string | Buffer): void {
  const next = `${file}.new`
  const descriptor = fs.openSync(next, 'w', 0o600)
  try {
    fs.writeFileSync(descriptor, content)
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
  fs.renameSync(next, file)
}

function publicJwk(privateKey: crypto.KeyObject): PublicJwk {
  const { x = '' } = crypto.createPublicKey(privateKey).export({ format: 'jwk' })
  // RFC 7638 §3: the thumbprint is over the required members in this order.
  const kid = crypto.hash('sha256', JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }), 'base64url')
  return { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' }
}

/** Keys of earlier checkpoints stay, so that these can still be checked. */
function rememberPublic(file: string, jwk: PublicJwk): PublicJwk[] {
  const before = fs.existsSync(file)
    ? (JSON.parse(fs.readFileSync(file, 'utf8')) as { keys: PublicJwk[] }).keys
    : []
  const keys = [...before.filter(({ kid }) => kid !== jwk.kid), jwk]
  if (before.at(-1)?.kid !== jwk.kid) writeWhole(file, `${JSON.stringify({ keys }, null, 2)}\n`)
  return keys
}
