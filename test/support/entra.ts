/** A fake of Entra, for sinks and for the fake of Key Vault: it gives tokens to one application. */
import { randomUUID } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from './secrets/service.ts'

/** Gives tokens to one application for one audience. */
export interface Authority {
  readonly tenant: string
  readonly clientId: string
  readonly clientSecret: string
  readonly audience: string
  /** Of the next tokens. */
  lifetime_s: number
  /** Those that were given out. */
  readonly tokens: Set<string>
}

export type FakeEntra = Service & Authority

export function newAuthority(audience: string): Authority {
  return {
    tenant: randomUUID(),
    clientId: randomUUID(),
    clientSecret: `client-secret-${randomUUID()}`,
    audience,
    lifetime_s: 3600,
    tokens: new Set(),
  }
}

export async function startFakeEntra(audience = 'https://storage.azure.com'): Promise<FakeEntra> {
  const service = await startService((asked) => entraAnswer(entra, asked))
  const entra: FakeEntra = Object.assign(service, newAuthority(audience))
  return entra
}

/** OAuth 2.0 (RFC 6749 §4.4), as Microsoft Entra ID answers it. */
export function entraAnswer(entra: FakeEntra, asked: Asked): Reply {
  const { url, tenant, clientId, clientSecret, audience, lifetime_s } = entra
  const { pathname } = asked.url
  const authority = `${url}/${tenant}`
  if (pathname === `/${tenant}/v2.0/.well-known/openid-configuration`) {
    const body = {
      issuer: `${authority}/v2.0`,
      authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
      token_endpoint: `${authority}/oauth2/v2.0/token`,
      jwks_uri: `${authority}/discovery/v2.0/keys`,
    }
    return { status: 200, body }
  }
  if (asked.method !== 'POST' || pathname !== `/${tenant}/oauth2/v2.0/token`)
    return refusal(400, 'invalid_request', 'AADSTS90002: Tenant not found.')
  const form = new URLSearchParams(asked.body)
  if (form.get('grant_type') !== 'client_credentials')
    return refusal(400, 'unsupported_grant_type', 'AADSTS70003: The app requested an unsupported grant type.')
  if (form.get('client_id') !== clientId || form.get('client_secret') !== clientSecret)
    return refusal(401, 'invalid_client', 'AADSTS7000215: Invalid client secret provided.')
  if (!form.get('scope')?.split(' ').includes(`${audience}/.default`))
    return refusal(400, 'invalid_scope', 'AADSTS70011: Invalid scope.')
  const body = { token_type: 'Bearer', expires_in: lifetime_s, access_token: issueToken(entra) }
  return { status: 200, body }
}

function refusal(status: number, error: string, said: string): Reply {
  return { status, body: { error, error_description: said } }
}

/** Unsigned: emulators and fakes check only what it says. */
export function issueToken({ audience, tenant, clientId, lifetime_s, tokens }: Authority): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    aud: audience,
    iss: `https://sts.windows.net/${tenant}/`,
    iat: now,
    nbf: now - 60,
    exp: now + lifetime_s,
    oid: clientId,
    tid: tenant,
    uti: randomUUID(),
  }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const token = `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`
  tokens.add(token)
  return token
}
