/** The sink that plugins/README.md prints passes the conformance suite outside the tree, run as printed. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../support/command-line.ts'
import { tempDir } from '../support/files.ts'
import { printed } from '../support/plugins-readme.ts'

/** The command as printed, in the checkout. */
function conformance(folder: string): Promise<{ code: number | null; output: string }> {
  const [npm = '', ...args] = printed.conformance.replace('/path/to/its/folder', folder).split(' ')
  // What this run of vitest says of itself is not for that one.
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|TEST$|NODE_ENV$)/.test(name))
  return new Promise((resolve) => {
    const options = { cwd: root, env: { ...Object.fromEntries(own), NO_COLOR: '1' }, timeout: 25_000 }
    const child = execFile(npm, args, options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, output: stdout + stderr }),
    )
  })
}

async function folderWith(sink: string): Promise<string> {
  const folder = await tempDir()
  await writeFile(join(folder, 'acme.ts'), sink)
  const beside = printed.test.replace("'../../test/", `'${root}test/`).replace("'./sink.ts'", "'./acme.ts'")
  await writeFile(join(folder, 'acme.test.ts'), beside)
  return folder
}

test('the printed sink passes', async () => {
  const { code, output } = await conformance(await folderWith(printed.sink))
  expect(output).toMatch(/Tests +\d\d passed \(\d\d\)/)
  expect(code).toBe(0)
})

test('one that loses a part of what it got does not', async () => {
  const losing = printed.sink.replace('jsonArray(batch.ndjson)', "Buffer.from('[]')")
  expect(losing).not.toBe(printed.sink)
  const { code, output } = await conformance(await folderWith(losing))
  expect(output).toContain('failed')
  expect(code).toBe(1)
})
