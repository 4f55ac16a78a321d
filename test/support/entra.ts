/** A fake of Entra: gives tokens to one application for one audience. */
import { randomUUID } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from '../secrets/service.ts'

export interface FakeEntra extends Service {
  readonly tenant: string
  readonly clientId: string
  readonly clientSecret: string
  readonly audience: string
  /** Of the next tokens. */
  lifetime_s: number
}

/** Tokens are unsigned: emulators and fakes check only what they say. */
export async function startFakeEntra(audience = 'https://storage.azure.com'): Promise<FakeEntra> {
  const service = await startService((asked) => entraAnswer(entra, asked))
  const entra: FakeEntra = Object.assign(service, {
    tenant: randomUUID(),
    clientId: randomUUID(),
    clientSecret: `client-secret-${randomUUID()}`,
    audience,
    lifetime_s: 3600,
  })
  return entra
}

function entraAnswer(entra: FakeEntra, asked: Asked): Reply {
  const { url, tenant, clientId, clientSecret, audience, lifetime_s } = entra
  const { pathname } = asked.url
  if (pathname === `/${tenant}/v2.0/.well-known/openid-configuration`) {
    const authority = `${url}/${tenant}`
    const body = {
      issuer: `${authority}/v2.0`,
      authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
      token_endpoint: `${authority}/oauth2/v2.0/token`,
      jwks_uri: `${authority}/discovery/v2.0/keys`,
    }
    return { status: 200, body }
  }
  const form = new URLSearchParams(asked.body)
  if (pathname !== `/${tenant}/oauth2/v2.0/token`) return { status: 404, body: { error: 'not_found' } }
  if (form.get('grant_type') !== 'client_credentials')
    return { status: 400, body: { error: 'unsupported_grant_type' } }
  if (form.get('client_id') !== clientId || form.get('client_secret') !== clientSecret)
    return {
      status: 401,
      body: { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret' },
    }
  if (!form.get('scope')?.split(' ').includes(`${audience}/.default`))
    return { status: 400, body: { error: 'invalid_scope' } }
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    aud: audience,
    iss: `https://sts.windows.net/${tenant}/`,
    iat: now,
    nbf: now - 60,
    exp: now + lifetime_s,
    oid: clientId,
    tid: tenant,
  }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const access_token = `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`
  return { status: 200, body: { token_type: 'Bearer', expires_in: lifetime_s, access_token } }
}
