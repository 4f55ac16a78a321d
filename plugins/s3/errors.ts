/** What S3 and the service that gives roles say when they refuse, in words that a person can act on. */
import {
  type Meanings,
  OutcomeError,
  serviceRefusal,
  type SinkResponse,
  wrappedOutcome,
} from 'mirrorgate/plugin'

interface About {
  readonly bucket: string
  readonly region?: string
  readonly role_arn?: string
  readonly sse?: string
}

const keys = 'check access_key_id and secret_access_key, or the role of this machine'

function meanings({ bucket, sse }: About): Meanings {
  const kms = sse?.startsWith('aws:kms') ? ', and kms:GenerateDataKey on its key' : ''
  return {
    AccessDenied: ['unauthorized', `s3:PutObject must be allowed on arn:aws:s3:::${bucket}/*${kms}`],
    AllAccessDisabled: ['unauthorized', `the bucket ${bucket} was closed by the provider`],
    AccountProblem: ['unauthorized', 'the account of the bucket has a problem, ask the provider'],
    InvalidAccessKeyId: ['unauthorized', `there is no such access key: ${keys}`],
    SignatureDoesNotMatch: ['unauthorized', `secret_access_key does not belong to access_key_id: ${keys}`],
    InvalidToken: ['unauthorized', 'the session token is not valid'],
    ExpiredToken: ['unauthorized', 'the credentials have expired: renew them'],
    RequestTimeTooSkewed: ['unauthorized', 'the clock of this machine is wrong'],
    NoSuchBucket: [
      'not_found',
      `there is no bucket ${bucket}: create it, or correct bucket, region and endpoint`,
    ],
    InvalidBucketName: ['refused', `${bucket} is no name of a bucket there`],
    EntityTooLarge: ['too_large', 'the object is larger than the store takes'],
    KeyTooLongError: ['refused', 'the name of the object is longer than the store takes: shorten key'],
    InvalidStorageClass: ['refused', 'storage_class is not known there'],
    NotImplemented: ['refused', 'the store does not know what was asked: leave out sse and storage_class'],
    InvalidRequest: [
      'refused',
      'the store does not accept the request: compare sse and the policy of the bucket',
    ],
    'KMS.DisabledException': ['refused', 'the key of kms_key_id is disabled'],
    'KMS.NotFoundException': ['refused', 'there is no such key as kms_key_id in this region'],
    QuotaExceeded: ['refused', 'the quota of the bucket is used up'],
    BadDigest: ['retry', 'the object was damaged on its way'],
    RequestTimeout: ['retry', 'the object took too long to arrive'],
    OperationAborted: ['retry', 'another change of the bucket is under way'],
    SlowDown: ['retry', 'too many requests at a time: lower concurrency, or write files per_batch'],
    ServiceUnavailable: ['retry', 'too many requests at a time, or the store is down'],
    InternalError: ['retry', 'the store has a problem of its own'],
  }
}

/** Another region: the answer names the right one, in its head or in its body. */
const elsewhere = new Set([
  'PermanentRedirect',
  'TemporaryRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
])

/** Null when the object was stored. */
export function s3Refusal(answer: SinkResponse, about: About): OutcomeError | null {
  const { status, headers } = answer
  if (status >= 200 && status < 300) {
    if (headers['etag'] !== undefined) return null
    const rule = `the endpoint answered ${status} without an ETag: it is no S3 store`
    return new OutcomeError('refused', rule, { status })
  }
  const body = answer.body.toString()
  const code = element(body, 'Code')
  const region = [headers['x-amz-bucket-region'] ?? element(body, 'Region')].flat()[0]
  const moved = code === null ? status >= 300 && status < 400 : elsewhere.has(code)
  if (moved && region && /^[a-z0-9-]{1,32}$/.test(region)) {
    const is = about.region === undefined ? 'region is not set' : `region is ${about.region}`
    const wrong = `the bucket ${about.bucket} is in region ${region}, and ${is}: set region: ${region}`
    return serviceRefusal('S3', answer, code ?? 'Moved', { [code ?? 'Moved']: ['refused', wrong] })
  }
  return serviceRefusal('S3', answer, code, meanings(about))
}

/** Errors of AWS are small XML documents whose elements hold text only. */
export function element(xml: string, name: string): string | null {
  return new RegExp(`<${name}>([^<]{0,2048})</${name}>`).exec(xml)?.[1] ?? null
}

/** What failed before anything was sent, and what `s3Refusal` said. */
export function failure(error: unknown): unknown {
  const own = wrappedOutcome(error)
  if (own !== null) return own
  const { name, message } = error as Error
  if (name === 'CredentialsProviderError')
    return new OutcomeError(
      'unauthorized',
      `no credentials found: set access_key_id and secret_access_key, or give this machine a role`,
    )
  if (/region is missing/i.test(message))
    return new OutcomeError('refused', 'region must be set, or AWS_REGION')
  return error
}
