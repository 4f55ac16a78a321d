/** The vault provider: conformance, sign-in and renewal, versions of engines, namespaces, paths. */
import { expect, test } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import { type FakeVault, startVault } from '../../test/support/secrets/vault.ts'
import { until } from '../../test/support/wait.ts'
import vault from './provider.ts'

type Options = Parameters<typeof vault.create>[0]

const never = new AbortController().signal

function reach(server: FakeVault, role = true): Options {
  const { token, roleId, secretId } = server.credentials
  const identity = role ? { role_id: roleId, secret_id: secretId } : { token }
  return { address: server.url, ca_file: caFile, approle_path: 'approle', ...identity }
}

providerConformance({
  definition: vault,
  async start() {
    const server = await startVault()
    return {
      options: reach(server),
      put: (path, fields) => server.secrets.set(path, { ...fields }),
      deny: (path) => server.denied.add(path),
      behave: server.behave,
      close: server.close,
    }
  },
  path: (name) => `kv/team/${name}`,
  workato: {
    good: [['password:workato_docs:zendesk', { path: 'workato_docs/zendesk', key: 'password' }]],
    bad: ['password', 'password:engine', ':engine:secret', 'password::secret', 'password:engine:'],
  },
})

/** A Vault that holds `hunter2` at `kv/app`, and a provider for it. */
async function open(own: Partial<Options> = {}, role = true) {
  const server = await startVault()
  onEnd(server.close)
  server.secrets.set('kv/app', { password: 'hunter2' })
  const provider = vault.create({ ...reach(server, role), ...own })
  onEnd(() => provider.close())
  const read = (path = 'kv/app', key = 'password') => provider.read({ path, key }, never)
  const calls = (path: string) =>
    server.asked.filter(({ url }) => url.pathname.startsWith(`/v1/${path}`)).length
  return { server, read, calls }
}

test.each([1, 2] as const)(
  'KV version %i, asked of Vault or configured; an engine may have slashes',
  async (version) => {
    const { server, read, calls } = await open({}, false)
    server.mounts.set('team/a/kv', version)
    server.secrets.set('team/a/kv/deep/app', { password: 'deep' })
    expect(await read('team/a/kv/deep/app')).toBe('deep')
    expect(await read('team/a/kv/deep/app')).toBe('deep')
    expect(calls('sys/internal/ui/mounts/')).toBe(1)

    const told = await open({ kv_version: version }, false)
    told.server.mounts.set('kv', version)
    expect(await told.read()).toBe('hunter2')
    expect(told.calls('sys/')).toBe(0)
  },
)

test('the namespace is sent with every request', async () => {
  const { server, read } = await open({ namespace: 'team-a' })
  await expect(read()).rejects.toMatchObject({ kind: 'denied' })
  server.namespace = 'team-a'
  expect(await read()).toBe('hunter2')
})

test('reads that begin together sign in once', async () => {
  const { read, calls } = await open()
  expect(await Promise.all(Array.from({ length: 16 }, () => read()))).toEqual(Array(16).fill('hunter2'))
  expect(calls('auth/approle/login')).toBe(1)
})

test('a revoked token is replaced by one new sign-in, a missing permission ends after it', async () => {
  const { server, read, calls } = await open()
  await read()
  server.tokens.clear()
  expect(await read()).toBe('hunter2')
  expect(calls('auth/approle/login')).toBe(2)
  server.denied.add('kv/app')
  await expect(read()).rejects.toMatchObject({
    kind: 'denied',
    message: expect.stringMatching(/403 Forbidden: a policy of the token must allow to read kv\/data\/app$/),
  })
  expect(calls('auth/approle/login')).toBe(3)
})

test.each([true, false])('a token is renewed before its lease ends (AppRole: %s)', async (role) => {
  const { server, read, calls } = await open({}, role)
  server.lease_seconds = 1
  const { token } = server.credentials
  server.tokens.set(token, { expires: Date.now() + 1000, renewable: true })
  await read()
  await until(() => calls('auth/token/renew-self') >= 2, { what: 'two renewals' })
  expect(await read()).toBe('hunter2')
  expect(calls('auth/approle/login')).toBe(role ? 1 : 0)
})

test('a lease that cannot be renewed is replaced by a new sign-in in time', async () => {
  const { server, read, calls } = await open()
  server.lease_seconds = 1
  server.renewable = false
  await read()
  await until(async () => (await read()) && calls('auth/approle/login') >= 2, { what: 'a second sign-in' })
  expect(server.asked.every(({ url }) => !url.pathname.endsWith('renew-self'))).toBe(true)
  expect(server.refused).toBe(0)
})

test('a token that has expired cannot be replaced: denied', async () => {
  const { server, read } = await open({}, false)
  server.tokens.clear()
  await expect(read()).rejects.toMatchObject({ kind: 'denied' })
})

test('a wrong AppRole is denied, with what to check', async () => {
  const { read } = await open({ secret_id: 'wrong-secret-id' })
  await expect(read()).rejects.toMatchObject({
    kind: 'denied',
    message: expect.stringMatching(/refused to sign in \(400\): check role_id, secret_id, its uses/),
  })
})

test.each([{}, { role_id: 'r' }, { token: 't', role_id: 'r' }, { token: 't', secret_id: 's' }])(
  'credentials that do not fit: %o',
  (credentials) => {
    const options = { address: 'https://127.0.0.1:9', approle_path: 'approle', ...credentials }
    expect(vault.rule?.(options)).toBe('must have either token, or role_id and secret_id')
    expect(() => vault.create(options)).toThrow('must have either token')
  },
)

test('a deleted version is not found, and said to be deleted', async () => {
  const { server, read } = await open()
  server.secrets.set('kv/app', 'deleted')
  await expect(read()).rejects.toMatchObject({
    kind: 'not_found',
    message: expect.stringContaining('deleted'),
  })
})

test('a path cannot leave its engine', async () => {
  const { server, read } = await open({ kv_version: 2 })
  server.secrets.set('kv/a b/ö?x=%2e%2e', { password: 'odd' })
  expect(await read('kv/a b/ö?x=%2e%2e')).toBe('odd')
  for (const path of ['kv/../../sys/health', 'kv/./app', 'kv//app', 'kv', '/app', 'kv/'])
    await expect(read(path)).rejects.toMatchObject({
      kind: 'not_found',
      message: expect.stringMatching(/must be ENGINE/),
    })
})

test('a number is read as it was written', async () => {
  const { server, read } = await open({ kv_version: 2 })
  const number = '12345678901234567890.10'
  server.behave((response, { path }) => {
    const auth = { client_token: 't', lease_duration: 0 }
    response.end(
      path.endsWith('login') ? JSON.stringify({ auth }) : `{"data":{"data":{"password":${number}}}}`,
    )
  })
  expect(await read()).toBe(number)
})

test('an authority that is not trusted, or a ca_file that is not there, is said', async () => {
  const { server } = await open()
  const { ca_file: _, ...options } = reach(server)
  const stranger = vault.create(options)
  const lost = vault.create({ ...options, ca_file: '/nowhere/ca.pem' })
  const read = (provider: typeof lost) => provider.read({ path: 'kv/app', key: null }, never)
  await expect(read(stranger)).rejects.toMatchObject({
    kind: 'unavailable',
    message: expect.stringMatching(/its certificate cannot be verified$/),
  })
  await expect(read(lost)).rejects.toMatchObject({ message: 'reading ca_file /nowhere/ca.pem: ENOENT' })
})
