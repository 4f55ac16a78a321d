/**
 * A fake of Azure Key Vault with the authority that signs in to it: the challenge, the token endpoint of a
 * managed identity, versions of secrets.
 */
import { randomUUID } from 'node:crypto'
import { type Authority, entraAnswer, issueToken, newAuthority } from '../entra.ts'
import { type Asked, type Reply, type Service, startService } from './service.ts'

const resource = 'https://vault.azure.net'

export interface FakeAzure extends Service, Authority {
  /** What a managed identity proves itself with, as App Service hands it to a process. */
  readonly identityHeader: string
  /** By name, or `name/version`; null for one that is disabled. */
  readonly secrets: Map<string, string | null>
  readonly denied: Set<string>
}

export async function startAzure(): Promise<FakeAzure> {
  const service = await startService((asked) => answer(azure, asked))
  const azure: FakeAzure = Object.assign(service, {
    ...newAuthority(resource),
    identityHeader: `identity-header-${randomUUID()}`,
    secrets: new Map(),
    denied: new Set<string>(),
  })
  return azure
}

const failure = (status: number, code: string, inner?: string): Reply => ({
  status,
  body: { error: { code, message: `${code}: what happened`, ...(inner && { innererror: { code: inner } }) } },
})

function answer(azure: FakeAzure, asked: Asked): Reply {
  const { pathname } = asked.url
  if (pathname.includes('/v2.0/')) return entraAnswer(azure, asked)
  if (pathname === '/msi/token') return managedIdentity(azure, asked)
  const [, name, version] = /^\/secrets\/([^/]+)\/([^/]*)$/.exec(pathname) ?? []
  return name === undefined ? failure(404, 'NotFound') : secret(azure, asked, name, version ?? '')
}

function managedIdentity(azure: FakeAzure, { url, headers }: Asked): Reply {
  const right =
    headers['x-identity-header'] === azure.identityHeader && url.searchParams.get('resource') === resource
  if (!right) return { status: 400, body: { statusCode: 400, message: 'no such identity' } }
  const expires_on = String(Math.floor(Date.now() / 1000) + 3600)
  return {
    status: 200,
    body: { access_token: issueToken(azure), expires_on, resource, token_type: 'Bearer' },
  }
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
