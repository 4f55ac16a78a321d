/**
 * A fake of Azure Key Vault and of the authority that signs in to it: the challenge, client credentials, the
 * token endpoint of a managed identity, versions of secrets.
 */
import { randomUUID } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from './service.ts'

const resource = 'https://vault.azure.net'

export interface FakeAzure extends Service {
  readonly tenant: string
  readonly clientId: string
  readonly clientSecret: string
  /** What a managed identity proves itself with, as App Service hands it to a process. */
  readonly identityHeader: string
  /** By name, or `name/version`; null for one that is disabled. */
  readonly secrets: Map<string, string | null>
  readonly denied: Set<string>
  readonly tokens: Set<string>
}

export async function startAzure(): Promise<FakeAzure> {
  const service = await startService((asked) => answer(azure, asked))
  const azure: FakeAzure = Object.assign(service, {
    tenant: randomUUID(),
    clientId: randomUUID(),
    clientSecret: `client-secret-${randomUUID()}`,
    identityHeader: `identity-header-${randomUUID()}`,
    secrets: new Map(),
    denied: new Set<string>(),
    tokens: new Set<string>(),
  })
  return azure
}

const failure = (status: number, code: string, inner?: string): Reply => ({
  status,
  body: { error: { code, message: `${code}: what happened`, ...(inner && { innererror: { code: inner } }) } },
})

function answer(azure: FakeAzure, asked: Asked): Reply {
  const { pathname } = asked.url
  if (pathname === `/${azure.tenant}/v2.0/.well-known/openid-configuration`) return metadata(azure)
  if (pathname.endsWith('/oauth2/v2.0/token')) return token(azure, asked)
  if (pathname === '/msi/token') return managedIdentity(azure, asked)
  const [, name, version] = /^\/secrets\/([^/]+)\/([^/]*)$/.exec(pathname) ?? []
  return name === undefined ? failure(404, 'NotFound') : secret(azure, asked, name, version ?? '')
}

function metadata({ url, tenant }: FakeAzure): Reply {
  const authority = `${url}/${tenant}`
  const body = {
    issuer: `${authority}/v2.0`,
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
  }
  return { status: 200, body }
}

function issue(azure: FakeAzure): string {
  const made = `eyJ0eXAi.${randomUUID()}.sig`
  azure.tokens.add(made)
  return made
}

/** OAuth 2.0 (RFC 6749 §4.4), as Microsoft Entra ID answers it. */
function token(azure: FakeAzure, { method, url, body }: Asked): Reply {
  const form = new URLSearchParams(body)
  if (method !== 'POST' || !url.pathname.startsWith(`/${azure.tenant}/`))
    return {
      status: 400,
      body: { error: 'invalid_request', error_description: 'AADSTS90002: Tenant not found.' },
    }
  const known = form.get('client_id') === azure.clientId && form.get('client_secret') === azure.clientSecret
  if (!known || form.get('grant_type') !== 'client_credentials') {
    const said = 'AADSTS7000215: Invalid client secret provided.'
    return { status: 401, body: { error: 'invalid_client', error_description: said, error_codes: [7000215] } }
  }
  if (!form.get('scope')?.split(' ').includes(`${resource}/.default`))
    return { status: 400, body: { error: 'invalid_scope', error_description: 'AADSTS70011: Invalid scope.' } }
  return {
    status: 200,
    body: { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token: issue(azure) },
  }
}

function managedIdentity(azure: FakeAzure, { url, headers }: Asked): Reply {
  const right =
    headers['x-identity-header'] === azure.identityHeader && url.searchParams.get('resource') === resource
  if (!right) return { status: 400, body: { statusCode: 400, message: 'no such identity' } }
  const expires_on = String(Math.floor(Date.now() / 1000) + 3600)
  return { status: 200, body: { access_token: issue(azure), expires_on, resource, token_type: 'Bearer' } }
}

function secret(azure: FakeAzure, asked: Asked, name: string, version: string): Reply {
  const [, bearer = ''] = /^Bearer (.+)$/.exec(asked.headers.authorization ?? '') ?? []
  if (!azure.tokens.has(bearer)) {
    const challenge = `Bearer authorization="${azure.url}/${azure.tenant}", resource="${resource}"`
    return { ...failure(401, 'Unauthorized'), headers: { 'www-authenticate': challenge } }
  }
  if (asked.url.searchParams.get('api-version') === null) return failure(400, 'BadParameter')
  if (azure.denied.has(name)) return failure(403, 'Forbidden', 'ForbiddenByRbac')
  const value = azure.secrets.get(version === '' ? name : `${name}/${version}`)
  if (value === undefined) return failure(404, 'SecretNotFound')
  if (value === null) return failure(403, 'Forbidden', 'SecretDisabled')
  const id = `${azure.url}/secrets/${name}/${version || '4387e9f3d6e14c459867679a90fd0f79'}`
  return { status: 200, body: { value, id, attributes: { enabled: true, created: 1.7e9, updated: 1.7e9 } } }
}
