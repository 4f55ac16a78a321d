/** Reads secrets of AWS Secrets Manager, by name or ARN, with keys or the credentials of the machine. */
import type { SecretsManagerClient, SecretsManagerClientConfig } from '@aws-sdk/client-secrets-manager'
import {
  createSecretsHttp,
  defineProvider,
  SecretError,
  type SecretsHttp,
  secretText,
  secretValue,
  Type,
  untilAborted,
  wrappedSecretError,
} from 'mirrorgate/plugin'

type Handler = NonNullable<SecretsManagerClientConfig['requestHandler']>
/** What the SDK hands to its HTTP handler. */
interface Outgoing {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | string[] | null>>
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: string | Uint8Array<ArrayBuffer>
}
type Kind = SecretError['kind']

const text = (description: string) => Type.String({ minLength: 1, maxLength: 4096, description })

/** What the errors of AWS mean; what else they say is not repeated, since it comes from outside. */
const meanings: Readonly<Record<string, readonly [Kind, string]>> = {
  ResourceNotFoundException: ['not_found', 'there is no such secret in this region and account'],
  InvalidRequestException: ['not_found', 'the secret is scheduled for deletion'],
  InvalidParameterException: ['not_found', 'the path must be the name or ARN of a secret'],
  ValidationException: ['not_found', 'the path must be the name or ARN of a secret'],
  AccessDeniedException: ['denied', 'secretsmanager:GetSecretValue must be allowed for this secret'],
  DecryptionFailure: ['denied', 'kms:Decrypt must be allowed for the key of this secret'],
  UnrecognizedClientException: ['denied', 'AWS does not know the access key or session token'],
  InvalidSignatureException: ['denied', 'check secret_access_key, region and the clock of this machine'],
  IncompleteSignatureException: ['denied', 'check secret_access_key, region and the clock of this machine'],
  MissingAuthenticationTokenException: ['denied', 'the request had no credentials'],
  ExpiredTokenException: ['denied', 'the credentials have expired'],
  CredentialsProviderError: ['denied', 'no credentials found: set keys, or give this machine a role'],
}

export default defineProvider({
  name: 'aws-secrets-manager',
  summary: 'Reads secrets of AWS Secrets Manager by name or ARN.',
  options: Type.Object(
    {
      region: Type.Optional(
        text('Region of the secrets; if absent, AWS_REGION or the shared configuration.'),
      ),
      access_key_id: Type.Optional(text('Access key; if absent, the credentials of the machine are found.')),
      secret_access_key: Type.Optional(text('Its secret.')),
      session_token: Type.Optional(text('Session token, with temporary credentials.')),
      endpoint: Type.Optional(
        Type.String({
          pattern: '^https?://[^/?#]+/?$',
          rule: 'must be an http or https URL without a path',
          description: 'Another address of the service, such as a VPC endpoint.',
        }),
      ),
      ca_file: Type.Optional(text('PEM file with the certificates to trust instead of the system’s.')),
    },
    { additionalProperties: false },
  ),
  secretOptions: ['secret_access_key', 'session_token'],
  pathOptions: ['ca_file'],
  rule: credentialsRule,
  workato(reference) {
    // An ARN holds colons itself.
    const [, key, path] = /^([^:]+):(arn:[^:]+:secretsmanager:.+)$/.exec(reference) ?? []
    return key === undefined || path === undefined ? { rule: 'must be KEY:SECRET_ARN' } : { path, key }
  },
  create(own) {
    const rule = credentialsRule(own)
    if (rule !== null) throw new SecretError('denied', rule)
    const http = createSecretsHttp({ caFile: own.ca_file })
    let opened: Promise<SecretsManagerClient> | null = null
    const open = async () => {
      const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager')
      return new SecretsManagerClient(configuration(own, http))
    }
    const get = async (path: string, signal: AbortSignal) => {
      const { GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager')
      const client = await (opened ??= open())
      return client.send(new GetSecretValueCommand({ SecretId: path }), { abortSignal: signal })
    }
    return {
      async read(name, signal) {
        const found = await untilAborted(get(name.path, signal), signal).catch((error: unknown) => {
          throw failure(error)
        })
        const value = found.SecretString ?? (found.SecretBinary && secretText(found.SecretBinary))
        if (value === undefined)
          throw new SecretError('unavailable', 'AWS answered without the value of a secret')
        return secretValue(value, name)
      },
      async close() {
        http.close()
        const client = await opened?.catch(() => null)
        client?.destroy()
      },
    }
  },
})

interface Options {
  readonly region?: string
  readonly access_key_id?: string
  readonly secret_access_key?: string
  readonly session_token?: string
  readonly endpoint?: string
}

function credentialsRule({ access_key_id, secret_access_key, session_token }: Options): string | null {
  if ((access_key_id === undefined) !== (secret_access_key === undefined))
    return 'must have access_key_id and secret_access_key together'
  return session_token !== undefined && access_key_id === undefined
    ? 'must have session_token with access_key_id only'
    : null
}

function configuration(own: Options, http: SecretsHttp): SecretsManagerClientConfig {
  const { region, endpoint, access_key_id: accessKeyId, secret_access_key: secretAccessKey } = own
  const { session_token: sessionToken } = own
  return {
    requestHandler: handlerOver(http),
    // The host decides when to try again.
    maxAttempts: 1,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(accessKeyId !== undefined &&
      secretAccessKey !== undefined && {
        credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
      }),
  }
}

/** The SDK's requests, its own to find credentials included, over the host's client. */
function handlerOver(http: SecretsHttp): Handler {
  const handle = async (outgoing: Outgoing, options?: { abortSignal?: AbortSignal }) => {
    const { protocol, hostname, port, path, query = {}, method, headers, body = null } = outgoing
    const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
    for (const [name, values] of Object.entries(query))
      for (const value of [values ?? ''].flat()) url.searchParams.append(name, value)
    const answer = await http.fetch(url, { method, headers, body, signal: options?.abortSignal ?? null })
    const bytes = new Uint8Array(await answer.arrayBuffer())
    return {
      response: { statusCode: answer.status, headers: Object.fromEntries(answer.headers), body: bytes },
    }
  }
  return { handle, updateHttpClientConfig: () => undefined, httpHandlerConfigs: () => ({}) }
}

function failure(error: unknown): SecretError {
  const own = wrappedSecretError(error)
  if (own !== null) return own
  const { name, message, $metadata } = error as Error & { $metadata?: { httpStatusCode?: number } }
  const meaning = Object.hasOwn(meanings, name) ? meanings[name] : undefined
  if (meaning !== undefined) return new SecretError(meaning[0], `AWS refused: ${meaning[1]} (${name})`)
  if (message.startsWith('Region is missing'))
    return new SecretError('denied', 'region must be set, or AWS_REGION')
  const status = $metadata?.httpStatusCode
  if (status === 401 || status === 403)
    return new SecretError('denied', `AWS refused the credentials (${status})`)
  if (status === undefined || status === 200)
    return new SecretError('unavailable', 'AWS answered with something else than a secret')
  return new SecretError('unavailable', `AWS answered ${status}`)
}
