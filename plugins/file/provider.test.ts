/** The file provider: conformance, paths that must stay inside, and every way in which a file changes. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { providerConformance } from '../../test/conformance/provider-suite.ts'
import { onEnd } from '../../test/support/cleanup.ts'
import { tempDir } from '../../test/support/files.ts'
import { Mount } from '../../test/secrets/bed.ts'
import { until } from '../../test/support/wait.ts'
import file from './provider.ts'

const never = new AbortController().signal

providerConformance({
  definition: file,
  start() {
    const root = mkdtempSync(join(tmpdir(), 'mirrorgate-file-provider-'))
    return {
      options: { root },
      put(path, fields) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), JSON.stringify(fields))
      },
      // What its owner may not read, root may.
      deny(path) {
        unlinkSync(join(root, path))
        symlinkSync('/etc/hostname', join(root, path))
      },
      behave: { because: 'a disk answers or fails' },
      close: () => rmSync(root, { recursive: true }),
    }
  },
  path: (name) => `team/${name}`,
  workato: { good: [], bad: ['salt/token'] },
})

async function open() {
  const root = await tempDir()
  const provider = file.create({ root })
  onEnd(() => provider.close())
  return { root, provider, read: (path: string) => provider.read({ path, key: null }, never) }
}

test.each([
  ['token', 'token'],
  ['token\n', 'token'],
  ['token\r\n', 'token'],
  ['token\n\n', 'token\n'],
  [' token ', ' token '],
  ['two\nlines\n', 'two\nlines'],
])('one newline at the end of %j is not part of the secret', async (content, value) => {
  const { root, read } = await open()
  await writeFile(join(root, 'one'), content)
  expect(await read('one')).toBe(value)
})

describe('what stands outside of the root is not read', () => {
  test.each([
    '../outside',
    'a/../../outside',
    '/etc/hostname',
    'a\0b',
    '..\\outside',
    'link',
    'folder/hostname',
  ])('%j: denied', async (path) => {
    const { root, read } = await open()
    await writeFile(join(dirname(root), 'outside'), 'canary')
    onEnd(() => rm(join(dirname(root), 'outside'), { force: true }))
    await symlink('/etc/hostname', join(root, 'link'))
    await symlink('/etc', join(root, 'folder'))
    await mkdir(join(root, 'a'))
    await expect(read(path)).rejects.toMatchObject({ name: 'SecretError', kind: 'denied' })
  })

  test('a folder, a named pipe, a huge file and an empty one are no secrets', async () => {
    const { root, read } = await open()
    await mkdir(join(root, 'folder'))
    execFileSync('sh', ['-c', 'mkfifo "$0"', join(root, 'pipe')])
    await writeFile(join(root, 'huge'), Buffer.alloc(2 * 1024 * 1024, 0x61))
    await writeFile(join(root, 'empty'), '')
    await writeFile(join(root, 'binary'), Buffer.from([0xff, 0xfe]))
    for (const path of ['folder', 'pipe', 'huge', 'binary'])
      await expect(read(path), path).rejects.toMatchObject({ kind: 'not_found' })
    await expect(read('empty'), 'not written yet').rejects.toMatchObject({ kind: 'unavailable' })
  })
})

describe('a change is told', () => {
  async function watched(content: string) {
    const { root, provider, read } = await open()
    await mkdir(join(root, 'salt'))
    const path = join(root, 'salt', 'token')
    await writeFile(path, content)
    let changes = 0
    const stop = provider.watch?.(() => {
      changes += 1
    })
    expect(await read('salt/token')).toBe('first')
    const becomes = async (value: string, change: () => Promise<void>) => {
      const before = changes
      await change()
      await until(() => changes > before, { what: `the change to ${value} is told` })
      await until(async () => (await read('salt/token').catch(() => '')) === value, { what: value })
    }
    return { root, path, becomes, stop, changes: () => changes, read }
  }

  test('when a file is written, replaced by another, or its folder is', async () => {
    const { root, path, becomes } = await watched('first')
    await becomes('second', () => writeFile(path, 'second'))
    await becomes('third', async () => {
      await writeFile(`${path}.new`, 'third')
      await rename(`${path}.new`, path)
    })
    await becomes('fourth', async () => {
      await mkdir(join(root, 'next'))
      await writeFile(join(root, 'next', 'token'), 'fourth')
      await rename(join(root, 'salt'), join(root, 'old'))
      await rename(join(root, 'next'), join(root, 'salt'))
    })
  })

  test('when Kubernetes swaps a volume', async () => {
    const { root, provider, read } = await open()
    const mount = new Mount(root)
    await mount.put('salt', { token: 'first' })
    let changes = 0
    provider.watch?.(() => {
      changes += 1
    })
    expect(await read('salt/token')).toBe('first')
    for (const token of ['second', 'third']) {
      const before = changes
      await mount.put('salt', { token })
      await until(() => changes > before, { what: `the swap to ${token} is told` })
      expect(await read('salt/token')).toBe(token)
    }
  })

  test('not any more after it was stopped', async () => {
    const { path, stop, changes, read } = await watched('first')
    stop?.()
    await writeFile(path, 'second')
    await until(async () => (await read('salt/token')) === 'second', { what: 'the change' })
    expect(changes()).toBe(0)
  })
})
