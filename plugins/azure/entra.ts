/** Signing in to Azure with Entra: an application, a managed identity, or what the machine has. */
import type { TokenCredential } from '@azure/identity'
import { OutcomeError, serviceRefusal, type SinkHttp, type SinkResponse, Type } from 'mirrorgate/plugin'
import { clientOver } from './transport.ts'

interface Identity {
  readonly tenant_id?: string
  readonly client_id?: string
  readonly client_secret?: string
  readonly authority_host?: string
}

const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 2048, description }))

/** An address without what may be a secret. */
export const address = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: '^https?://[^?#@]+$',
      rule: 'must be an http or https URL without user, query and fragment',
      description,
    }),
  )

export const identityOptions = {
  tenant_id: text('Tenant of the application that signs in with Entra.'),
  client_id: text('The application; alone, a user-assigned managed identity.'),
  client_secret: Type.Optional(Type.String({ minLength: 1, secret: true, description: 'Its secret.' })),
  authority_host: address('Who signs in, in other clouds: https://login.microsoftonline.us.'),
}

/** What `check` says to an application that is described in part. */
export function identityRule({ tenant_id, client_id, client_secret }: Identity) {
  return (client_secret !== undefined || tenant_id !== undefined) &&
    !(client_secret && tenant_id && client_id)
    ? { key: 'tenant_id', rule: 'must stand together with client_id and client_secret' }
    : null
}

// The host decides when to try again, and never follows a redirect.
const once = { retryOptions: { maxRetries: 0 }, redirectOptions: { maxRetries: 0 } }

/** `instead`: what else could be set, for those whose machine has no identity. */
export async function credentialOf(own: Identity, http: SinkHttp, instead: string): Promise<TokenCredential> {
  const identity = await import('@azure/identity')
  const { tenant_id, client_id, client_secret, authority_host } = own
  if (tenant_id !== undefined && client_id !== undefined && client_secret !== undefined) {
    const signing = { last: null as OutcomeError | null }
    const credential = new identity.ClientSecretCredential(tenant_id, client_id, client_secret, {
      ...once,
      httpClient: watched(http, signing),
      ...(authority_host !== undefined && { authorityHost: authority_host, disableInstanceDiscovery: true }),
    })
    return explained(credential, () => signing.last, 'check tenant_id, client_id and client_secret')
  }
  // By the SDK's own client: it keeps the first one that it was given as long as the process lives.
  const machine =
    client_id === undefined
      ? new identity.DefaultAzureCredential(once)
      : new identity.ManagedIdentityCredential({ clientId: client_id, ...once })
  return explained(machine, () => null, `set ${instead}, or give this machine an identity`)
}

/** The SDK's own errors quote what they were answered, and lose what the host said: that is kept here. */
function watched(http: SinkHttp, signing: { last: OutcomeError | null }) {
  const client = clientOver(http, refusal)
  const sendRequest: typeof client.sendRequest = async (request) => {
    signing.last = null
    try {
      return await client.sendRequest(request)
    } catch (error) {
      if (error instanceof OutcomeError) signing.last = error
      throw error
    }
  }
  return { sendRequest }
}

/** What refuses credentials is read by the SDK; the rest is no answer to its question. */
function refusal(answer: SinkResponse): OutcomeError | null {
  const { status } = answer
  return status >= 500 || status === 429 || (status >= 300 && status < 400)
    ? serviceRefusal('signing in to Azure: it', answer, null, {})
    : null
}

function explained(
  credential: TokenCredential,
  last: () => OutcomeError | null,
  check: string,
): TokenCredential {
  const refused = () => new OutcomeError('unauthorized', `signing in to Azure was refused: ${check}`)
  return {
    getToken: (scopes, about) =>
      credential.getToken(scopes, about).catch(() => Promise.reject(last() ?? refused())),
  }
}
