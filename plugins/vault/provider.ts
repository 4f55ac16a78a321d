/** Reads secrets from the KV engines of HashiCorp Vault, versions 1 and 2, with a token or an AppRole. */
import {
  answerFailure,
  createSecretsHttp,
  defineProvider,
  SecretError,
  type SecretName,
  secretObject,
  secretValue,
  Type,
} from 'mirrorgate/plugin'
import { type Ask, credentialsRule, VaultTokens } from './tokens.ts'

const text = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description })

/** Engines that are remembered; beyond it they are looked up again. */
const enginesMax = 256

/** Where a secret is: its engine without slashes at the ends, and its name in it. */
interface Place {
  readonly engine: string
  readonly name: string
  readonly version: number
}

export default defineProvider({
  name: 'vault',
  summary: 'Reads secrets from HashiCorp Vault: KV engines of version 1 and 2, with a token or an AppRole.',
  options: Type.Object(
    {
      address: Type.String({
        pattern: '^https?://[^/?#]+[^?#]*$',
        rule: 'must be an absolute http or https URL',
        description: 'Address of Vault, as VAULT_ADDR: https://vault.example.com:8200.',
      }),
      namespace: Type.Optional(text('Namespace that the secrets are in.')),
      token: Type.Optional(text('Token to read with; renewed for as long as Vault allows.')),
      role_id: Type.Optional(text('AppRole to sign in with, instead of a token.')),
      secret_id: Type.Optional(text('Secret id of the AppRole.')),
      approle_path: Type.String({
        default: 'approle',
        minLength: 1,
        description: 'Where the AppRole method is mounted.',
      }),
      kv_version: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 2,
          description: 'Version of the engines; if absent, Vault is asked.',
        }),
      ),
      ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    },
    { additionalProperties: false },
  ),
  secretOptions: ['token', 'secret_id'],
  pathOptions: ['ca_file'],
  rule: credentialsRule,
  workato(reference) {
    const [, key, engine, name] = /^([^:]+):([^:]+):(.+)$/.exec(reference) ?? []
    if (key === undefined || engine === undefined || name === undefined)
      return { rule: 'must be KEY:ENGINE:SECRET' }
    return { path: `${engine}/${name}`, key }
  },
  create(own) {
    const http = createSecretsHttp({ caFile: own.ca_file })
    const base = own.address.replace(/(?<!\/)\/+$/, '')
    const host = URL.canParse(base) ? new URL(base).host : base
    const ask: Ask = (method, path, { token, body, signal }) => {
      const headers = new Headers({ 'x-vault-request': 'true' })
      if (token !== undefined) headers.set('x-vault-token', token)
      if (own.namespace !== undefined) headers.set('x-vault-namespace', own.namespace)
      const sent = body === undefined ? null : JSON.stringify(body)
      return http.fetch(`${base}/v1/${path}`, { method, headers, body: sent, signal: signal ?? null })
    }
    const tokens = new VaultTokens(own, ask, host)
    const reader = new VaultReader(ask, host, own.kv_version)
    return {
      async read(name, signal) {
        const token = await tokens.get(signal)
        try {
          return await reader.read(name, token, signal)
        } catch (error) {
          // An expired token is refused like a missing permission: one new sign-in tells them apart.
          if (!(error instanceof SecretError && error.kind === 'denied' && tokens.drop(token))) throw error
          return await reader.read(name, await tokens.get(signal), signal)
        }
      },
      close() {
        tokens.close()
        http.close()
      },
    }
  },
})

class VaultReader {
  readonly #ask: Ask
  readonly #host: string
  readonly #version: number | undefined
  readonly #engines = new Map<string, number>()

  constructor(ask: Ask, host: string, version: number | undefined) {
    this.#ask = ask
    this.#host = host
    this.#version = version
  }

  async read(name: SecretName, token: string, signal: AbortSignal): Promise<string> {
    const place = await this.#place(name.path, token, signal)
    const versioned = place.version === 2
    const path = `${place.engine}/${versioned ? 'data/' : ''}${place.name}`
    const answer = await this.#ask('GET', encoded(path), { token, signal })
    if (answer.status === 404) {
      const what = versioned ? 'no secret, or its newest version is deleted' : 'no secret'
      throw answerFailure(answer, this.#host, `there is ${what} at ${path}`)
    }
    if (answer.status !== 200)
      throw answerFailure(answer, this.#host, `a policy of the token must allow to read ${path}`)
    const data = asObject(secretObject(await answer.text())?.['data'])
    const fields = versioned ? asObject(data?.['data']) : data
    if (fields === null)
      throw new SecretError('unavailable', `${this.#host} answered with something else than a secret`)
    return secretValue(JSON.stringify(fields), name)
  }

  async #place(path: string, token: string, signal: AbortSignal): Promise<Place> {
    const segments = path.split('/')
    if (segments.length < 2 || segments.some((segment) => /^\.{0,2}$/.test(segment)))
      throw new SecretError('not_found', `the path must be ENGINE/NAME, got ${path}`)
    const [first = ''] = segments
    if (this.#version !== undefined)
      return { engine: first, name: path.slice(first.length + 1), version: this.#version }
    const known = [...this.#engines.keys()].find((engine) => path.startsWith(`${engine}/`))
    const engine = known ?? (await this.#lookUp(path, token, signal))
    return { engine, name: path.slice(engine.length + 1), version: this.#engines.get(engine) ?? 1 }
  }

  /** The engine of a path, as the vault command finds it before each read; its name may hold slashes. */
  async #lookUp(path: string, token: string, signal: AbortSignal): Promise<string> {
    const answer = await this.#ask('GET', `sys/internal/ui/mounts/${encoded(path)}`, { token, signal })
    const hint = `the token may see no engine at ${path}: check the name and its policies, or set kv_version`
    if (answer.status !== 200) throw answerFailure(answer, this.#host, hint)
    const data = asObject(secretObject(await answer.text())?.['data'])
    const engine = String(data?.['path'] ?? '').replace(/(?<!\/)\/+$/, '')
    if (engine === '' || !path.startsWith(`${engine}/`))
      throw new SecretError('unavailable', `${this.#host} answered with something else than an engine`)
    if (this.#engines.size >= enginesMax) this.#engines.clear()
    this.#engines.set(engine, asObject(data?.['options'])?.['version'] === '2' ? 2 : 1)
    return engine
  }
}

function asObject(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
}

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}
