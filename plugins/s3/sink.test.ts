/** The s3 sink: conformance and permissions on OpenStack Swift; regions, roles, policies on a strict fake. */
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSink, sendsNoCopy, storesEachEvent } from '../../test/conformance/object-sink.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { eventBatch, signIn, signInKey } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { type FakeS3, startFakeS3 } from '../../test/support/stores/s3.ts'
import { startSwift, type Swift, swiftMissing } from '../../test/support/stores/swift.ts'
import s3 from './sink.ts'

type Options = Parameters<typeof s3.create>[0]['options']

const never = new AbortController().signal

let swift: Swift
beforeAll(async () => {
  if (swiftMissing === null) swift = await startSwift()
}, 40_000)
afterAll(() => swift?.close())

const open = (options: Options, compression: 'none' | 'gzip' = 'none') =>
  openSink(s3, options, { compression })

const batch = (events: readonly object[], id?: string) => eventBatch('audit-s3', events, id)

const sample = [signIn]

describe.skipIf(swiftMissing !== null)(`on OpenStack Swift (${swiftMissing ?? 'installed'})`, () => {
  let bucket = ''
  let buckets = 0
  const reach = (more: Partial<Options> = {}): Options => ({
    endpoint: swift.url,
    bucket,
    path_style: true,
    access_key_id: swift.writer.id,
    secret_access_key: swift.writer.secret,
    files: 'per_event',
    ...more,
  })
  const newBucket = async () => {
    buckets += 1
    bucket = `audit-${buckets}`
    await swift.createBucket(bucket)
    await swift.allow(bucket, true)
  }
  const text = async () =>
    new Map([...(await swift.objects(bucket))].map(([key, { body }]) => [key, body.toString()]))

  describe('per batch', () => {
    beforeAll(newBucket)
    // Each test of the suite begins with an empty bucket.
    const fresh = async () => {
      const lines = [...(await text()).values()].flatMap((body) => body.split('\n').slice(0, -1))
      await newBucket()
      return lines.map((line) => JSON.parse(line))
    }
    sinkConformance({
      definition: s3,
      options: () => reach({ files: 'per_batch' }),
      http: { because: 'it speaks through the SDK of S3' },
      stored: fresh,
    })
  })

  test('a file per event, and a retry overwrites what an earlier try had stored', async () => {
    await newBucket()
    await storesEachEvent(await open(reach()), () => swift.objects(bucket))
  })

  test('a permission that is taken parks, and when it is back everything arrives once', async () => {
    await newBucket()
    const sink = await open(reach())
    await sink.write(batch(sample, 'before'), never)
    await swift.allow(bucket, false)
    await expect(sink.write(batch(sample, 'meanwhile'), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      status: 403,
      message: `S3 refused: s3:PutObject must be allowed on arn:aws:s3:::${bucket}/* (AccessDenied)`,
    })
    expect((await text()).size).toBe(1)
    await swift.allow(bucket, true)
    await sink.write(batch(sample, 'meanwhile'), never)
    expect((await text()).size).toBe(2)
  })

  test('a wrong secret and a missing bucket say so, and no secret', async () => {
    const wrong = await open(reach({ secret_access_key: 'not-the-secret' }))
    await expect(wrong.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      message: expect.stringContaining('(SignatureDoesNotMatch)'),
      answer: expect.not.stringContaining('not-the-secret'),
    })
    // Who may do nothing is not told which buckets there are.
    const { id: access_key_id, secret: secret_access_key } = swift.admin
    const missing = await open(reach({ access_key_id, secret_access_key, bucket: 'no-such-bucket' }))
    await expect(missing.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'not_found',
      message:
        'S3 refused: there is no bucket no-such-bucket: ' +
        'create it, or correct bucket, region and endpoint (NoSuchBucket)',
    })
  })

  test('a store that does not know what was asked is named as such', async () => {
    const sink = await open(reach({ sse: 'AES256' }))
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({ kind: 'refused', status: 501 })
  })
})

describe('on a strict fake of AWS', () => {
  let aws: FakeS3
  beforeAll(async () => {
    aws = await startFakeS3()
  })
  afterAll(() => aws.close())

  const reach = (more: Partial<Options> = {}): Options => ({
    endpoint: aws.url,
    bucket: aws.bucket,
    region: aws.region,
    path_style: true,
    access_key_id: aws.keys.id,
    secret_access_key: aws.keys.secret,
    files: 'per_event',
    ...more,
  })

  test('signs what it sends, without chunks or trailers, with what was configured', async () => {
    const sink = await open(reach({ sse: 'aws:kms', kms_key_id: 'key-1', storage_class: 'STANDARD_IA' }))
    await sink.write(batch(sample), never)
    expect(aws.objects.get(signInKey)).toMatchObject({
      body: Buffer.from(JSON.stringify(sample[0])),
      headers: {
        'content-type': 'application/json',
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': 'key-1',
        'x-amz-storage-class': 'STANDARD_IA',
      },
    })
  })

  test.each([
    [
      { region: 'us-east-1' },
      'the bucket audit is in region eu-central-1, and region is us-east-1: ' +
        'set region: eu-central-1 (AuthorizationHeaderMalformed)',
    ],
    [
      { bucket: 'moved' },
      'the bucket moved is in region us-west-2, and region is eu-central-1: ' +
        'set region: us-west-2 (PermanentRedirect)',
    ],
  ])('another region: %j', async (more, said) => {
    const sink = await open(reach(more))
    const before = aws.asked.length
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'refused',
      message: `S3 refused: ${said}`,
    })
    expect(aws.asked).toHaveLength(before + 1)
  })

  test('a file goes out as the memory of its batch, not as a copy of it', () => sendsNoCopy(s3, reach()))

  test('an unknown key and a policy that does not allow', async () => {
    const stranger = await open(reach({ access_key_id: 'AKIANOBODY' }))
    await expect(stranger.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      message: expect.stringContaining('(InvalidAccessKeyId)'),
    })
    aws.allowed = false
    const sink = await open(reach({ sse: 'aws:kms' }))
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      message:
        'S3 refused: s3:PutObject must be allowed on arn:aws:s3:::audit/*, ' +
        'and kms:GenerateDataKey on its key (AccessDenied)',
    })
    aws.allowed = true
  })

  test('a role is assumed with the keys, once', async () => {
    const { arn: role_arn, externalId: external_id } = aws.role
    const sink = await open(reach({ role_arn, external_id, sts_endpoint: aws.url }))
    const before = aws.asked.length
    await sink.write(batch(sample, 'one'), never)
    await sink.write(batch(sample, 'two'), never)
    const since = aws.asked.slice(before)
    expect(since.map(({ method }) => method)).toEqual(['POST', 'PUT', 'PUT'])
    expect(since[1]?.headers['x-amz-security-token']).toBe(aws.roleKeys.sessionToken)
    const foreign = await open(reach({ role_arn, external_id: 'other', sts_endpoint: aws.url }))
    await expect(foreign.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'unauthorized',
      message: expect.stringMatching(
        /^AWS STS refused: sts:AssumeRole must be allowed on arn:.*\(AccessDenied\)$/,
      ),
    })
  })

  test.each([
    [503, 'SlowDown', 'retry', 2000],
    [500, 'InternalError', 'retry', 2000],
    [400, 'RequestTimeout', 'retry', 2000],
    [400, 'ExpiredToken', 'unauthorized', 2000],
    [400, 'EntityTooLarge', 'too_large', 2000],
    [400, 'SomethingNew', 'refused', 2000],
  ])('%i %s means %s, and is asked once', async (status, code, kind, retryAfterMs) => {
    aws.behave((response) =>
      response.writeHead(status, { 'retry-after': '2' }).end(`<Error><Code>${code}</Code></Error>`),
    )
    const before = aws.asked.length
    const sink = await open(reach())
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({ kind, status, retryAfterMs })
    expect(aws.asked).toHaveLength(before + 1)
    aws.behave(null)
  })

  test('answers that are none of S3 are told apart from its own', async () => {
    const sink = await open(reach())
    aws.behave((response) => response.writeHead(200).end('<html>sign in</html>'))
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'refused',
      message: 'the endpoint answered 200 without an ETag: it is no S3 store',
    })
    aws.behave((response) => response.writeHead(502).end('<html>bad gateway</html>'))
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'retry',
      message: 'S3 answered 502 Bad Gateway',
    })
    aws.behave((response) => response.destroy())
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({ kind: 'retry' })
    aws.behave(null)
  })

  test('one file that fails stops the others of its batch', async () => {
    const sink = await open(reach())
    const events = Array.from({ length: 200 }, (_, n) => ({ ...sample[0], id: n }))
    const before = aws.asked.length
    aws.behave((response) => response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>'))
    await expect(sink.write(batch(events), never)).rejects.toMatchObject({ kind: 'retry' })
    expect(aws.asked.length - before).toBeLessThanOrEqual(16)
    aws.behave(null)
  })

  test('says nothing until the signal: it ends', async () => {
    const sink = await open(reach())
    aws.behave(() => undefined)
    await expect(sink.write(batch(sample), AbortSignal.timeout(100))).rejects.toMatchObject({
      name: expect.stringMatching(/^(OutcomeError|TimeoutError|AbortError)$/),
    })
    aws.behave(null)
  })

  test('gzip: the name says so, and what is in it is the file', async () => {
    const sink = await open(reach({ files: 'per_batch' }), 'gzip')
    await sink.write(batch(sample, 'packed'), never)
    const [key, object] = [...aws.objects].find(([name]) => name.includes('packed')) ?? []
    expect(key).toBe('1/audit-s3/20261121/1-audit-s3-20261121080000-packed.ndjson.gz')
    expect(object?.headers['content-type']).toBe('application/gzip')
    expect(object?.headers['content-encoding']).toBeUndefined()
    expect(gunzipSync(object?.body ?? '').toString()).toBe(`${JSON.stringify(sample[0])}\n`)
  })
})

test('without credentials it says what to set', async () => {
  const names = ['AWS_EC2_METADATA_DISABLED', 'AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE'] as const
  const before = names.map((name) => process.env[name])
  onEnd(() => {
    for (const [at, name] of names.entries()) {
      if (before[at] === undefined) delete process.env[name]
      else process.env[name] = before[at]
    }
  })
  process.env['AWS_EC2_METADATA_DISABLED'] = 'true'
  process.env['AWS_CONFIG_FILE'] = process.env['AWS_SHARED_CREDENTIALS_FILE'] = '/nonexistent'
  const sink = await open({ bucket: 'audit', region: 'us-east-1', path_style: false, files: 'per_event' })
  await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    message: 'no credentials found: set access_key_id and secret_access_key, or give this machine a role',
  })
})
