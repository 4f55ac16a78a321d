/** Signing in to Azure with Entra: an application, a managed identity, or what the machine has. */
import type { TokenCredential } from '@azure/identity'
import { OutcomeError, serviceRefusal, type SinkHttp, type SinkResponse } from 'mirrorgate/plugin'
import { clientOver } from './transport.ts'

interface Identity {
  readonly tenant_id?: string
  readonly client_id?: string
  readonly client_secret?: string
  readonly authority_host?: string
}

// The host decides when to try again, and never follows a redirect.
const once = { retryOptions: { maxRetries: 0 }, redirectOptions: { maxRetries: 0 } }

export async function credentialOf(own: Identity, http: SinkHttp): Promise<TokenCredential> {
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
  const check = 'set account_key, sas_token or an application, or give this machine an identity'
  return explained(machine, () => null, check)
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
