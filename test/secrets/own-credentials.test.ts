/** What providers sign in with, replaced in its file while they are in use: found without a reload. */
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineProvider, SecretError, Type } from 'mirrorgate/plugin'
import { expect, test } from 'vitest'
import mountedFile from '../../plugins/file/provider.ts'
import { Providers } from '../../src/secrets/providers.ts'
import { onEnd } from '../support/cleanup.ts'
import { tempDir } from '../support/files.ts'
import { until } from '../support/wait.ts'
import { startSecretsBed } from './bed.ts'

const reference = { provider: 'place', path: 'salt', key: null }
const never = new AbortController().signal

/** A provider that shows what it was made with, beside one of mounted files that its password comes from. */
async function open(read: (password: string) => Promise<string> = (password) => Promise.resolve(password)) {
  const root = await tempDir()
  const keyFile = join(root, 'key.json')
  await writeFile(join(root, 'password'), 'first\n')
  await writeFile(keyFile, '{}')
  const seen = { made: [] as string[], closed: 0, changed: [] as string[] }
  const place = defineProvider({
    name: 'fake',
    summary: 'Answers as it is told.',
    options: Type.Object(
      { password: Type.String(), key_file: Type.String() },
      { additionalProperties: false },
    ),
    secretOptions: ['password'],
    pathOptions: ['key_file'],
    rule: ({ password }) => (password.startsWith('wrong') ? 'must not be wrong' : null),
    workato: () => ({ rule: 'is no form of fake' }),
    create({ password }) {
      seen.made.push(password)
      const close = () => {
        seen.closed += 1
      }
      return { read: () => read(password), close }
    },
  })
  const providers = new Providers([place, mountedFile], (name) => seen.changed.push(name))
  onEnd(() => providers.close())
  const options = { password: 'user:first', key_file: keyFile }
  const templates = { password: 'user:${secret:mounted:password}' }
  providers.configure([
    { name: 'place', provider: 'fake', options, templates },
    { name: 'mounted', provider: 'file', options: { root } },
  ])
  const replace = async (name: string, text: string) => {
    await writeFile(join(root, `.${name}`), text)
    await rename(join(root, `.${name}`), join(root, name))
  }
  return { root, seen, replace, read: () => providers.read(reference, never, 5000) }
}

test('a provider is made anew with what its file holds now, and only then', async () => {
  const { read, replace, seen } = await open()
  expect(await read()).toBe('user:first')
  expect(await read()).toBe('user:first')
  expect(seen).toMatchObject({ made: ['user:first'], closed: 0 })
  await replace('password', 'second\n')
  expect(await Promise.all([read(), read(), read()])).toEqual(Array(3).fill('user:second'))
  expect(seen, 'one for all who asked').toMatchObject({ made: ['user:first', 'user:second'], closed: 1 })
  await until(() => seen.changed.includes('place'), { what: 'it is told that its secrets may be others' })
})

test('a file that an option names counts by its content', async () => {
  const { read, replace, seen } = await open()
  await read()
  await read()
  expect(seen.made).toHaveLength(1)
  await replace('key.json', '{"rotated": true}')
  await read()
  expect(seen).toMatchObject({ made: ['user:first', 'user:first'], closed: 1 })
})

test('what is gone, empty or breaks a rule changes nothing', async () => {
  const { root, read, replace, seen } = await open()
  await read()
  await replace('password', '')
  expect(await read()).toBe('user:first')
  await rm(join(root, 'password'))
  await rm(join(root, 'key.json'))
  expect(await read()).toBe('user:first')
  expect(seen.made).toHaveLength(1)
})

test('a refused read is made once more when the file was replaced meanwhile, and not otherwise', async () => {
  const asked: string[] = []
  let whileRefusing = async () => {}
  const bed = await open(async (password) => {
    asked.push(password)
    if (password !== 'user:first') return 'value'
    await whileRefusing()
    throw new SecretError('denied', 'the password is not valid any more')
  })
  await expect(bed.read()).rejects.toThrow('not valid any more')
  expect(asked).toEqual(['user:first'])
  whileRefusing = () => bed.replace('password', 'second')
  expect(await bed.read()).toBe('value')
  expect(asked).toEqual(['user:first', 'user:first', 'user:second'])
})

test('reads on their way end with the provider that they began with', async () => {
  const [begun, hung] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { read, replace, seen } = await open(async (password) => {
    begun.resolve()
    if (password === 'user:first') await hung.promise
    return password
  })
  const early = read()
  await begun.promise
  await replace('password', 'second')
  expect(await read()).toBe('user:second')
  expect(seen.closed, 'it is still read from').toBe(0)
  hung.resolve()
  expect(await early).toBe('user:first')
  await until(() => seen.closed === 1, { what: 'it is closed with its last read' })
})

test('a token of Vault in a mounted file is rotated under a running gateway', async () => {
  const { vault, mount, start } = await startSecretsBed({
    connection: { headers: { Authorization: 'Basic ${secret:vault:kv/salt#token}' } },
    vault: { token: '${secret:mounted:vault/token}' },
  })
  const [old, fresh] = [vault.credentials.token, 'hvs.the-next-one']
  await mount.put('vault', { token: old })
  vault.secrets.set('kv/salt', { token: 'value-one' })
  const bed = await start()
  const sent = () => bed.collector.deliveries.map(({ headers }) => headers['authorization'])
  await bed.send(5)
  await bed.expectAllDelivered()
  expect(new Set(sent())).toEqual(new Set(['Basic value-one']))

  vault.tokens.set(fresh, { expires: Number.POSITIVE_INFINITY, renewable: true })
  vault.tokens.delete(old)
  vault.secrets.set('kv/salt', { token: 'value-two' })
  await bed.gateway.admin.json('POST', '/api/secrets_management/clear_cache')
  await bed.send(5)
  const refused = () => vault.refused > 0
  await until(refused, { what: 'the old token is refused' })
  expect(sent()).not.toContain('Basic value-two')
  await mount.put('vault', { token: fresh })
  await bed.expectAllDelivered()
  expect(sent()).toContain('Basic value-two')
  expect((await bed.gateway.admin.status()).config.generation, 'without a reload').toBe(1)
})
