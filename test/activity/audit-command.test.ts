/** `mirrorgate audit`, as real processes beside a real gateway: what holds, and what is found. */
import crypto from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { verify } from '../../src/audit/verify.ts'
import { run } from '../support/command-line.ts'
import { tempDir } from '../support/files.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const opsToken = 'ops-token-0123456789'
const prodToken = 'prod-token-0123456789'
const collections = [{ name: 'a', upstreams: [{ url: 'http://127.0.0.1:9' }] }]

const line = (at: number): string =>
  JSON.stringify({
    event_type: 'recipe_updated',
    user: { id: 10 + (at % 3), name: 'Jie', email: 'jie@example.com' },
    resource: { id: at, name: `recipe ${at} "ü"`, type: 'Flow' },
    timestamp: new Date(Date.UTC(2026, 0, 1) + at * 60_000).toISOString(),
  })

/** A file of so many entries of another system. */
async function fileOf(entries: number): Promise<string> {
  const file = join(await tempDir(), 'in.ndjson')
  await writeFile(file, Array.from({ length: entries }, (_, at) => `${line(at)}\n`).join(''))
  return file
}

async function tokenFileOf({ folder, admin }: TestGateway): Promise<string[]> {
  const file = join(folder, 'token')
  await writeFile(file, opsToken)
  return ['--url', `http://127.0.0.1:${admin.port}`, '--token-file', file]
}

const startGateway = () =>
  startTestGateway({
    config: {
      collections,
      admin: {
        port: 0,
        clients: [
          { name: 'ops', token: opsToken, role: 'admin' },
          { name: 'prod', token: prodToken, role: 'admin', environment: 'prod' },
        ],
      },
    },
  })

describe('a log that was not touched', () => {
  let gateway: TestGateway
  let exported: string

  beforeAll(async () => {
    gateway = await startGateway()
    const target = await tokenFileOf(gateway)
    const file = await fileOf(2500)
    expect(await run(['audit', 'import', file, ...target])).toMatchObject({
      code: 0,
      stdout: '2,500 entries are in the log\n',
      stderr: '100 % 2,500 entries\n',
    })
    exported = join(gateway.folder, 'data', 'out.ndjson')
    const { text } = await gateway.admin.call('GET', '/api/activity_logs/export?format=ndjson')
    await writeFile(exported, text)
  })

  test('verifies while the gateway runs', async () => {
    const { code, stdout } = await run(['audit', 'verify', gateway.dataDir, '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, finding: null, gaps: 0 })
    expect(JSON.parse(stdout).entries).toBeGreaterThan(2500)
    expect(JSON.parse(stdout).checkpoints).toBeGreaterThanOrEqual(2)
    expect(code).toBe(0)
  })

  test('an import that is repeated enters nothing twice', async () => {
    const file = await fileOf(2500)
    expect(await run(['audit', 'import', file, ...(await tokenFileOf(gateway))])).toMatchObject({ code: 0 })
    const { total } = await gateway.admin.json<{ total: number }>(
      'GET',
      '/api/activity_logs?include_event_types[]=recipe_updated',
    )
    expect(total).toBe(2500)
  })

  test('exports verify elsewhere with nothing but the public keys', async () => {
    const elsewhere = await tempDir()
    await writeFile(join(elsewhere, 'export.ndjson'), await readFile(exported))
    const { text } = await gateway.admin.call('GET', '/api/activity_logs/jwks.json')
    await writeFile(join(elsewhere, 'keys.json'), text)
    const keys = ['--jwks', join(elsewhere, 'keys.json')]
    const { code, stdout } = await run(['audit', 'verify', join(elsewhere, 'export.ndjson'), ...keys])
    expect(stdout).toMatch(/^dev: 2,5\d\d entries, 1 to \d+\n1 signed checkpoints hold; /)
    expect(stdout).toMatch(/\nok: nothing was altered, removed or inserted\n$/)
    expect(code).toBe(0)
  })

  test('the command exports what the admin port exports', async () => {
    const out = join(await tempDir(), 'out.ndjson')
    const args = ['--environment', 'dev', '-o', out]
    expect(await run(['audit', 'export', gateway.dataDir, ...args])).toMatchObject({ code: 0, stdout: '' })
    const entries = (text: string) => text.split('\n').filter((one) => one.includes('"recipe_updated"'))
    expect(entries(await readFile(out, 'utf8'))).toEqual(entries(await readFile(exported, 'utf8')))
    const some = ['--from', '2026-01-01T00:10:00Z', '--to', '2026-01-01T00:19:00Z']
    const { stdout } = await run(['audit', 'export', gateway.dataDir, ...some])
    expect(entries(stdout)).toHaveLength(10)
    const selection = join(await tempDir(), 'selection.ndjson')
    await writeFile(selection, stdout)
    const keys = ['--jwks', join(gateway.dataDir, 'audit-jwks.json')]
    expect((await run(['audit', 'verify', selection, ...keys])).code).toBe(1)
    const filtered = await run(['audit', 'verify', selection, ...keys, '--filtered'])
    expect(filtered.stdout).toMatch(/ok: every entry is as it was written; a selection cannot show/)
    expect(filtered.code).toBe(0)
  })

  test.each([[], ['--compact']])(
    'a backup beside running writes verifies, and starts a gateway: %j',
    async (...flags) => {
      const target = join(await tempDir(), 'backup')
      let writing = true
      const writes = (async () => {
        while (writing) await gateway.admin.call('POST', '/api/activity_logs', [JSON.parse(line(1))])
      })()
      const { code, stdout } = await run(['audit', 'backup', gateway.dataDir, target, ...flags])
      writing = false
      await writes
      expect({ code, stdout }).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('bytes, with the public keys'),
      })
      expect((await run(['audit', 'verify', target])).code).toBe(0)
      expect(await run(['audit', 'backup', gateway.dataDir, target])).toMatchObject({
        code: 1,
        stderr: `mirrorgate: ${target} must be empty, or not exist\n`,
      })
    },
  )

  test('environments have chains of their own', async () => {
    const headers = { authorization: `Bearer ${prodToken}`, 'content-type': 'application/json' }
    const url = `http://127.0.0.1:${gateway.admin.port}/api/activity_logs`
    for (const at of [1, 2]) {
      const answer = await fetch(url, { method: 'POST', headers, body: line(at) })
      expect(answer.status).toBe(202)
    }
    const text = await (await fetch(`${url}/export?format=ndjson`, { headers })).text()
    const file = join(await tempDir(), 'prod.ndjson')
    await writeFile(file, text)
    const keys = ['--jwks', join(gateway.dataDir, 'audit-jwks.json')]
    expect((await run(['audit', 'verify', file, ...keys])).stdout).toMatch(/^prod: /)
    const whole = await run(['audit', 'verify', gateway.dataDir])
    expect(whole.stdout).toMatch(/dev: .*\nprod: /)
    expect(whole.code).toBe(0)
  })

  test('a finding ends with 1', async () => {
    const file = join(await tempDir(), 'changed.ndjson')
    await writeFile(file, (await readFile(exported, 'utf8')).replace('"recipe 700 ', '"recipe 701 '))
    const keys = ['--jwks', join(gateway.dataDir, 'audit-jwks.json')]
    const { code, stdout } = await run(['audit', 'verify', file, ...keys])
    expect(stdout).toMatch(/^BAD: entry 70\d was altered: its hash does not fit its content$/m)
    expect(code).toBe(1)
  })

  describe('what was done to an export is named', () => {
    const entry = (text: string) => JSON.parse(text) as { id: number; hash: string; prev_hash: string }
    const cases: [string, (lines: string[]) => string[], RegExp][] = [
      [
        'a byte changed',
        (lines) => lines.map((one, at) => (at === 1200 ? one.replace('"Jie"', '"Jio"') : one)),
        /^1201 was altered: its hash does not fit its content$/m,
      ],
      [
        'an entry removed',
        (lines) => lines.toSpliced(1200, 1),
        /^1202 does not follow the entry before it in dev, 1200: something is missing$/m,
      ],
      [
        'an entry inserted twice',
        (lines) => lines.toSpliced(1200, 0, lines[1199] as string),
        /^1200 must have an id above the one before it, 1200$/m,
      ],
      [
        'two entries exchanged',
        (lines) => lines.toSpliced(1200, 2, lines[1201] as string, lines[1200] as string),
        /^1202 does not follow the entry before it/m,
      ],
      [
        'the end cut off',
        (lines) => [...lines.slice(0, 2000), lines.at(-1) as string],
        /^2000 is the last of dev, but the checkpoint of .* signed entries up to \d+: the log was cut off$/m,
      ],
      [
        'the beginning cut off',
        (lines) => lines.slice(10),
        /^11 is the first of dev, but entries before it are missing$/m,
      ],
      ['the checkpoint left out', (lines) => lines.slice(0, -1), /^- there is no checkpoint: /m],
      [
        'the checkpoint changed',
        (lines) => [...lines.slice(0, -1), (lines.at(-1) as string).replace('"removed":0', '"removed":1')],
        /^- the signature of the checkpoint of .* does not hold$/m,
      ],
      ['a line that is none', (lines) => lines.toSpliced(7, 1, '{"id":8}'), /^- line 8 is neither an entry/m],
      [
        'the rest rewritten with hashes that fit',
        (lines) => rewritten(lines),
        /^\d+ is not the one that the checkpoint of .* signed: it or an earlier one was rewritten$/m,
      ],
    ]

    /** What somebody with the format but without the private key can do. */
    function rewritten(lines: string[]): string[] {
      const [last = ''] = lines.slice(-2)
      const at = lines.length - 2
      const { prev_hash } = entry(last)
      const payload = `${last.slice(0, last.indexOf(',"prev_hash":')).replace('Jie', 'Jio')}}`
      const { id } = entry(last)
      const head = Buffer.alloc(40)
      Buffer.from(prev_hash, 'hex').copy(head)
      head.writeBigUInt64BE(BigInt(id), 32)
      const hash = crypto.hash('sha256', Buffer.concat([head, Buffer.from(payload)]), 'hex')
      return lines.toSpliced(at, 1, `${payload.slice(0, -1)},"prev_hash":"${prev_hash}","hash":"${hash}"}`)
    }

    test.each(cases)('%s', async (_name, change, expected) => {
      const lines = (await readFile(exported, 'utf8')).trimEnd().split('\n')
      const file = join(await tempDir(), 'changed.ndjson')
      await writeFile(file, `${change(lines).join('\n')}\n`)
      const jwks = join(gateway.dataDir, 'audit-jwks.json')
      const { finding } = await verify({ place: file, jwks, filtered: false })
      expect(finding === null ? '' : `${finding.id ?? '-'} ${finding.message}`).toMatch(expected)
    })
  })

  test('a key that did not sign it', async () => {
    const other = await startGateway()
    await until(async () => (await run(['audit', 'verify', other.dataDir])).code === 0, { what: 'a store' })
    const keys = ['--jwks', join(other.dataDir, 'audit-jwks.json')]
    const { code, stdout } = await run(['audit', 'verify', exported, ...keys])
    expect(stdout).toMatch(/^BAD: the checkpoint of .* is signed with the unknown key /m)
    expect(code).toBe(1)
  })
})

describe('what cannot be done', () => {
  test.each([
    [['verify', '/nowhere'], 1, 'there is no file or folder /nowhere'],
    [['export', '/nowhere'], 1, 'there is no store in /nowhere'],
    [['backup', '/nowhere', '/nowhere-else'], 1, 'there is no store in /nowhere'],
    [
      ['import', '/nowhere', '--url', 'http://127.0.0.1:9', '--token-file', '/nowhere'],
      1,
      'there is no file /nowhere',
    ],
  ])('%j', async (args, code, message) => {
    expect(await run(['audit', ...args])).toEqual({ code, stdout: '', stderr: `mirrorgate: ${message}\n` })
  })

  test('an entry that is not valid: the gateway says which, and its chunk is not entered', async () => {
    const gateway = await startGateway()
    const file = join(await tempDir(), 'in.ndjson')
    await writeFile(file, `${line(1)}\n{"event_type":7}\n`)
    const { code, stderr } = await run(['audit', 'import', file, ...(await tokenFileOf(gateway))])
    expect(stderr).toMatch(/^mirrorgate: lines 1 to 2: the gateway answered 400: .*\[1\]/)
    expect(code).toBe(1)
    const { total } = await gateway.admin.json<{ total: number }>(
      'GET',
      '/api/activity_logs?include_event_types[]=recipe_updated',
    )
    expect(total).toBe(0)
  })
})
