/**
 * A fake of Google Cloud Storage and of who gives its tokens: multipart uploads into one bucket. It refuses
 * what Google refuses: bad assertions and tokens, unknown buckets, missing permissions, wrong digests, and to
 * overwrite for who may only create.
 */
import { createHash, createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto'
import { type Asked, type Reply, type Service, startService } from '../secrets/service.ts'

interface Stored {
  readonly body: Buffer
  readonly about: Readonly<Record<string, string>>
}

export interface FakeGcs extends Service {
  readonly bucket: string
  /** The key file of the service account, as Google hands it out. */
  readonly keyFile: Readonly<Record<string, string>>
  /** What the service account may do in the bucket. */
  readonly permissions: Set<'create' | 'delete'>
  readonly tokens: Set<string>
  readonly objects: Map<string, Stored>
}

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

export async function startFakeGcs(): Promise<FakeGcs> {
  const service = await startService((asked) => answer(gcs, asked))
  const gcs: FakeGcs = Object.assign(service, {
    bucket: 'audit',
    keyFile: {
      type: 'service_account',
      project_id: 'acme-prod',
      private_key_id: randomUUID(),
      private_key: privateKey,
      client_email: 'gateway@acme-prod.iam.gserviceaccount.com',
      client_id: '1',
      token_uri: 'https://oauth2.googleapis.com/token',
    },
    permissions: new Set<'create' | 'delete'>(['create']),
    tokens: new Set<string>(),
    objects: new Map<string, Stored>(),
  })
  return gcs
}

const refusal = (code: number, reason: string, message = `${reason}: what happened`): Reply => ({
  status: code,
  body: { error: { code, message, errors: [{ domain: 'global', reason, message }] } },
})

function answer(gcs: FakeGcs, asked: Asked): Reply {
  const { pathname } = asked.url
  if (pathname === '/token') return token(gcs, asked)
  const [, bucket] = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(pathname) ?? []
  if (asked.method !== 'POST' || bucket === undefined) return refusal(404, 'notFound')
  const [, bearer = ''] = /^Bearer (.+)$/.exec(asked.headers.authorization ?? '') ?? []
  if (bearer === '')
    return refusal(401, 'required', 'Anonymous caller does not have storage.objects.create access')
  if (!gcs.tokens.has(bearer)) return refusal(401, 'authError', 'Invalid Credentials')
  if (bucket !== gcs.bucket) return refusal(404, 'notFound', 'The specified bucket does not exist.')
  return upload(gcs, asked)
}

/** RFC 7523: an assertion that the service account has signed. */
function token(gcs: FakeGcs, { body }: Asked): Reply {
  const form = new URLSearchParams(body)
  const refused: Reply = {
    status: 400,
    body: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' },
  }
  const [, signed = '', signature = ''] =
    /^([\w-]+\.[\w-]+)\.([\w-]+)$/.exec(form.get('assertion') ?? '') ?? []
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer' || signed === '')
    return refused
  const [head, claims] = signed
    .split('.')
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>)
  const now = Date.now() / 1000
  const lives = Number(claims?.['iat']) <= now + 60 && Number(claims?.['exp']) > now
  const own = head?.['alg'] === 'RS256' && claims?.['iss'] === gcs.keyFile['client_email']
  const meant =
    claims?.['aud'] === gcs.keyFile['token_uri'] && String(claims?.['scope']).includes('devstorage')
  const right = verify(
    'sha256',
    Buffer.from(signed),
    createPublicKey(privateKey),
    Buffer.from(signature, 'base64url'),
  )
  if (!lives || !own || !meant || !right) return refused
  const access_token = `ya29.${randomUUID()}`
  gcs.tokens.add(access_token)
  return { status: 200, body: { access_token, expires_in: 3599, token_type: 'Bearer' } }
}

/** RFC 2387: two parts, the metadata and the content. */
function upload({ objects, permissions }: FakeGcs, { url, headers, bytes }: Asked): Reply {
  const [, boundary = ''] =
    /^multipart\/related; boundary=([\w-]+)$/.exec(headers['content-type'] ?? '') ?? []
  if (url.searchParams.get('uploadType') !== 'multipart' || boundary === '') return refusal(400, 'invalid')
  const text = bytes.toString('latin1')
  const parts = text.split(`--${boundary}`)
  if (parts.length !== 4 || !/^--\r\n$/.test(parts[3] ?? '')) return refusal(400, 'badContent')
  const [about, body] = parts.slice(1, 3).map((part) => {
    const from = part.indexOf('\r\n\r\n') + 4
    return Buffer.from(part.slice(from, -2), 'latin1')
  })
  const metadata = JSON.parse(String(about)) as Record<string, string>
  const { name = '', md5Hash, contentType } = metadata
  if (name === '' || body === undefined) return refusal(400, 'required')
  if (Buffer.byteLength(name) > 1024) return refusal(400, 'invalid')
  const who = 'gateway@acme-prod.iam.gserviceaccount.com does not have'
  if (!permissions.has('create'))
    return refusal(
      403,
      'forbidden',
      `${who} storage.objects.create access to the Google Cloud Storage object.`,
    )
  if (objects.has(name) && !permissions.has('delete'))
    return refusal(
      403,
      'forbidden',
      `${who} storage.objects.delete access to the Google Cloud Storage object.`,
    )
  const digest = createHash('md5').update(body).digest('base64')
  if (md5Hash !== undefined && md5Hash !== digest)
    return refusal(400, 'invalid', 'Provided MD5 hash does not match')
  objects.set(name, { body, about: metadata })
  return {
    status: 200,
    body: { kind: 'storage#object', name, contentType, md5Hash: digest, size: String(body.length) },
  }
}
