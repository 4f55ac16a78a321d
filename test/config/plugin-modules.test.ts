/** Modules of plugins that do not end: neither their loading nor what they open keeps anybody waiting. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { importPlugin } from '../../src/config/plugin-import.ts'
import { root, run } from '../support/command-line.ts'
import { tempDir } from '../support/files.ts'

test('loading is bounded', async () => {
  const file = join(await tempDir(), 'waiting.mjs')
  await writeFile(file, 'await new Promise(() => {})\nexport default 1\n')
  await expect(importPlugin(pathToFileURL(file).href, 50)).rejects.toThrow('must load within 50 ms')
})

test('a check ends although a plugin opened something that stays', async () => {
  const folder = await tempDir()
  const own = JSON.stringify(join(root, 'test/config/bad/plugins/own.cjs'))
  await writeFile(join(folder, 'open.cjs'), `setInterval(() => {}, 1000)\nmodule.exports = require(${own})\n`)
  const file = join(folder, 'gateway.yaml')
  const collections = 'collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:3000" }] }]'
  await writeFile(file, `plugins: [./open.cjs]\n${collections}\n`)
  const { code, stdout } = await run(['check', '--config', file])
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'ok: 1 collection, 0 mirrors\n' })
})
