/** Reads secrets of Azure Key Vault, with client credentials, a managed identity or what the machine has. */
import type { TokenCredential } from '@azure/identity'
import type { SecretClient, SecretClientOptions } from '@azure/keyvault-secrets'
import {
  answerFailure,
  createSecretsHttp,
  defineProvider,
  SecretError,
  type SecretsHttp,
  secretValue,
  Type,
  untilAborted,
  wrappedSecretError,
} from 'mirrorgate/plugin'

type HttpClient = NonNullable<SecretClientOptions['httpClient']>

const text = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description })

const address = (description: string) =>
  Type.String({ pattern: '^https://[^/?#]+/?$', rule: 'must be an https URL without a path', description })

export default defineProvider({
  name: 'azure-key-vault',
  summary: 'Reads secrets of Azure Key Vault by name.',
  options: Type.Object(
    {
      vault_url: address('Address of the vault: https://NAME.vault.azure.net.'),
      tenant_id: Type.Optional(text('Tenant of the application that signs in.')),
      client_id: Type.Optional(text('The application; alone, a user-assigned managed identity.')),
      client_secret: Type.Optional(text('Its secret.')),
      authority_host: Type.Optional(
        address('Who signs in, in other clouds: https://login.microsoftonline.us.'),
      ),
      verify_vault_host: Type.Boolean({
        default: true,
        description:
          'Whether vault_url must be in the domain that Azure signs in to; false is for emulators.',
      }),
      ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    },
    { additionalProperties: false },
  ),
  secretOptions: ['client_secret'],
  pathOptions: ['ca_file'],
  rule: credentialsRule,
  workato(reference) {
    return /^[0-9A-Za-z-]{1,127}$/.test(reference)
      ? { path: reference, key: null }
      : { rule: 'must be SECRET_NAME' }
  },
  create(own) {
    const rule = credentialsRule(own)
    if (rule !== null) throw new SecretError('denied', rule)
    const http = createSecretsHttp({ caFile: own.ca_file })
    let opened: Promise<SecretClient> | null = null
    const get = async (path: string, signal: AbortSignal) => {
      const [, name, version] = /^([0-9A-Za-z-]{1,127})(?:\/([0-9a-f]{32}))?$/.exec(path) ?? []
      if (name === undefined)
        throw new SecretError(
          'not_found',
          'the path must be NAME or NAME/VERSION, with letters, digits and dashes',
        )
      const client = await (opened ??= open(own, http))
      return client.getSecret(name, { abortSignal: signal, ...(version !== undefined && { version }) })
    }
    return {
      async read(name, signal) {
        const found = await untilAborted(get(name.path, signal), signal).catch((error: unknown) => {
          throw failure(error)
        })
        if (typeof found.value !== 'string')
          throw new SecretError('unavailable', 'Azure answered without the value of a secret')
        return secretValue(found.value, name)
      },
      close: http.close,
    }
  },
})

interface Options {
  readonly vault_url: string
  readonly tenant_id?: string
  readonly client_id?: string
  readonly client_secret?: string
  readonly authority_host?: string
  readonly verify_vault_host: boolean
  readonly ca_file?: string
}

/** All three are an application, `client_id` alone a managed identity. */
function credentialsRule({ tenant_id, client_id, client_secret }: Options): string | null {
  const fits =
    client_secret === undefined ? tenant_id === undefined : tenant_id !== undefined && client_id !== undefined
  return fits ? null : 'must have tenant_id, client_id and client_secret together'
}

async function open(own: Options, http: SecretsHttp): Promise<SecretClient> {
  const { SecretClient } = await import('@azure/keyvault-secrets')
  // The host decides when to try again, and never follows a redirect.
  const pipeline = { retryOptions: { maxRetries: 0 }, redirectOptions: { maxRetries: 0 } }
  return new SecretClient(own.vault_url, await credentialOf(own, http, pipeline), {
    ...pipeline,
    httpClient: clientOver(http, () => undefined),
    disableChallengeResourceVerification: !own.verify_vault_host,
  })
}

/** How requests to sign in ended: the SDK's own errors are not used, they quote what they were answered. */
interface SigningIn {
  readonly http: SecretsHttp
  /** Status of the last answer, or why there was none; 0 when nothing was asked. */
  last: number | SecretError
}

/**
 * By ca_file, and never closed: the SDK signs the machine in with the client that it was given first, as
 * long as the process lives, whichever provider asks.
 */
const machines = new Map<string | undefined, SigningIn>()

function machineOf(caFile: string | undefined): SigningIn {
  const known = machines.get(caFile)
  const machine = known ?? { http: createSecretsHttp({ caFile }), last: 0 }
  if (known === undefined) machines.set(caFile, machine)
  return machine
}

async function credentialOf(own: Options, http: SecretsHttp, pipeline: object): Promise<TokenCredential> {
  const { ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential } = await import(
    '@azure/identity'
  )
  const { tenant_id, client_id, client_secret, authority_host, ca_file } = own
  const application = tenant_id !== undefined && client_secret !== undefined
  const signing: SigningIn = application ? { http, last: 0 } : machineOf(ca_file)
  const options = {
    ...pipeline,
    httpClient: clientOver(signing.http, (outcome) => {
      signing.last = outcome
    }),
    ...(authority_host !== undefined && { authorityHost: authority_host, disableInstanceDiscovery: true }),
  }
  const make = () => {
    if (application) return new ClientSecretCredential(tenant_id, client_id ?? '', client_secret, options)
    if (client_id !== undefined) return new ManagedIdentityCredential({ clientId: client_id, ...options })
    return new DefaultAzureCredential(options)
  }
  const credential = make()
  return {
    getToken: (scopes, about) =>
      credential
        .getToken(scopes, about)
        .catch(() => Promise.reject(signInFailure(signing.last, application))),
  }
}

function signInFailure(last: SigningIn['last'], application: boolean): SecretError {
  if (last instanceof SecretError) return last
  const check = application
    ? 'check tenant_id, client_id and client_secret'
    : 'set tenant_id, client_id and client_secret, or give this machine an identity'
  if (last > 0 && last < 400)
    return new SecretError('unavailable', `signing in to Azure: it answered ${last} without a token`)
  return new SecretError(
    'denied',
    `signing in to Azure was refused${last === 0 ? '' : ` (${last})`}: ${check}`,
  )
}

/** The SDK's requests over the host's client. */
function clientOver(http: SecretsHttp, ended: (outcome: number | SecretError) => void): HttpClient {
  return {
    async sendRequest(request) {
      const { url, method, body = null } = request
      try {
        const answer = await http.fetch(url, {
          method,
          headers: request.headers.toJSON(),
          body: body as string | null,
          signal: (request.abortSignal as AbortSignal | undefined) ?? null,
        })
        // What is no answer to the question: the SDK would read it as one, and lose its status.
        if (answer.status >= 500 || answer.status === 429 || (answer.status >= 300 && answer.status < 400))
          throw answerFailure(answer, new URL(url).host, '')
        ended(answer.status)
        return { request, status: answer.status, headers: headersOf(answer), bodyAsText: await answer.text() }
      } catch (error) {
        if (error instanceof SecretError) ended(error)
        throw error
      }
    },
  }
}

function headersOf({ headers }: Response): Awaited<ReturnType<HttpClient['sendRequest']>>['headers'] {
  return {
    get: (name) => headers.get(name) ?? undefined,
    has: (name) => headers.has(name),
    set: (name, value) => headers.set(name, String(value)),
    delete: (name) => headers.delete(name),
    toJSON: () => Object.fromEntries(headers),
    [Symbol.iterator]: () => headers[Symbol.iterator](),
  }
}

function failure(error: unknown): SecretError {
  const own = wrappedSecretError(error)
  if (own !== null) return own
  const { statusCode: status, message } = error as Error & { statusCode?: number }
  if (status === 404)
    return new SecretError('not_found', 'Azure answered 404: there is no such secret in this vault')
  if (status === 401)
    return new SecretError('denied', 'Azure answered 401: the vault does not accept this sign-in')
  if (status === 403)
    return new SecretError(
      'denied',
      'Azure answered 403: the permission to get secrets is missing, or it is disabled',
    )
  if (status !== undefined && status !== 200)
    return new SecretError('unavailable', `Azure answered ${status}`)
  if (/^The (challenge|request URL must)/.test(message))
    return new SecretError(
      'denied',
      'vault_url must be an https address in the domain that Azure signs in to',
    )
  return new SecretError('unavailable', 'Azure answered with something else than a secret')
}
