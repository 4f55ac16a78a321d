/** The azure-blob sink on Azurite: conformance, keys, signatures, Entra, permissions. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSink, sendsNoCopy, storesEachEvent } from '../../test/conformance/object-sink.ts'
import { sinkConformance } from '../../test/conformance/sink-suite.ts'
import { eventBatch, signIn } from '../../test/conformance/target.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { caFile, type Service, startService } from '../../test/support/secrets/service.ts'
import { type Azurite, startAzurite } from '../../test/support/stores/azurite.ts'
import { startFakeEntra } from '../../test/support/entra.ts'
import azure from './sink.ts'

type Options = Parameters<typeof azure.create>[0]['options']

const never = new AbortController().signal

let azurite: Azurite
let container = ''
let containers = 0

beforeAll(async () => {
  azurite = await startAzurite()
  await newContainer()
}, 40_000)
afterAll(() => azurite.close())

async function newContainer(): Promise<string> {
  containers += 1
  container = `audit-${containers}`
  await azurite.createContainer(container)
  return container
}

const reach = (more: Partial<Options> = {}): Options => ({
  account: azurite.account,
  endpoint: azurite.endpoint,
  container,
  files: 'per_event',
  ...more,
})

const open = (options: Options) => openSink(azure, options)

const batch = (events: readonly object[], id?: string) => eventBatch('audit-azure', events, id)

const sample = [signIn]

sinkConformance({
  definition: azure,
  options: () => reach({ account_key: azurite.accountKey, files: 'per_batch' }),
  http: { because: 'it speaks through the SDK of Azure' },
  tls: { ca_file: caFile, verify: true },
  // Each test of the suite begins with an empty container.
  stored: async () => {
    const held = [...(await azurite.blobs(container)).values()]
    await newContainer()
    return held
      .flatMap(({ body }) => body.toString().split('\n').slice(0, -1))
      .map((line) => JSON.parse(line))
  },
})

test('a file goes out as the memory of its batch, not as a copy of it', () =>
  sendsNoCopy(azure, reach({ account_key: azurite.accountKey })))

test('a file per event by a signature, and a retry overwrites what an earlier try had stored', async () => {
  const own = await newContainer()
  const sink = await open(reach({ sas_token: `?${azurite.sign(own, 'cw')}` }))
  await storesEachEvent(sink, () => azurite.blobs(own))
})

test('a permission that is taken parks, and when it is back everything arrives once', async () => {
  const own = await newContainer()
  await azurite.allow(own, 'cw')
  const sink = await open(reach({ sas_token: azurite.sign(own) }))
  await sink.write(batch(sample, 'before'), never)
  await azurite.allow(own, 'r')
  await expect(sink.write(batch(sample, 'meanwhile'), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    status: 403,
    message: expect.stringMatching(/^Azure refused: .*\(Authorization\w+\)$/),
  })
  expect((await azurite.blobs(own)).size).toBe(1)
  await azurite.allow(own, 'cw')
  await sink.write(batch(sample, 'meanwhile'), never)
  expect((await azurite.blobs(own)).size).toBe(2)
})

test('a wrong key and a missing container say so', async () => {
  const account_key = Buffer.from('another key').toString('base64')
  const wrong = await open(reach({ account_key }))
  await expect(wrong.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    message: expect.stringMatching(/^Azure refused: /),
    answer: expect.not.stringContaining(account_key),
  })
  const missing = await open(reach({ account_key: azurite.accountKey, container: 'nowhere' }))
  await expect(missing.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'not_found',
    message:
      'Azure refused: there is no container nowhere in auditlogs: ' +
      'create it, or correct container (ContainerNotFound)',
  })
})

test('an application signs in with Entra; a wrong secret of it says so', async () => {
  const entra = await startFakeEntra()
  onEnd(entra.close)
  const own = await newContainer()
  const { tenant: tenant_id, clientId: client_id, clientSecret: client_secret, url: authority_host } = entra
  const identity = { tenant_id, client_id, client_secret, authority_host }
  const sink = await open(reach(identity))
  await sink.write(batch(sample, 'one'), never)
  await sink.write(batch(sample, 'two'), never)
  expect((await azurite.blobs(own)).size).toBe(2)
  expect(entra.asked.filter(({ url }) => url.pathname.endsWith('/token'))).toHaveLength(1)

  const wrong = await open(reach({ ...identity, client_secret: 'not-the-secret' }))
  await expect(wrong.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'unauthorized',
    message: 'signing in to Azure was refused: check tenant_id, client_id and client_secret',
  })
  entra.behave((response) => response.writeHead(503).end())
  const down = await open(reach({ ...identity, client_secret: 'another' }))
  await expect(down.write(batch(sample), never)).rejects.toMatchObject({
    kind: 'retry',
    message: 'signing in to Azure: it answered 503 Service Unavailable',
  })
})

describe('what Azurite never says', () => {
  let service: Service
  beforeAll(async () => {
    service = await startService(() => ({ status: 500 }))
  })
  afterAll(() => service.close())

  test.each([
    [503, 'ServerBusy', 'retry'],
    [500, 'OperationTimedOut', 'retry'],
    [403, 'AuthorizationPermissionMismatch', 'unauthorized'],
    [403, 'KeyBasedAuthenticationNotPermitted', 'unauthorized'],
    [409, 'ContainerBeingDeleted', 'not_found'],
    [413, 'RequestBodyTooLarge', 'too_large'],
    [400, 'SomethingNew', 'refused'],
    [302, 'Found', 'refused'],
  ])('%i %s means %s, and is asked once', async (status, code, kind) => {
    service.behave((response) =>
      response.writeHead(status, { 'x-ms-error-code': code, 'retry-after': '2', location: '/x' }).end(),
    )
    const before = service.asked.length
    const sink = await open(reach({ endpoint: service.url, account_key: azurite.accountKey }))
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({ kind, status, retryAfterMs: 2000 })
    expect(service.asked).toHaveLength(before + 1)
  })

  test('a container that forbids to overwrite has what an earlier try stored', async () => {
    service.behave((response) =>
      response.writeHead(409, { 'x-ms-error-code': 'BlobImmutableDueToPolicy' }).end(),
    )
    const sink = await open(reach({ endpoint: service.url, account_key: azurite.accountKey }))
    await sink.write(batch(sample), never)
  })

  test('an answer of somebody else is no blob, and silence ends with the signal', async () => {
    const sink = await open(reach({ endpoint: service.url, account_key: azurite.accountKey }))
    service.behave((response) => response.writeHead(200).end('<html>sign in</html>'))
    await expect(sink.write(batch(sample), never)).rejects.toMatchObject({
      kind: 'refused',
      message: 'the endpoint answered 200, which Azure does not',
    })
    service.behave(() => undefined)
    await expect(sink.write(batch(sample), AbortSignal.timeout(100))).rejects.toMatchObject({
      name: expect.stringMatching(/^(OutcomeError|TimeoutError|AbortError)$/),
    })
  })
})
