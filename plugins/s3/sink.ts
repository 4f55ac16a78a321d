/** Writes events as objects to Amazon S3, or to any store that speaks its protocol. */
import { createHash } from 'node:crypto'
import type { PutObjectCommandInput, S3Client, S3ClientConfig, StorageClass } from '@aws-sdk/client-s3'
import {
  bytesOf,
  defineSink,
  type ObjectFile,
  objectKeyRule,
  objectLimits,
  objectOptions,
  type OutcomeError,
  type SinkHttp,
  type SinkResponse,
  type Static,
  Type,
  uploadObjects,
} from 'mirrorgate/plugin'
import { failure, s3Refusal } from './errors.ts'
import { roleCredentials } from './role.ts'

type Handler = NonNullable<S3ClientConfig['requestHandler']>
/** What the SDK hands to its HTTP handler. */
interface Outgoing {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: Readonly<Record<string, string | string[] | null>>
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: string | Uint8Array<ArrayBuffer>
}

const text = (description: string) => Type.String({ minLength: 1, maxLength: 2048, description })
const secret = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, secret: true, description }))
const address = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: '^https?://[^/?#@]+/?$',
      rule: 'must be an http or https URL without a path',
      description,
    }),
  )

const options = Type.Object(
  {
    bucket: Type.String({
      pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
      rule: 'must be the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes',
      description: 'The bucket; it must exist.',
    }),
    region: Type.Optional(
      text(
        'Region of the bucket; if absent, AWS_REGION or the shared configuration, with endpoint us-east-1.',
      ),
    ),
    endpoint: address('Address of another store that speaks S3, or of a VPC endpoint.'),
    path_style: Type.Boolean({
      default: false,
      description: 'true: the bucket stands in the path of URLs, as most other stores want it.',
    }),
    access_key_id: Type.Optional(text('Access key; if absent, the credentials of the machine are found.')),
    secret_access_key: secret('Its secret.'),
    session_token: secret('Session token, with temporary credentials.'),
    role_arn: Type.Optional(
      Type.String({
        pattern: '^arn:[a-z0-9-]+:iam::\\d{12}:role/[\\w+=,.@/-]+$',
        rule: 'must be the ARN of a role, like arn:aws:iam::123456789012:role/NAME',
        description: 'Role to assume with these credentials.',
      }),
    ),
    external_id: Type.Optional(text('What the trust policy of the role asks for as sts:ExternalId.')),
    sts_endpoint: address('Another address of the service that gives roles.'),
    sse: Type.Optional(
      Type.Enum(['AES256', 'aws:kms', 'aws:kms:dsse'], {
        description: 'Encryption by the store; if absent, what the bucket says.',
      }),
    ),
    kms_key_id: Type.Optional(text('Key of sse aws:kms; if absent, that of the account.')),
    storage_class: Type.Optional(
      Type.String({
        pattern: '^[A-Z][A-Z0-9_]{1,40}$',
        rule: 'must be a storage class like STANDARD_IA',
        description: 'Storage class of the objects; if absent, STANDARD.',
      }),
    ),
    ...objectOptions,
  },
  { additionalProperties: false },
)

export default defineSink({
  name: 's3',
  summary: 'Writes a JSON file per event, or an NDJSON file per batch, to a bucket of Amazon S3 or alike.',
  options,
  formats: ['exchange'],
  urls: [],
  limits: objectLimits,
  signsIn: true,
  rule(own) {
    if ((own.access_key_id === undefined) !== (own.secret_access_key === undefined))
      return { key: 'access_key_id', rule: 'must stand together with secret_access_key' }
    if (own.session_token !== undefined && own.access_key_id === undefined)
      return { key: 'session_token', rule: 'must stand together with access_key_id' }
    if (own.external_id !== undefined && own.role_arn === undefined)
      return { key: 'external_id', rule: 'must stand together with role_arn' }
    if (own.kms_key_id !== undefined && !own.sse?.startsWith('aws:kms'))
      return { key: 'kms_key_id', rule: 'must stand together with sse aws:kms' }
    return objectKeyRule(own)
  },
  legs: (own) => [{ name: 'objects', half: 'exchange', url: addressOf(own) }],
  create(context) {
    const { options: own, http } = context
    let opened: Promise<S3Client> | null = null
    const put = async (file: ObjectFile, signal: AbortSignal) => {
      const { PutObjectCommand } = await import('@aws-sdk/client-s3')
      const client = await (opened ??= open(own, http))
      await client
        .send(new PutObjectCommand(putOf(file, own)), { abortSignal: signal })
        .catch((error: unknown) => {
          throw failure(error)
        })
    }
    return {
      write: (batch, signal) => uploadObjects(batch, context, signal, put),
      async close() {
        const client = await opened?.catch(() => null)
        client?.destroy()
      },
    }
  },
})

type Options = Static<typeof options>

/** For people, and to ask whether anything listens. */
function addressOf({ bucket, endpoint, region }: Options): string {
  if (endpoint !== undefined) return `${endpoint.replace(/\/$/, '')}/${bucket}`
  const host = region === undefined ? 's3.amazonaws.com' : `s3.${region}.amazonaws.com`
  return `https://${host}${region?.startsWith('cn-') ? '.cn' : ''}/${bucket}`
}

async function open(own: Options, http: SinkHttp): Promise<S3Client> {
  const { S3Client } = await import('@aws-sdk/client-s3')
  const { endpoint, access_key_id: accessKeyId, secret_access_key: secretAccessKey } = own
  const region = own.region ?? (endpoint === undefined ? undefined : 'us-east-1')
  const { session_token: sessionToken } = own
  const config: S3ClientConfig = {
    requestHandler: handlerOver(http, (answer) => s3Refusal(answer, own)),
    // The host decides when to try again.
    maxAttempts: 1,
    forcePathStyle: own.path_style,
    // Other stores do not know the checksums of AWS; Content-MD5 they do.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(accessKeyId !== undefined &&
      secretAccessKey !== undefined && {
        credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
      }),
  }
  const client = new S3Client(config)
  if (own.role_arn === undefined) return client
  return new S3Client({
    ...config,
    credentials: roleCredentials(client, { ...own, role_arn: own.role_arn }, http),
  })
}

function putOf({ key, body, contentType }: ObjectFile, own: Options): PutObjectCommandInput {
  return {
    Bucket: own.bucket,
    Key: key,
    Body: body,
    ContentType: contentType,
    ContentMD5: createHash('md5').update(body).digest('base64'),
    ...(own.sse !== undefined && { ServerSideEncryption: own.sse }),
    ...(own.kms_key_id !== undefined && { SSEKMSKeyId: own.kms_key_id }),
    ...(own.storage_class !== undefined && { StorageClass: own.storage_class as StorageClass }),
  }
}

type Refusal = (answer: SinkResponse) => OutcomeError | null

/** The SDK's requests over the host's client. Its own reading of errors is not used: that needs XML. */
function handlerOver(http: SinkHttp, refusal: Refusal): Handler {
  const handle = async (outgoing: Outgoing, options?: { abortSignal?: AbortSignal }) => {
    const { protocol, hostname, port, path, query = {}, method, headers, body = null } = outgoing
    const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`)
    for (const [name, values] of Object.entries(query))
      for (const value of [values ?? ''].flat()) url.searchParams.append(name, value)
    const request = { method, url: url.href, headers, body: body === null ? null : bytesOf(body) }
    const answer = await http.send(request, options?.abortSignal ?? new AbortController().signal)
    const refused = refusal(answer)
    if (refused !== null) throw refused
    return { response: { statusCode: answer.status, headers: answer.headers, body: answer.body } }
  }
  return { handle, updateHttpClientConfig: () => undefined, httpHandlerConfigs: () => ({}) }
}
