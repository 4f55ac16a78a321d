/**
 * Checks the hash chains and the signed checkpoints of an activity log, with nothing but public keys. It is
 * fed the checkpoints first, then the stored bytes of the entries in ascending order of ids. Nothing is
 * written again, so how JSON is written cannot deceive it.
 */
import crypto, { type KeyObject } from 'node:crypto'
import {
  type Checkpoint,
  checkpointBytes,
  genesis,
  hashFits,
  HASH_BYTES,
  HEAD_BYTES,
} from '../store/activity/format.ts'

/** The first thing that is wrong; `id` names the entry, null where it is not about one. */
export interface Finding {
  readonly id: number | null
  readonly message: string
}

export interface Verdict {
  readonly entries: number
  /** By environment, in the order in which they were met. */
  readonly chains: readonly ChainReport[]
  /** Checkpoints whose signature and hashes hold. */
  readonly checkpoints: number
  /** Entries behind the newest checkpoint: no signature covers them yet. */
  readonly uncovered: number
  /** What is missing between entries, where gaps are allowed. */
  readonly gaps: number
  /** What is wrong; the others are consequences as often as not. */
  readonly finding: Finding | null
}

interface ChainReport {
  readonly environment: string
  readonly entries: number
  readonly firstId: number
  readonly lastId: number
}

/** `store`: every environment is there; `export`: one; `selection`: entries by some filter, with gaps. */
export type Scope = 'store' | 'export' | 'selection'

interface Chain {
  entries: number
  readonly firstId: number
  readonly firstPrevious: Buffer
  lastId: number
  readonly lastHash: Buffer
}

/** What a signed checkpoint says of one chain. */
interface Claim {
  readonly environment: string
  readonly time: string
  readonly lastId: number
  readonly lastHash: Buffer
  readonly anchorId: number
  readonly anchorHash: Buffer
}

const environmentKey = Buffer.from(',"environment":"')
const QUOTE = 0x22

export class Verifier {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #scope: Scope
  readonly #chains = new Map<string, Chain>()
  /** Claims about an entry that is still to come, by its id. */
  readonly #claims = new Map<number, Claim[]>()
  /** Of the newest checkpoint, by environment. */
  readonly #newest = new Map<string, Claim>()
  #newestSequence = 0
  #checkpoints = 0
  #entries = 0
  #uncovered = 0
  #gaps = 0
  #lastId = 0
  #finding: Finding | null = null

  constructor(keys: ReadonlyMap<string, KeyObject>, scope: Scope) {
    this.#keys = keys
    this.#scope = scope
  }

  #found(id: number | null, message: string): void {
    this.#finding ??= { id, message }
  }

  /** A checkpoint as it is stored. */
  checkpoint(text: string): void {
    const cut = text.lastIndexOf(',"signature":"')
    const signature = cut === -1 ? '' : text.slice(cut + 14, -2)
    const json = `${text.slice(0, cut)}}`
    let said: Checkpoint
    try {
      said = JSON.parse(json) as Checkpoint
    } catch {
      return this.#found(null, 'a checkpoint is not valid JSON')
    }
    const name = `the checkpoint of ${said.time}`
    const key = this.#keys.get(said.key_id)
    if (key === undefined) return this.#found(null, `${name} is signed with the unknown key ${said.key_id}`)
    const valid = crypto.verify(null, checkpointBytes(json), key, Buffer.from(signature, 'base64url'))
    if (!valid) return this.#found(null, `the signature of ${name} does not hold`)
    this.#checkpoints += 1
    for (const [environment, state] of Object.entries(said.environments)) {
      const claim = {
        environment,
        time: said.time,
        lastId: state.last_id,
        lastHash: Buffer.from(state.last_hash, 'hex'),
        anchorId: state.anchor_id,
        anchorHash: Buffer.from(state.anchor_hash, 'hex'),
      }
      this.#expect(claim)
      if (said.sequence >= this.#newestSequence) this.#newest.set(environment, claim)
    }
    this.#newestSequence = Math.max(this.#newestSequence, said.sequence)
  }

  #expect(claim: Claim): void {
    const known = this.#claims.get(claim.lastId)
    if (known === undefined) this.#claims.set(claim.lastId, [claim])
    else known.push(claim)
  }

  #rewritten(id: number, time: string): void {
    this.#found(
      id,
      `is not the one that the checkpoint of ${time} signed: it or an earlier one was rewritten`,
    )
  }

  /** A line that is neither an entry nor a checkpoint. */
  unreadable(line: number): void {
    this.#found(null, `line ${line} is neither an entry nor a checkpoint`)
  }

  /** The next entry as it is stored: prev_hash, hash, payload. Its first 64 bytes are written over. */
  entry(id: number, stored: Buffer): void {
    this.#entries += 1
    if (id <= this.#lastId) this.#found(id, `must have an id above the one before it, ${this.#lastId}`)
    this.#lastId = id
    const environment = environmentOf(stored)
    if (environment === null) return this.#found(id, 'has no workspace.environment')
    const chain = this.#follow(environment, id, stored)
    if (!hashFits(id, stored)) return this.#found(id, 'was altered: its hash does not fit its content')
    if (id > (this.#newest.get(environment)?.lastId ?? 0)) this.#uncovered += 1
    const claims = this.#claims.get(id)
    if (claims === undefined) return
    this.#claims.delete(id)
    for (const { environment: of, lastHash, time } of claims) {
      if (of !== environment || !lastHash.equals(chain.lastHash)) this.#rewritten(id, time)
    }
  }

  #follow(environment: string, id: number, stored: Buffer): Chain {
    const chain = this.#chains.get(environment)
    if (chain === undefined) {
      const firstPrevious = Buffer.from(stored.subarray(0, HASH_BYTES))
      const lastHash = Buffer.from(stored.subarray(HASH_BYTES, HEAD_BYTES))
      const begun = { entries: 1, firstId: id, firstPrevious, lastId: id, lastHash }
      this.#chains.set(environment, begun)
      return begun
    }
    if (stored.compare(chain.lastHash, 0, HASH_BYTES, 0, HASH_BYTES) !== 0) {
      this.#gaps += 1
      const before = `the entry before it in ${environment}, ${chain.lastId}`
      if (this.#scope !== 'selection')
        this.#found(id, `does not follow ${before}: something is missing`)
    }
    chain.entries += 1
    chain.lastId = id
    stored.copy(chain.lastHash, 0, HASH_BYTES, HEAD_BYTES)
    return chain
  }

  /** After the last entry. */
  verdict(): Verdict {
    if (this.#scope !== 'selection') this.#checkWhole()
    return {
      entries: this.#entries,
      chains: [...this.#chains].map(([environment, { entries, firstId, lastId }]) => ({
        environment,
        entries,
        firstId,
        lastId,
      })),
      checkpoints: this.#checkpoints,
      uncovered: this.#uncovered,
      gaps: this.#gaps,
      finding: this.#finding,
    }
  }

  #checkWhole(): void {
    for (const [environment, chain] of this.#chains) this.#checkEnds(environment, chain)
    if (this.#scope === 'export') {
      if (this.#entries > 0 && this.#checkpoints === 0)
        this.#found(null, 'there is no checkpoint: entries that were cut off at the end would not show')
      return
    }
    for (const [environment, { lastId, anchorId, time }] of this.#newest) {
      if (this.#chains.has(environment) || lastId <= anchorId) continue
      this.#found(
        null,
        `no entry of ${environment} is left, the checkpoint of ${time} signed them up to ${lastId}`,
      )
    }
  }

  #checkEnds(environment: string, { firstId, firstPrevious, lastId }: Chain): void {
    const claim = this.#newest.get(environment)
    if (!firstPrevious.equals(claim?.anchorHash ?? genesis)) {
      this.#found(firstId, `is the first of ${environment}, but entries before it are missing`)
    }
    if (claim === undefined || claim.lastId <= lastId) return
    const signed = `the checkpoint of ${claim.time} signed entries up to ${claim.lastId}`
    this.#found(lastId, `is the last of ${environment}, but ${signed}: the log was cut off`)
  }
}

/** Public keys by their id, from a JWKS (RFC 7517 §5). Throws what is wrong with it. */
export function readKeys(jwks: string): Map<string, KeyObject> {
  const { keys } = JSON.parse(jwks) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('must be a JWKS: an object with a list of keys')
  return new Map(
    (keys as (crypto.JsonWebKeyInput['key'] & { kid?: string })[]).map((jwk) => [
      jwk.kid ?? '',
      crypto.createPublicKey({ key: jwk, format: 'jwk' }),
    ]),
  )
}

/**
 * The workspace's environment. The key order is fixed, and inside a JSON string the quote behind the comma
 * would stand behind a backslash: the first match is the key itself.
 */
function environmentOf(stored: Buffer): string | null {
  const at = stored.indexOf(environmentKey, HEAD_BYTES)
  if (at === -1) return null
  const from = at + environmentKey.length
  const to = stored.indexOf(QUOTE, from)
  return to === -1 ? null : stored.toString('latin1', from, to)
}
