/** The gcs sink on a strict fake: conformance, service accounts, permissions, and what Google says. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createSinkHttp } from '../../src/contract/http.ts'
import { openSink, storesEachEvent } from '../../test/conformance/object-sink.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { eventBatch, signIn, signInKey, target } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import { type FakeGcs, startFakeGcs } from '../../test/support/stores/gcs.ts'
import { SignIn } from './sign-in.ts'
import gcs from './sink.ts'

type Options = Parameters<typeof gcs.create>[0]['options']

const never = new AbortController().signal
const tls = { ca_file: caFile, verify: true }

let google: FakeGcs
beforeAll(async () => {
  google = await startFakeGcs()
})
beforeEach(() => {
  google.objects.clear()
  google.behave(null)
})
afterAll(() => google.close())

const reach = (more: Partial<Options> = {}): Options => ({
  bucket: google.bucket,
  service_account_key: JSON.stringify(google.keyFile),
  endpoint: google.url,
  token_endpoint: `${google.url}/token`,
  files: 'per_event',
  ...more,
})

const open = (options: Options) => openSink(gcs, options)

const batch = (events: readonly object[], id?: string) => eventBatch('audit-gcs', events, id)

const sample = [signIn]

sinkConformance({
  definition: gcs,
  options: () => reach({ files: 'per_batch' }),
  http: { because: 'it signs in by itself, and writes objects' },
  tls,
  stored: async () =>
    [...google.objects]
      .sort()
      .flatMap(([, { body }]) => body.toString().split('\n').slice(0, -1))
      .map((line) => JSON.parse(line)),
})

test('a file per event, with what was configured; one token for all of them', async () => {
  google.tokens.clear()
  const sink = await open(reach({ storage_class: 'NEARLINE' }))
  await storesEachEvent(sink, async () => {
    return new Map(
      [...google.objects].map(([key, { body, about }]) => [key, { body, type: about['contentType'] }]),
    )
  })
  for (const { about } of google.objects.values()) expect(about).toMatchObject({ storageClass: 'NEARLINE' })
  await sink.write(batch(sample, 'another'), never)
  expect(google.tokens.size).toBe(1)
})

test('who may only create is enough: a repeat meets what an earlier try stored', async () => {
  const sink = await open(reach())
  const events = [...sample, { ...sample[0], id: 8 }]
  google.objects.set(signInKey, { body: Buffer.from('{}'), about: {} })
  await sink.write(batch(events), never)
  expect([...google.objects.keys()].sort()).toEqual([
    signInKey,
    signInKey.replace('-7-', '-8-').replace('-0.json', '-1.json'),
  ])
})

test('a permission that is taken parks, and when it is back everything arrives once', async () => {
  const sink = await open(reach())
  google.permissions.delete('create')
  await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    status: 403,
    message:
      'Google refused: storage.objects.create must be granted on audit: ' +
      'the role Storage Object Creator (forbidden)',
  })
  expect(google.objects.size).toBe(0)
  google.permissions.add('create')
  await sink.write(batch(sample), never)
  expect([...google.objects.keys()]).toEqual([signInKey])
})

test('a token that is taken back is asked for anew by the next try', async () => {
  const sink = await open(reach())
  await sink.write(batch(sample, 'one'), never)
  google.tokens.clear()
  await expect(sink.write(batch(sample, 'two'), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    status: 401,
  })
  await sink.write(batch(sample, 'two'), never)
  expect(google.objects.size).toBe(2)
})

test('who gives up throws no token away', async () => {
  google.tokens.clear()
  const host = createSinkHttp(target({}, { tls }))
  onEnd(() => host.close())
  const signedIn = new SignIn(reach(), host.http)
  const first = await signedIn.headers(never)
  await expect(signedIn.headers(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
  expect(await signedIn.headers(never)).toEqual(first)
  expect(google.tokens.size).toBe(1)
})

test('a key file is read; one that is missing or something else says so, and no secret', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'gcs-'))
  onEnd(() => rm(folder, { recursive: true }))
  const file = join(folder, 'key.json')
  const { service_account_key: held = '', ...rest } = reach()
  await writeFile(file, held)
  const sink = await open({ ...rest, key_file: file })
  await sink.write(batch(sample), never)
  await writeFile(file, JSON.stringify({ type: 'external_account', hunter2: 'x' }))
  const other = await open({ ...rest, key_file: file })
  await expect(other.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    message: 'key_file must be the key of a service account',
  })
  await expect(
    (await open({ ...rest, key_file: `${file}.no` })).write(batch(sample), never),
  ).rejects.toMatchObject({
    kind: 'unauthorized',
    message: `reading key_file ${file}.no: ENOENT`,
  })
  const foreign = JSON.stringify({
    ...google.keyFile,
    client_email: 'nobody@acme-prod.iam.gserviceaccount.com',
  })
  await expect(
    (await open(reach({ service_account_key: foreign }))).write(batch(sample), never),
  ).rejects.toMatchObject({
    kind: 'unauthorized',
    message:
      'signing in to Google: the key is not accepted, ' +
      'check whether it is disabled or deleted, and the clock of this machine',
  })
})

test('a missing bucket is named', async () => {
  const sink = await open(reach({ bucket: 'nowhere' }))
  await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'not_found',
    message: 'Google refused: there is no bucket nowhere: create it, or correct bucket (notFound)',
  })
})

test.each([
  [403, 'rateLimitExceeded', 'retry'],
  [429, 'rateLimitExceeded', 'retry'],
  [503, 'backendError', 'retry'],
  [403, 'billingDisabled', 'unauthorized'],
  [413, 'uploadTooLarge', 'too_large'],
  [400, 'somethingNew', 'refused'],
  [308, 'none', 'refused'],
])('%i %s means %s, and is asked once', async (status, reason, kind) => {
  const sink = await open(reach())
  await sink.write(batch(sample), never)
  google.behave((response) =>
    response
      .writeHead(status, { 'retry-after': '2', location: '/x' })
      .end(JSON.stringify({ error: { code: status, message: 'no', errors: [{ reason }] } })),
  )
  const before = google.asked.length
  await expect(sink.write(batch(sample, 'b'), never)).rejects.toMatchObject({
    kind,
    status,
    retryAfterMs: 2000,
  })
  expect(google.asked).toHaveLength(before + 1)
})

test('answers of somebody else, silence, and who gives no tokens', async () => {
  const sink = await open(reach())
  await sink.write(batch(sample), never)
  google.behave((response) => response.writeHead(200).end('<html>sign in</html>'))
  await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'refused',
    message: "the endpoint answered 200 without the name of the object: it is none of Google's",
  })
  google.behave(() => undefined)
  await expect(sink.write(batch(sample), AbortSignal.timeout(100))).rejects.toMatchObject({
    name: expect.stringMatching(/^(OutcomeError|TimeoutError|AbortError)$/),
  })
  google.behave((response) => response.writeHead(503).end())
  await expect((await open(reach())).write(batch(sample), never)).rejects.toMatchObject({
    kind: 'retry',
    message: 'signing in to Google: it answered 503 Service Unavailable',
  })
})
