/** The command line as real processes: what it prints where, and its exit codes. */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root, run } from '../support/command-line.ts'
import { tempDir } from '../support/files.ts'

const launcher = join(root, 'bin/mirrorgate.js')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const api = 'collections: [{ name: api, upstreams: [{ url: "http://127.0.0.1:3000" }] }]\n'

async function fileWith(text: string): Promise<string> {
  const file = join(await tempDir(), 'gateway.yaml')
  await writeFile(file, text)
  return file
}

describe('check', () => {
  test('gateway.yaml at the root is fine as it is', async () => {
    expect(await run(['check', '--config', 'gateway.yaml'])).toEqual({
      code: 0,
      stdout: 'ok: 1 collection, 1 mirror\n',
      stderr: '',
    })
  })

  test('prints every problem with its place and ends with 1', async () => {
    const file = await fileWith(`listen: { port: 99999 }\n${api}colections: []\n`)
    const { code, stdout, stderr } = await run(['check', '--config', file])
    expect(stdout).toBe(
      `${file}:1:17 listen.port: must be at most 65535, got 99999\n` +
        `${file}:3:1 colections: is not a known key, did you mean \`collections\`?\n`,
    )
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
  })

  test('warnings go to stderr and do not count', async () => {
    const file = await fileWith(`${api}connections: [{ name: Nobody }]\n`)
    expect(await run(['check', '--config', file])).toEqual({
      code: 0,
      stdout: 'ok: 1 collection, 0 mirrors\n',
      stderr: `warning: ${file}:2:23 connections[0].name: no mirror or stream uses this connection\n`,
    })
  })

  test('--json prints one object', async () => {
    const bad = await run(['check', '--json', '--config', '-'], { input: 'collections: []\n' })
    const message = 'must have at least 1 item, got an empty list'
    const problems = [{ file: '-', line: 1, column: 14, path: 'collections', message }]
    expect(bad.code).toBe(1)
    expect(JSON.parse(bad.stdout)).toEqual({
      ...{ ok: false, file: '-', collections: 0, mirrors: 0 },
      ...{ problems, warnings: [] },
    })
    const good = await run(['check', '--json', '--config', '-'], { input: api })
    expect(good.code).toBe(0)
    expect(JSON.parse(good.stdout)).toMatchObject({ ok: true, collections: 1, problems: [], warnings: [] })
  })

  test('- reads stdin', async () => {
    expect(await run(['check', '--config', '-'], { input: api })).toMatchObject({
      code: 0,
      stdout: 'ok: 1 collection, 0 mirrors\n',
    })
  })

  test('a file that is not there is a problem', async () => {
    const { code, stdout } = await run(['check', '--config', '/nowhere/gateway.yaml'])
    expect(stdout).toBe('/nowhere/gateway.yaml:1:1: cannot be read: there is no such file\n')
    expect(code).toBe(1)
  })
})

describe('docs', () => {
  const withPlugin = (plugin: string) =>
    fileWith(
      `plugins: [${JSON.stringify(join(root, 'test/config/bad/plugins', plugin))}]\n${api}mirrors: 5\n`,
    )

  test('page and schema have the sink of a plugin, whatever else is wrong with the file', async () => {
    const file = await withPlugin('own.cjs')
    const page = await run(['docs', '--config', file])
    expect(page.stdout).toContain('## `mirrors[]` and `streams[]` with `sink: own`')
    expect(page.stdout.startsWith('# Configuration\n')).toBe(true)
    const schema = await run(['docs', '--schema', '--config', file])
    const definitions = Object.keys((JSON.parse(schema.stdout) as { $defs: object }).$defs)
    expect(definitions).toEqual(expect.arrayContaining(['mirror_own', 'stream_own', 'mirror_salt']))
    expect([page.code, schema.code]).toEqual([0, 0])
  })

  test('a plugin that is wrong is a problem', async () => {
    const file = await withPlugin('nothing.cjs')
    const { code, stdout } = await run(['docs', '--config', file])
    expect(stdout).toContain(`${file}:1:11 plugins[0]: must export a sink or a provider of secrets`)
    expect(code).toBe(1)
  })
})

describe('help and version', () => {
  test.each([
    [['--help'], 'Usage: mirrorgate [command]'],
    [['start', '--help'], 'Usage: mirrorgate start'],
    [['check', '--help'], 'Usage: mirrorgate check'],
    [['docs', '--help'], 'Usage: mirrorgate docs'],
    [['demo', '--help'], 'Usage: mirrorgate demo'],
    [['audit', '--help'], 'Usage: mirrorgate audit'],
    [['--version'], `${version}\n`],
  ])('%j goes to stdout, exit code 0', async (args, beginning) => {
    const { code, stdout, stderr } = await run(args)
    expect(stdout.slice(0, beginning.length)).toBe(beginning)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
})

describe('wrong usage', () => {
  test.each([
    [['chek'], 'there is no command "chek", known are start, check, docs, demo, audit'],
    [['--nothing'], "unknown option '--nothing'"],
    [['check', 'gateway.yaml'], "unexpected argument 'gateway.yaml'"],
    [['check', '--config'], "option '--config <value>' argument missing"],
    [['start', '--json'], "unknown option '--json'"],
    [['audit'], 'audit needs one of verify, export, import, backup'],
    [['audit', 'verfy'], 'audit has no verfy, known are verify, export, import, backup'],
    [['audit', 'verify'], 'audit verify needs DIR|FILE, got 0 operands'],
    [['audit', 'verify', 'data', '--compact'], "unknown option '--compact'"],
    [['audit', 'export', 'data', '--from', 'noon'], '--from must be an ISO 8601 time, got noon'],
    [['audit', 'import', 'x', '--url', 'http://127.0.0.1'], '--url and --token-file go together'],
    [['constructor'], 'there is no command "constructor", known are start, check, docs, demo, audit'],
  ])('%j says why on stderr, exit code 2', async (args, sentence) => {
    expect(await run(args)).toEqual({
      code: 2,
      stdout: '',
      stderr: `mirrorgate: ${sentence}\nTry mirrorgate --help\n`,
    })
  })
})

describe('start', () => {
  test('with a wrong configuration every problem goes to stderr, exit code 1', async () => {
    const file = await fileWith('collections: []\nlisten: { port: -1 }\n')
    expect(await run(['start', '--config', file])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        `${file}:1:14 collections: must have at least 1 item, got an empty list\n` +
        `${file}:2:17 listen.port: must be at least 0, got -1\n`,
    })
  })

  test('is what runs without a command', async () => {
    const { code, stderr } = await run(['--config', await fileWith('collections: []\n')])
    expect(stderr).toContain('must have at least 1 item')
    expect(code).toBe(1)
  })
})

describe('the launcher', () => {
  test('runs the same command line', async () => {
    expect(await run(['--version'], { script: launcher })).toMatchObject({ code: 0, stdout: `${version}\n` })
  })

  test('says one sentence on an old Node, exit code 3', async () => {
    const old = `data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.1.0'})`
    expect(await run(['--version'], { script: launcher, node: ['--import', old] })).toEqual({
      code: 3,
      stdout: '',
      stderr: 'mirrorgate needs Node.js 24 or newer, this is 20.1.0: install a newer one\n',
    })
  })
})
