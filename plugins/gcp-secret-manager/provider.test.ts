/** The gcp-secret-manager provider: conformance, names and versions, service accounts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test, vi } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { type FakeGcp, startGcp } from '../../test/support/secrets/gcp.ts'
import { caFile } from '../../test/support/secrets/service.ts'
import gcp from './provider.ts'

type Options = Parameters<typeof gcp.create>[0]

const never = new AbortController().signal
const folder = mkdtempSync(path.join(tmpdir(), 'gcp-keys-'))
onEnd(() => rmSync(folder, { recursive: true }))

function keyFile(server: FakeGcp, changes: Record<string, string> = {}): string {
  const file = path.join(folder, `${path.basename(server.url)}-${Object.keys(changes).join('-')}.json`)
  writeFileSync(file, JSON.stringify({ ...server.keyFile, ...changes }))
  return file
}

function reach(server: FakeGcp): Options {
  return { endpoint: server.url.slice('https://'.length), key_file: keyFile(server), ca_file: caFile }
}

providerConformance({
  definition: gcp,
  async start() {
    const server = await startGcp()
    const full = (name: string) => `projects/${server.project}/secrets/${name}`
    return {
      options: reach(server),
      put: (name, fields) => server.secrets.set(full(name), JSON.stringify(fields)),
      deny: (name) => server.denied.add(full(name)),
      behave: server.behave,
      close: server.close,
    }
  },
  path: (name) => `team-${name}`,
  workato: {
    good: [
      ['airtable-api', { path: 'airtable-api', key: null }],
      ['projects/p/secrets/s/versions/3', { path: 'projects/p/secrets/s/versions/3', key: null }],
    ],
    bad: ['key:secret', 'with space', 'a/b', 'projects/p/secrets/../s'],
  },
})

async function open(own: (server: FakeGcp) => Partial<Options> = () => ({})) {
  const server = await startGcp()
  onEnd(server.close)
  server.secrets.set(`projects/${server.project}/secrets/app`, 'hunter2')
  const provider = gcp.create({ ...reach(server), ...own(server) })
  onEnd(() => provider.close())
  return { server, read: (name = 'app') => provider.read({ path: name, key: null }, never) }
}

test.each([
  ['app', 'acme-prod', 'app'],
  ['app/versions/3', 'acme-prod', 'app/versions/3'],
  ['projects/other/secrets/app', 'other', 'app'],
  ['projects/other/secrets/app/versions/3', 'other', 'app/versions/3'],
  ['projects/other/locations/europe-west3/secrets/app', 'other/locations/europe-west3', 'app'],
])('%s', async (name, project, secret) => {
  const { server, read } = await open()
  server.secrets.set(`projects/${project}/secrets/${secret}`, 'this one')
  expect(await read(name)).toBe('this one')
})

test('a project that is configured comes before that of the credentials', async () => {
  const { server, read } = await open(() => ({ project: 'shared' }))
  server.secrets.set('projects/shared/secrets/app', 'shared one')
  expect(await read()).toBe('shared one')
})

test('a path that is no name is not asked for', async () => {
  const { server, read } = await open()
  for (const name of ['../app', 'a b', 'projects/p/secrets/', 'app/versions/'])
    await expect(read(name)).rejects.toMatchObject({
      kind: 'not_found',
      message: expect.stringMatching(/^the path must be/),
    })
  expect(server.asked).toHaveLength(0)
})

test('a disabled version is not found, bytes that are no text are refused', async () => {
  const { server, read } = await open()
  server.secrets.set(`projects/${server.project}/secrets/app`, null)
  await expect(read()).rejects.toMatchObject({
    kind: 'not_found',
    message: expect.stringContaining('disabled'),
  })
  server.secrets.set(`projects/${server.project}/secrets/app`, Buffer.from([0xff]))
  await expect(read()).rejects.toMatchObject({ kind: 'not_found', message: expect.stringContaining('UTF-8') })
})

test('a key that Google does not know is denied', async () => {
  const { read } = await open((server) => ({ key_file: keyFile(server, { private_key_id: 'revoked' }) }))
  await expect(read()).rejects.toMatchObject({
    kind: 'denied',
    message: expect.stringContaining('UNAUTHENTICATED'),
  })
})

test('a key file that cannot be used is denied, and read again by the next read', async () => {
  const file = path.join(folder, 'later.json')
  const { server, read } = await open(() => ({ key_file: file }))
  await expect(read()).rejects.toMatchObject({ kind: 'denied', message: `reading key_file ${file}: ENOENT` })
  for (const text of ['{"type":"service_account"}', '{"type":"external_account"}', 'not JSON']) {
    writeFileSync(file, text)
    const message = expect.stringContaining(`got ${file}`)
    await expect(read()).rejects.toMatchObject({ kind: 'denied', message })
  }
  writeFileSync(file, JSON.stringify(server.keyFile))
  expect(await read()).toBe('hunter2')
})

test('without key_file, the credentials that the machine names', async () => {
  const { server } = await open()
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', keyFile(server))
  onEnd(() => vi.unstubAllEnvs())
  const { key_file: _, ...options } = reach(server)
  const provider = gcp.create(options)
  onEnd(() => provider.close())
  expect(await provider.read({ path: 'app', key: null }, never)).toBe('hunter2')
})

test('the debug log of the SDK gets no value', async () => {
  const written: string[] = []
  const log = vi.spyOn(console, 'error').mockImplementation((...said) => {
    written.push(said.join(' '))
  })
  vi.stubEnv('GOOGLE_SDK_NODE_LOGGING', '*')
  onEnd(() => {
    log.mockRestore()
    vi.unstubAllEnvs()
  })
  const { read } = await open()
  await read()
  await read('none').catch(() => undefined)
  expect(written.join('')).toContain('secretmanager')
  const bytes = [...Buffer.from('hunter2')].join(',')
  for (const form of ['hunter2', Buffer.from('hunter2').toString('base64'), bytes])
    expect(written.join('')).not.toContain(form)
})
