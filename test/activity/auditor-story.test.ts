/** docs/audit.md, run as it stands: who stopped mirroring; export; verify elsewhere; change one byte. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../support/command-line.ts'
import { tempDir } from '../support/files.ts'
import { mirrorConfig, startTestGateway } from '../support/gateway.ts'

const page = readFileSync(join(root, 'docs/audit.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, text = '']) => text)

interface Shell {
  readonly code: number | string
  readonly stdout: string
}

function shell(script: string, cwd: string, variables: Record<string, string>): Promise<Shell> {
  const command = `mirrorgate() { "${process.execPath}" "${root}/src/main.ts" "$@"; }\n`
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, ...variables }
    execFile('bash', ['-c', command + script], { cwd, env, timeout: 20_000 }, (error, stdout) =>
      resolve({ code: error?.code ?? 0, stdout }),
    )
  })
}

test('who stopped mirroring, when and from where; and the proof', async () => {
  const TOKEN = 'mallory-token-0123456789'
  const clients = [
    { name: 'mallory', token: TOKEN, role: 'admin' },
    { name: 'auditor', token: 'auditor-token-0123456789', role: 'viewer' },
  ]
  const setup = { upstream: 'http://127.0.0.1:9', collector: 'http://127.0.0.1:9' }
  const gateway = await startTestGateway({
    config: mirrorConfig({ ...setup, rest: { admin: { port: 0, clients } } }),
  })
  await gateway.admin.call('POST', '/api/mirrors/salt/pause')
  const elsewhere = await tempDir()
  const ADMIN = `http://127.0.0.1:${gateway.adminPort}`
  const run = (script: string) =>
    shell(script, elsewhere, { ADMIN, TOKEN: 'auditor-token-0123456789', DATA: gateway.dataDir })
  const [who = '', fetchIt = '', verify = '', forge = ''] = blocks('sh')

  const { data } = JSON.parse((await run(who)).stdout)
  expect(data).toMatchObject([
    {
      event_type: 'mirror_paused',
      user: { name: 'mallory' },
      details: { request: { ip_address: '127.0.0.1' } },
      resource: { name: 'salt', type: 'Mirror' },
    },
  ])
  expect(await run(fetchIt)).toMatchObject({ code: 0 })
  await gateway.stop()

  const checked = await run(verify)
  expect(checked.stdout).toMatch(
    /^dev: \d+ entries, 1 to \d+\n1 signed checkpoints hold; 0 entries are newer\n/,
  )
  expect(checked.stdout).toMatch(/\nok: nothing was altered, removed or inserted\n$/)
  expect(checked.code).toBe(0)

  const forged = await run(forge)
  const lines = (await readFile(join(elsewhere, 'audit.ndjson'), 'utf8')).split('\n')
  const first = lines.findIndex((line) => line.includes('"name":"mallory"')) + 1
  expect(forged.stdout).toMatch(new RegExp(`^BAD: entry ${first} was altered: its hash does not fit`, 'm'))
  expect(forged.code).toBe(1)

  await writeFile(join(elsewhere, 'cut.ndjson'), [...lines.slice(0, 2), ...lines.slice(-2)].join('\n'))
  const cut = await run('mirrorgate audit verify cut.ndjson')
  expect(cut.stdout).toMatch(/^BAD: entry 2 is the last of dev, but .*: the log was cut off$/m)
  expect(await python(run, elsewhere)).toBe(true)
})

/** The verifier of the page says the same; true where there is no Python. */
async function python(run: (script: string) => Promise<Shell>, folder: string): Promise<boolean> {
  if ((await run('python3 -c ""')).code !== 0) return true
  await writeFile(join(folder, 'verify.py'), blocks('python')[0] ?? '')
  const good = await run('python3 verify.py audit.ndjson')
  const forged = await run('python3 verify.py forged.ndjson 2>&1')
  const cut = await run('python3 verify.py cut.ndjson 2>&1')
  expect(good.stdout).toMatch(/^ok: \d+ entries\n$/)
  expect(forged.stdout).toMatch(/^BAD: entry \d+\n$/)
  expect(cut.stdout).toBe('BAD: dev does not end where the checkpoint says\n')
  return true
}
