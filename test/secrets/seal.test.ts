/** Sealed texts: nothing of them is readable, a changed byte is noticed, old keys go on opening. */
import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openSeal, SealError } from '../../src/secrets/seal.ts'
import { filesUnder, tempDir } from '../support/files.ts'

const text = 'Basic canary-sealed-Zürich ✓'
const none = { keyFile: undefined, keyText: undefined }

test('a text comes back, is different each time, and shows nothing of itself', async () => {
  const seal = openSeal({ ...none, dataDir: await tempDir() })
  const [first, second] = [seal.seal(text), seal.seal(text)]
  expect(seal.open(first)).toBe(text)
  expect(seal.open(second)).toBe(text)
  expect(first).not.toBe(second)
  expect(Buffer.from(first.split('.')[2] ?? '', 'base64url').includes('canary')).toBe(false)
})

test('every changed byte is noticed', async () => {
  const seal = openSeal({ ...none, dataDir: await tempDir() })
  const [kind, id, body = ''] = seal.seal('short').split('.')
  const bytes = Buffer.from(body, 'base64url')
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    const sealed = `${kind}.${id}.${changed.toString('base64url')}`
    expect(() => seal.open(sealed), `byte ${at}`).toThrow(SealError)
  }
  for (const wrong of ['', 'plain text', `${kind}.${id}`, `mg2.${id}.${body}`, `${kind}.${id}.AAAA`]) {
    expect(() => seal.open(wrong), wrong).toThrow(SealError)
  }
})

test('a key is made once, for its owner alone, and found again', async () => {
  const dataDir = await tempDir()
  const seal = openSeal({ ...none, dataDir })
  expect(await filesUnder(dataDir), 'none before it is needed').toEqual([])
  const sealed = seal.seal(text)
  const file = join(dataDir, 'seal-key')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await readFile(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
  expect(openSeal({ ...none, dataDir }).open(sealed)).toBe(text)
})

test('a new first key seals, and what older keys sealed still opens', async () => {
  const dataDir = await tempDir()
  const made = openSeal({ ...none, dataDir }).seal(text)
  const [old, fresh] = [randomBytes(32).toString('base64'), randomBytes(32).toString('hex')]
  const underOld = openSeal({ ...none, keyText: old, dataDir }).seal(text)
  const keyFile = join(dataDir, 'keys')
  await writeFile(keyFile, `${fresh}\n${old}\n`)
  const rotated = openSeal({ keyFile, keyText: undefined, dataDir })
  expect(rotated.open(made), 'by the key that was made').toBe(text)
  expect(rotated.open(underOld), 'by the old key').toBe(text)
  const underFresh = rotated.seal(text)
  expect(openSeal({ ...none, keyText: fresh, dataDir }).open(underFresh)).toBe(text)
  expect(() => openSeal({ ...none, keyText: old, dataDir }).open(underFresh)).toThrow(/which is not here$/)
})

test('a key that cannot be used stops the start, and is not shown', async () => {
  const dataDir = await tempDir()
  expect(() => openSeal({ ...none, keyText: 'hunter2', dataDir })).toThrow(
    'MIRRORGATE_SEAL_KEY must hold keys of 32 bytes as hex or base64, the newest first: ' +
      'make one with openssl rand -hex 32',
  )
  expect(() => openSeal({ ...none, keyFile: join(dataDir, 'gone'), dataDir })).toThrow(
    /cannot be read \(ENOENT\)/,
  )
})
