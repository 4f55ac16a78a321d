/** The azure-key-vault provider: conformance, challenges, client credentials, managed identity, versions. */
import { expect, test, vi } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { type FakeAzure, startAzure } from '../../test/support/secrets/azure.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import azure from './provider.ts'

type Options = Parameters<typeof azure.create>[0]

const never = new AbortController().signal

function reach({ url, tenant, clientId, clientSecret }: FakeAzure): Options {
  const identity = {
    tenant_id: tenant,
    client_id: clientId,
    client_secret: clientSecret,
    authority_host: url,
  }
  return { vault_url: url, ...identity, verify_vault_host: false, ca_file: caFile }
}

providerConformance({
  definition: azure,
  async start() {
    const server = await startAzure()
    return {
      options: reach(server),
      put: (path, fields) => server.secrets.set(path, JSON.stringify(fields)),
      deny: (path) => server.denied.add(path),
      behave: server.behave,
      close: server.close,
    }
  },
  path: (name) => `team-${name}`,
  workato: {
    good: [['airtable-api', { path: 'airtable-api', key: null }]],
    bad: ['key:secret', 'with space', 'a/b', 'x'.repeat(128)],
  },
})

async function open(own: Partial<Options> = {}) {
  const server = await startAzure()
  onEnd(server.close)
  server.secrets.set('app', 'hunter2')
  const provider = azure.create({ ...reach(server), ...own })
  onEnd(() => provider.close())
  const calls = (path: RegExp) => server.asked.filter(({ url }) => path.test(url.pathname)).length
  return { server, calls, read: (path = 'app') => provider.read({ path, key: null }, never) }
}

test('the first request carries no token, and one sign-in serves the reads after it', async () => {
  const { server, read, calls } = await open()
  for (let n = 0; n < 3; n += 1) expect(await read()).toBe('hunter2')
  expect(server.asked[0]?.headers.authorization).toBeUndefined()
  expect(calls(/oauth2\/v2\.0\/token$/)).toBe(1)
})

test('a version of a secret', async () => {
  const { server, read } = await open()
  const version = '0123456789abcdef0123456789abcdef'
  server.secrets.set(`app/${version}`, 'hunter1')
  expect(await read(`app/${version}`)).toBe('hunter1')
  for (const path of ['app/latest', 'a b', '../keys/app', 'app/'])
    await expect(read(path)).rejects.toMatchObject({
      kind: 'not_found',
      message: expect.stringContaining('must be NAME'),
    })
})

test.each([{ client_secret: 'wrong-client-secret' }, { tenant_id: '00000000-0000-4000-8000-000000000000' }])(
  'a sign-in that is refused is denied, with what to check: %o',
  async (own) => {
    const { read } = await open(own)
    await expect(read()).rejects.toMatchObject({
      kind: 'denied',
      message: expect.stringMatching(
        /signing in to Azure was refused( \(401\))?: check tenant_id, client_id/,
      ),
    })
  },
)

test('a secret that is disabled is denied', async () => {
  const { server, read } = await open()
  server.secrets.set('app', null)
  await expect(read()).rejects.toMatchObject({ kind: 'denied', message: expect.stringContaining('disabled') })
})

test('a vault outside the domain that Azure signs in to gets no token', async () => {
  const { read, calls } = await open({ verify_vault_host: true })
  await expect(read()).rejects.toMatchObject({
    kind: 'denied',
    message: expect.stringContaining('vault_url must be'),
  })
  expect(calls(/token$/)).toBe(0)
})

test('the identity of the machine, and that of the next provider after the first was closed', async () => {
  const { server, calls } = await open()
  for (const name of Object.keys(process.env)) if (name.startsWith('AZURE_')) vi.stubEnv(name, undefined)
  vi.stubEnv('IDENTITY_ENDPOINT', `${server.url}/msi/token`)
  vi.stubEnv('IDENTITY_HEADER', server.identityHeader)
  vi.stubEnv('AZURE_TOKEN_CREDENTIALS', 'ManagedIdentityCredential')
  onEnd(() => vi.unstubAllEnvs())
  for (const identity of [{ client_id: server.clientId }, {}]) {
    const options = { vault_url: server.url, ...identity, verify_vault_host: false, ca_file: caFile }
    const provider = azure.create(options)
    expect(await provider.read({ path: 'app', key: null }, never)).toBe('hunter2')
    await provider.close()
  }
  expect(calls(/^\/msi\/token$/)).toBe(2)
})

test.each([{ tenant_id: 't' }, { client_secret: 's' }, { client_id: 'c', client_secret: 's' }])(
  'credentials that do not fit: %o',
  (own) => {
    const options = { vault_url: 'https://127.0.0.1:9', verify_vault_host: true, ...own }
    expect(azure.rule?.(options)).toMatch(/^must have /)
    expect(() => azure.create(options)).toThrow('must have')
  },
)
