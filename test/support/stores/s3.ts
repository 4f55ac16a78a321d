/**
 * A fake of Amazon S3 and of its Security Token Service: PutObject into one bucket of one region, AssumeRole.
 * As strict as AWS where a real server for tests is not: regions, policies, checksums, no unsigned body.
 */
import { createHash } from 'node:crypto'
import { signatureFault } from '../secrets/sigv4.ts'
import { type Asked, type Reply, type Service, startService } from '../secrets/service.ts'

interface Stored {
  readonly body: Buffer
  readonly headers: Asked['headers']
}

export interface FakeS3 extends Service {
  readonly bucket: string
  readonly region: string
  readonly keys: { readonly id: string; readonly secret: string }
  readonly role: { readonly arn: string; readonly externalId: string }
  /** Credentials that the role gave. */
  readonly roleKeys: { readonly id: string; readonly secret: string; readonly sessionToken: string }
  /** Whether the policy allows to put objects. */
  allowed: boolean
  readonly objects: Map<string, Stored>
}

export async function startFakeS3(): Promise<FakeS3> {
  const service = await startService((asked) => answer(s3, asked))
  const s3: FakeS3 = Object.assign(service, {
    bucket: 'audit',
    region: 'eu-central-1',
    keys: { id: 'AKIAEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/test' },
    role: { arn: 'arn:aws:iam::123456789012:role/audit-writer', externalId: 'gateway-1' },
    roleKeys: { id: 'ASIAEXAMPLE', secret: 'role-secret-K7MDENG', sessionToken: 'IQoJb3JpZ2luX2VjEXAMPLE' },
    allowed: true,
    objects: new Map<string, Stored>(),
  })
  return s3
}

const xml = (status: number, text: string, headers: Reply['headers'] = {}): Reply => ({
  status,
  body: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${text}`),
  headers: { 'content-type': 'application/xml', ...headers },
})

const refusal = (status: number, code: string, more = '', headers: Reply['headers'] = {}): Reply =>
  xml(status, `<Error><Code>${code}</Code><Message>${code}: what happened</Message>${more}</Error>`, headers)

function answer(s3: FakeS3, asked: Asked): Promise<Reply> {
  return asked.method === 'POST' ? assumeRole(s3, asked) : put(s3, asked)
}

async function put(s3: FakeS3, asked: Asked): Promise<Reply> {
  const { method, url, headers, bytes: body } = asked
  const byRole = headers['x-amz-security-token'] !== undefined
  const keys = byRole ? s3.roleKeys : { ...s3.keys, sessionToken: null }
  const fault = await signatureFault(asked, keys, { service: 's3', region: s3.region })
  const elsewhere = { 'x-amz-bucket-region': s3.region }
  if (fault === 'region') {
    const wrong = `<Region>${s3.region}</Region>`
    return refusal(400, 'AuthorizationHeaderMalformed', wrong, elsewhere)
  }
  if (fault === 'unsigned') return refusal(403, 'AccessDenied')
  if (fault === 'key') return refusal(403, 'InvalidAccessKeyId', `<AWSAccessKeyId>x</AWSAccessKeyId>`)
  if (fault === 'token') return refusal(400, 'InvalidToken')
  if (fault === 'clock') return refusal(403, 'RequestTimeTooSkewed')
  if (fault !== null) return refusal(403, 'SignatureDoesNotMatch')
  const [, bucket = '', key = ''] = /^\/([^/]+)\/(.+)$/.exec(decodeURIComponent(url.pathname)) ?? []
  if (method !== 'PUT' || key === '') return refusal(405, 'MethodNotAllowed')
  if (bucket === 'moved') return refusal(301, 'PermanentRedirect', '', { 'x-amz-bucket-region': 'us-west-2' })
  if (bucket !== s3.bucket) return refusal(404, 'NoSuchBucket', `<BucketName>${bucket}</BucketName>`)
  if (!s3.allowed) return refusal(403, 'AccessDenied')
  // As many stores that are not AWS: no trailers, no checksum of AWS's own.
  if (headers['content-encoding']?.includes('aws-chunked') || headers['x-amz-trailer'] !== undefined)
    return refusal(501, 'NotImplemented')
  if (Buffer.byteLength(key) > 1024) return refusal(400, 'KeyTooLongError')
  const digest = createHash('md5').update(body).digest('base64')
  if (headers['content-md5'] !== digest) return refusal(400, 'BadDigest')
  s3.objects.set(key, { body, headers })
  return { status: 200, headers: { etag: `"${Buffer.from(digest, 'base64').toString('hex')}"` } }
}

async function assumeRole(s3: FakeS3, asked: Asked): Promise<Reply> {
  const keys = { ...s3.keys, sessionToken: null }
  const fault = await signatureFault(asked, keys, { service: 'sts', region: s3.region })
  if (fault === 'key') return refusal(403, 'InvalidClientTokenId')
  if (fault !== null) return refusal(403, 'SignatureDoesNotMatch')
  const form = new URLSearchParams(asked.body)
  const { arn, externalId } = s3.role
  const known = form.get('RoleArn') === arn && form.get('ExternalId') === externalId
  if (form.get('Action') !== 'AssumeRole' || !form.get('RoleSessionName') || !known)
    return refusal(403, 'AccessDenied')
  const { id, secret, sessionToken } = s3.roleKeys
  const expiration = new Date(Date.now() + 3_600_000).toISOString()
  const given = [
    `<AccessKeyId>${id}</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey>`,
    `<SessionToken>${sessionToken}</SessionToken><Expiration>${expiration}</Expiration>`,
  ].join('')
  const result = `<AssumeRoleResult><Credentials>${given}</Credentials></AssumeRoleResult>`
  return xml(200, `<AssumeRoleResponse>${result}</AssumeRoleResponse>`)
}
