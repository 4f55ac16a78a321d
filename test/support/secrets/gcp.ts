/**
 * A fake of Google Secret Manager: access to versions over its REST API. It checks the tokens that a service
 * account signs for itself.
 */
import { createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from './service.ts'

export interface FakeGcp extends Service {
  readonly project: string
  /** The key file of the service account, as Google hands it out. */
  readonly keyFile: Readonly<Record<string, string>>
  /** By resource name without `/versions/latest`, or with another version; null for a disabled one. */
  readonly secrets: Map<string, string | Buffer | null>
  readonly denied: Set<string>
}

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

export async function startGcp(): Promise<FakeGcp> {
  const service = await startService((asked) => answer(gcp, asked))
  const project = 'acme-prod'
  const gcp: FakeGcp = Object.assign(service, {
    project,
    keyFile: {
      type: 'service_account',
      project_id: project,
      private_key_id: randomUUID(),
      private_key: privateKey,
      client_email: `gateway@${project}.iam.gserviceaccount.com`,
      client_id: '1',
      token_uri: 'https://oauth2.googleapis.com/token',
    },
    secrets: new Map(),
    denied: new Set<string>(),
  })
  return gcp
}

const failure = (code: number, status: string): Reply => ({
  status: code,
  body: { error: { code, status, message: `${status}: what happened` } },
})

function answer(gcp: FakeGcp, { method, url, headers }: Asked): Reply {
  if (!isSigned(gcp, headers.authorization ?? '')) return failure(401, 'UNAUTHENTICATED')
  const path = decodeURIComponent(url.pathname)
  const pattern = /^\/v1\/(projects\/[^/]+\/(?:locations\/[^/]+\/)?secrets\/[^/]+)\/versions\/([^/]+):access$/
  const [, secret, version] = pattern.exec(path) ?? []
  if (method !== 'GET' || secret === undefined || version === undefined) return failure(404, 'NOT_FOUND')
  if (gcp.denied.has(secret)) return failure(403, 'PERMISSION_DENIED')
  const value = gcp.secrets.get(version === 'latest' ? secret : `${secret}/versions/${version}`)
  if (value === undefined) return failure(404, 'NOT_FOUND')
  if (value === null) return failure(400, 'FAILED_PRECONDITION')
  const data = Buffer.from(value).toString('base64')
  return { status: 200, body: { name: `${secret}/versions/7`, payload: { data } } }
}

/** RFC 7523, signed by the service account for itself: its key, its name, a life of at most an hour. */
function isSigned({ keyFile }: FakeGcp, authorization: string): boolean {
  const [, signed, body = '', signature] = /^Bearer (([\w-]+\.[\w-]+)\.([\w-]+))$/.exec(authorization) ?? []
  if (signed === undefined || signature === undefined) return false
  const [head = '', claims = ''] = body.split('.').map((part) => Buffer.from(part, 'base64url').toString())
  const { alg, kid } = JSON.parse(head) as Record<string, unknown>
  const { iss, sub, iat, exp, scope, aud } = JSON.parse(claims) as Record<string, unknown>
  const now = Date.now() / 1000
  const lives = Number(iat) <= now + 60 && Number(exp) > now && Number(exp) - Number(iat) <= 3600
  const known =
    alg === 'RS256' && kid === keyFile['private_key_id'] && iss === keyFile['client_email'] && sub === iss
  const meant = String(scope).includes('cloud-platform') || aud === 'https://secretmanager.googleapis.com/'
  const key = createPublicKey(privateKey)
  return (
    known && lives && meant && verify('sha256', Buffer.from(body), key, Buffer.from(signature, 'base64url'))
  )
}
