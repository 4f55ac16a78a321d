/**
 * A fake of HashiCorp Vault with its published HTTP API: KV v1 and v2, token and AppRole sign-in, namespaces,
 * the look-up of mounts that its own command line does.
 */
import { randomUUID } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from './service.ts'

interface Token {
  expires: number
  readonly renewable: boolean
}

export interface FakeVault extends Service {
  readonly credentials: { readonly token: string; readonly roleId: string; readonly secretId: string }
  /** Secrets by `<mount>/<path>`; a string stands for a deleted version. */
  readonly secrets: Map<string, Record<string, unknown> | 'deleted'>
  readonly mounts: Map<string, 1 | 2>
  /** `<mount>/<path>` that no policy allows to read. */
  readonly denied: Set<string>
  /** Tokens that are valid; ends one by deleting it. */
  readonly tokens: Map<string, Token>
  /** Lease of tokens that are handed out or renewed from now on. */
  lease_seconds: number
  /** Whether they may be renewed. */
  renewable: boolean
  /** Requests with a token that is not valid. */
  refused: number
  namespace: string | null
}

const permissionDenied: Reply = { status: 403, body: { errors: ['permission denied'] } }

export async function startVault(): Promise<FakeVault> {
  const credentials = {
    token: `hvs.${randomUUID()}`,
    roleId: randomUUID(),
    secretId: `secret-${randomUUID()}`,
  }
  const service = await startService((asked) => answer(vault, asked))
  const vault: FakeVault = Object.assign(service, {
    credentials,
    secrets: new Map(),
    mounts: new Map<string, 1 | 2>([['kv', 2]]),
    denied: new Set<string>(),
    tokens: new Map([[credentials.token, { expires: Number.POSITIVE_INFINITY, renewable: true }]]),
    lease_seconds: 3600,
    renewable: true,
    refused: 0,
    namespace: null,
  })
  return vault
}

function answer(vault: FakeVault, asked: Asked): Reply {
  const path = decodeURIComponent(asked.url.pathname).replace(/^\/v1\//, '')
  const inNamespace = (asked.headers['x-vault-namespace'] ?? null) === vault.namespace
  if (path === 'auth/approle/login') return inNamespace ? login(vault, asked) : permissionDenied
  const name = String(asked.headers['x-vault-token'])
  const token = vault.tokens.get(name)
  if (!inNamespace || token === undefined || token.expires < Date.now()) {
    vault.refused += 1
    return permissionDenied
  }
  if (path === 'auth/token/lookup-self') {
    const ttl = token.expires === Number.POSITIVE_INFINITY ? 0 : (token.expires - Date.now()) / 1000
    return { status: 200, body: { data: { ttl: Math.round(ttl), renewable: token.renewable } } }
  }
  if (path === 'auth/token/renew-self' && asked.method === 'POST') {
    if (!token.renewable) return { status: 400, body: { errors: ['lease is not renewable'] } }
    token.expires = Date.now() + vault.lease_seconds * 1000
    return { status: 200, body: { auth: authOf(vault, name, token) } }
  }
  if (asked.method !== 'GET') return { status: 405, body: { errors: ['unsupported operation'] } }
  const preflight = /^sys\/internal\/ui\/mounts\/(.+)$/.exec(path)?.[1]
  return preflight === undefined ? read(vault, path) : mount(vault, preflight)
}

function authOf(vault: FakeVault, name: string, { renewable }: Token): Record<string, unknown> {
  return { client_token: name, lease_duration: vault.lease_seconds, renewable, token_type: 'service' }
}

function login(vault: FakeVault, { method, body }: Asked): Reply {
  const { role_id, secret_id } = JSON.parse(body) as Record<string, string>
  const known = role_id === vault.credentials.roleId && secret_id === vault.credentials.secretId
  if (method !== 'POST' || !known) return { status: 400, body: { errors: ['invalid role or secret ID'] } }
  const name = `hvs.${randomUUID()}`
  const token = { expires: Date.now() + vault.lease_seconds * 1000, renewable: vault.renewable }
  vault.tokens.set(name, token)
  return { status: 200, body: { auth: authOf(vault, name, token) } }
}

function mountOf(vault: FakeVault, path: string): string | undefined {
  return [...vault.mounts.keys()].find((name) => path.startsWith(`${name}/`))
}

function mount(vault: FakeVault, path: string): Reply {
  const name = mountOf(vault, path)
  if (name === undefined || vault.denied.has(path)) {
    const errors = [`preflight capability check returned 403, please ensure client's policies grant access`]
    return { status: 403, body: { errors } }
  }
  const options = { version: String(vault.mounts.get(name)) }
  return { status: 200, body: { data: { path: `${name}/`, type: 'kv', options } } }
}

function read(vault: FakeVault, path: string): Reply {
  const name = mountOf(vault, path) ?? ''
  const version = vault.mounts.get(name)
  const rest = path.slice(name.length + 1)
  if (version === 2 && !rest.startsWith('data/')) {
    return {
      status: 404,
      body: { errors: [], warnings: ['Invalid path for a versioned K/V secrets engine'] },
    }
  }
  const key = version === 2 ? `${name}/${rest.slice('data/'.length)}` : path
  if (vault.denied.has(key) || version === undefined) return permissionDenied
  const data = vault.secrets.get(key)
  if (data === undefined) return { status: 404, body: { errors: [] } }
  const metadata = {
    version: 3,
    deletion_time: data === 'deleted' ? '2026-11-01T08:00:00Z' : '',
    destroyed: false,
  }
  if (data === 'deleted') return { status: 404, body: { data: { data: null, metadata } } }
  return { status: 200, body: { data: version === 2 ? { data, metadata } : data } }
}
