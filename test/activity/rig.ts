/** Activity logs for tests: a store of its own, entries made from a seed, and a plain check of the bytes. */
import { createPublicKey, type JsonWebKeyInput, verify } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { open } from 'lmdb'
import { expect } from 'vitest'
import type { NewActivity } from '../../src/contract/activity.ts'
import { type EnvironmentName, environments } from '../../src/contract/environments.ts'
import {
  type ChainState,
  type Checkpoint,
  checkpointBytes,
  databases,
  emptyChain,
  HASH_BYTES,
  hashFits,
  HEAD_BYTES,
} from '../../src/store/activity/format.ts'
import { Store } from '../../src/store/store.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'

/** A store that is closed at the end of the test, or before by the test itself. */
export function openStore(folder: string): Store {
  const store = new Store(folder)
  onEnd(() => store.close())
  return store
}

export async function newStore(): Promise<{ folder: string; store: Store }> {
  const folder = await tempDir()
  return { folder, store: openStore(folder) }
}

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function activity(over: Partial<NewActivity> & { environment?: EnvironmentName } = {}): NewActivity {
  const { environment = 'dev', ...rest } = over
  return {
    event_type: 'user_login',
    workspace: { id: 12345, name: 'Alex', email: 'alex@example.com', environment },
    user: { id: 12345, name: 'Alex', email: 'alex@example.com' },
    details: { request: { ip_address: '192.0.2.1', user_agent: 'curl/8' }, activity: 'password_login' },
    resource: { id: 12345, name: 'Alex', type: 'Workspace' },
    ...rest,
  }
}

interface Raw {
  readonly entries: Map<number, Buffer>
  readonly chains: Map<EnvironmentName, ChainState>
  readonly checkpoints: string[]
}

/** What is on the disk, read without the code under test; the store must be closed. */
async function readRaw(folder: string): Promise<Raw> {
  const env = open({ path: join(folder, 'store'), maxDbs: 32 })
  const entries = env.openDB<Buffer, number>({ name: databases.entries, encoding: 'binary' })
  const chains = env.openDB<string, EnvironmentName>({ name: databases.chains, encoding: 'string' })
  const checkpoints = env.openDB<string, number>({ name: databases.checkpoints, encoding: 'string' })
  const raw = {
    entries: new Map([...entries.getRange()].map(({ key, value }) => [key, Buffer.from(value)])),
    chains: new Map(
      environments.map((name) => {
        const text = chains.get(name)
        return [name, text === undefined ? emptyChain : (JSON.parse(text) as ChainState)]
      }),
    ),
    checkpoints: [...checkpoints.getRange()].map(({ value }) => value),
  }
  await env.close()
  return raw
}

/** Every chain holds from its anchor to its end, and every checkpoint is signed; ids that stand. */
export async function expectIntact(folder: string): Promise<number[]> {
  const { entries, chains, checkpoints } = await readRaw(folder)
  const seen = new Map([...chains].map(([name, { anchor_hash }]) => [name, { count: 0, tail: anchor_hash }]))
  for (const [id, value] of entries) {
    const payload = value.subarray(HEAD_BYTES)
    const { id: own, workspace } = JSON.parse(payload.toString()) as {
      id: number
      workspace: { environment: EnvironmentName }
    }
    expect(own).toBe(id)
    const chain = seen.get(workspace.environment)
    expect(value.toString('hex', 0, HASH_BYTES), `prev_hash of ${id}`).toBe(chain?.tail)
    const hash = value.subarray(HASH_BYTES, HEAD_BYTES)
    expect(hashFits(id, Buffer.from(value)), `hash of ${id}`).toBe(true)
    seen.set(workspace.environment, { count: (chain?.count ?? 0) + 1, tail: hash.toString('hex') })
  }
  for (const [name, state] of chains) {
    expect({ entries: state.entries, last_hash: state.last_hash }, name).toEqual({
      entries: seen.get(name)?.count,
      last_hash: seen.get(name)?.tail,
    })
  }
  await expectSigned(folder, checkpoints)
  return [...entries.keys()]
}

async function expectSigned(folder: string, checkpoints: readonly string[]): Promise<void> {
  const jwks = JSON.parse(await readFile(join(folder, 'audit-jwks.json'), 'utf8')) as {
    keys: (JsonWebKeyInput['key'] & { kid: string })[]
  }
  for (const text of checkpoints) {
    const { key_id, signature } = JSON.parse(text) as Checkpoint & { signature: string }
    const jwk = jwks.keys.find(({ kid }) => kid === key_id)
    const key = createPublicKey({ key: jwk ?? {}, format: 'jwk' })
    const signed = checkpointBytes(text.replace(/,"signature":"[\w-]{86}"\}$/, '}'))
    expect(verify(null, signed, key, Buffer.from(signature, 'base64url')), text).toBe(true)
  }
}

/** Checkpoints on the disk; the store must be closed. */
export async function checkpointsOf(folder: string): Promise<Checkpoint[]> {
  const { checkpoints } = await readRaw(folder)
  return checkpoints.map((text) => JSON.parse(text) as Checkpoint)
}
