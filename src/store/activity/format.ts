/**
 * The byte format of the activity log: what an entry's payload and hash are made of, how it stands in the
 * store and in an export, and what a checkpoint signs. A verifier needs nothing but this file and a key.
 *
 * Value of an entry in the database `activity`, under its id:
 *
 * ```
 *  0         32        64
 *  │prev_hash│  hash   │ payload: the entry as UTF-8 JSON …                        │
 *
 *  hash = SHA-256( prev_hash ‖ id as 8 bytes, big endian ‖ payload )
 *  prev_hash = hash of the previous entry of the same environment; 32 zero bytes for the first
 * ```
 *
 * The payload is one line without spaces between tokens, its keys in this order: `id`, `timestamp` (ISO 8601
 * in UTC with milliseconds), `event_type`, `workspace` {`id`, `name`, `email`, `environment`}, `user` {`id`,
 * `name`, `email`}, `details` {`request` {`ip_address`, `user_agent`}, `activity`, then others as given},
 * `resource` {`id`, `name`, `type`, then others as given}. The hash covers these bytes: nobody ever has to
 * write an entry again to check it.
 */
import crypto from 'node:crypto'
import type { Activity, ChainedActivity, NewActivity } from '../../contract/activity.ts'
import type { EnvironmentName } from '../../contract/environments.ts'

/** Names of the databases in the environment of the store, with their keys and values. */
export const databases = Object.freeze({
  /** id (number) → prev_hash ‖ hash ‖ payload. */
  entries: 'activity',
  /** name of an environment → JSON of a `ChainState`. */
  chains: 'activity_chains',
  /** sequence number → text of a signed checkpoint. */
  checkpoints: 'activity_checkpoints',
})

export const HASH_BYTES = 32
/** Where the payload begins in a stored entry. */
export const HEAD_BYTES = 2 * HASH_BYTES
/** `prev_hash` of the first entry of an environment. */
export const genesis: Buffer = Buffer.alloc(HASH_BYTES)

/** One environment's chain: what was removed of it, what stands, where it ends. Hashes in hex. */
export interface ChainState {
  /** The last entry that retention removed, and its hash; 0 and zeros when none was. */
  readonly anchor_id: number
  readonly anchor_hash: string
  /** How many entries retention removed. */
  readonly removed: number
  /** The first entry that stands; 0 when none does. */
  readonly first_id: number
  /** The newest entry that was ever appended. */
  readonly last_id: number
  readonly last_hash: string
  /** How many entries stand. */
  readonly entries: number
}

export const emptyChain: ChainState = Object.freeze({
  anchor_id: 0,
  anchor_hash: genesis.toString('hex'),
  removed: 0,
  first_id: 0,
  last_id: 0,
  last_hash: genesis.toString('hex'),
  entries: 0,
})

/** What a checkpoint states. */
export interface Checkpoint {
  /** Ascending from 1 without gaps; old ones are thinned out. */
  readonly sequence: number
  /** ISO 8601 with milliseconds. */
  readonly time: string
  /** `kid` of the key in the JWKS. */
  readonly key_id: string
  readonly environments: Readonly<Partial<Record<EnvironmentName, ChainState>>>
}

/** The payload of an entry from its second key on; its id, which comes first, is known only later. */
export function payloadRest(entry: NewActivity, timestamp: number): string {
  const { event_type, workspace, user, details, resource } = entry
  const { request, activity, ...otherDetails } = details
  const { id, name, type, ...otherFields } = resource
  const ordered = {
    event_type,
    workspace: {
      id: workspace.id,
      name: workspace.name,
      email: workspace.email,
      environment: workspace.environment,
    },
    user: { id: user.id, name: user.name, email: user.email },
    details: {
      ...(request === undefined
        ? {}
        : { request: { ip_address: request.ip_address, user_agent: request.user_agent } }),
      ...(activity === undefined ? {} : { activity }),
      ...otherDetails,
    },
    resource: { id, name, type, ...otherFields },
  }
  return `,"timestamp":"${new Date(timestamp).toISOString()}",${JSON.stringify(ordered).slice(1)}`
}

/** A stored entry: chained to `previous`, its hash computed. */
export function storedEntry(id: number, previous: Buffer, rest: string): Buffer {
  const payload = `{"id":${id}${rest}`
  const value = Buffer.allocUnsafe(HEAD_BYTES + Buffer.byteLength(payload))
  value.write(payload, HEAD_BYTES)
  // First the bytes to be hashed (prev_hash ‖ id ‖ payload), right-aligned; then the head as it is stored.
  value.writeBigUInt64BE(BigInt(id), HEAD_BYTES - 8)
  previous.copy(value, HEAD_BYTES - 8 - HASH_BYTES)
  const hash = hashOfBytes(value.subarray(HEAD_BYTES - 8 - HASH_BYTES))
  previous.copy(value, 0)
  value.write(hash, HASH_BYTES, 'hex')
  return value
}

/** Whether the hash of a stored entry is right. Writes over its first 64 bytes, so that nothing is copied. */
export function hashFits(id: number, stored: Buffer): boolean {
  const stated = stored.toString('hex', HASH_BYTES, HEAD_BYTES)
  stored.copyWithin(HEAD_BYTES - 8 - HASH_BYTES, 0, HASH_BYTES)
  stored.writeUInt32BE(Math.floor(id / 2 ** 32), HEAD_BYTES - 8)
  stored.writeUInt32BE(id % 2 ** 32, HEAD_BYTES - 4)
  return hashOfBytes(stored.subarray(HEAD_BYTES - 8 - HASH_BYTES)) === stated
}

/** In hex: a digest as a string costs half of one as a buffer. */
function hashOfBytes(bytes: Buffer): string {
  return crypto.hash('sha256', bytes, 'hex')
}

/** Shape of a payload as JSON. */
interface Payload extends Omit<Activity, 'timestamp'> {
  readonly timestamp: string
}

/** The entry as JSON text on one line. */
export function payloadOf(value: Buffer): string {
  return value.toString('utf8', HEAD_BYTES)
}

export function parseEntry(value: Buffer): ChainedActivity {
  const payload = JSON.parse(payloadOf(value)) as Payload
  return {
    ...payload,
    timestamp: Date.parse(payload.timestamp),
    prev_hash: value.toString('hex', 0, HASH_BYTES),
    hash: value.toString('hex', HASH_BYTES, HEAD_BYTES),
  }
}

/**
 * One line of an export, without its newline: the payload with `,"prev_hash":"<hex>","hash":"<hex>"}` in
 * place of its last brace. Without these last bytes, and with the brace back, it is the payload again.
 */
export function exportLine(value: Buffer): string {
  const payload = value.toString('utf8', HEAD_BYTES, value.length - 1)
  return payload + exportTail(value.subarray(0, HASH_BYTES), value.subarray(HASH_BYTES, HEAD_BYTES))
}

function exportTail(previous: Buffer, hash: Buffer): string {
  return `,"prev_hash":"${previous.toString('hex')}","hash":"${hash.toString('hex')}"}`
}

/** Characters of what an export line has in place of the payload's last brace. */
export const EXPORT_TAIL_CHARS: number = exportTail(genesis, genesis).length

/** What the signature of a checkpoint covers: this line, then the checkpoint as JSON. */
const checkpointDomain = 'mirrorgate activity checkpoint v1\n'

export function checkpointBytes(checkpointJson: string): Buffer {
  return Buffer.from(checkpointDomain + checkpointJson)
}

/**
 * A checkpoint as it is stored: its JSON with `,"signature":"<base64url>"}` in place of the last brace. In an
 * export it stands as a line of its own: `{"checkpoint":<this>}`.
 */
export function signedCheckpoint(checkpoint: Checkpoint, privateKey: crypto.KeyObject): string {
  const json = JSON.stringify(checkpoint)
  const signature = crypto.sign(null, checkpointBytes(json), privateKey)
  return `${json.slice(0, -1)},"signature":"${signature.toString('base64url')}"}`
}

/** The fields of an entry that can be filtered by, as the indexes hold them. */
export interface IndexedFields {
  readonly timestamp: number
  readonly environment: EnvironmentName
  readonly event_type: string
  readonly resource_type: string
  readonly user: string
}

/** Type filters ignore case. */
export function folded(type: string): string {
  return type.toLowerCase()
}

export function indexedFields(
  {
    event_type,
    workspace,
    resource,
    user,
  }: Pick<NewActivity, 'event_type' | 'workspace' | 'resource' | 'user'>,
  timestamp: number,
): IndexedFields {
  return {
    timestamp,
    environment: workspace.environment,
    event_type: folded(event_type),
    resource_type: folded(resource.type),
    user: String(user.id),
  }
}
