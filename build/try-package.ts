/** Packs a copy of the checkout, installs the package into an empty folder and uses it like a stranger. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'mirrorgate-package-'))
const copy = join(folder, 'checkout')
const project = join(folder, 'project')

function run(cwd: string, command: string, args: readonly string[], timeout: number): string {
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const done = spawnSync(command, args, {
    cwd,
    timeout,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  })
  if (done.status === 0) return done.stdout
  const why = done.error?.message ?? `exit ${done.status}`
  throw new Error(`${[command, ...args].join(' ')}: ${why}\n${done.stdout}\n${done.stderr}`)
}

/** Packing edits package.json for a moment: in a copy, nobody who works in the checkout sees it. */
function pack(): string {
  const left = new Set(['node_modules', 'dist', 'data', '.git'].map((name) => join(root, name)))
  cpSync(root, copy, { recursive: true, filter: (source) => !left.has(source) })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const before = readFileSync(join(copy, 'package.json'), 'utf8')
  run(copy, 'npm', ['pack', '--pack-destination', folder], 120_000)
  if (readFileSync(join(copy, 'package.json'), 'utf8') !== before)
    throw new Error('npm pack left package.json changed')
  const { name, version } = JSON.parse(before) as Record<string, string>
  return join(folder, `${name}-${version}.tgz`)
}

const config = `
listen: { host: 127.0.0.1, port: 0 }
collections:
  - name: orders
    upstreams: [{ url: "http://127.0.0.1:3000" }]
    mirrors: [out]
connections: [{ name: nowhere, base_url: "http://127.0.0.1:9000" }]
mirrors:
  - { name: out, sink: blackhole, connection: nowhere }
`

/** A sink of somebody else, as `plugins/README.md` teaches it. */
const stranger = `
import { defineSink, Type } from 'mirrorgate/plugin'
const sink = defineSink({
  name: 'stranger', summary: 'Takes everything.', options: Type.Object({}), formats: ['exchange'], urls: [],
  limits: { batch_bytes: 1e7, batch_items: 1e4, item_bytes: 1e6 },
  legs: () => [{ name: 'exchanges', half: 'exchange', url: 'nowhere' }],
  create: () => ({ write: async () => {}, close: () => {} }),
})
console.log('defined', sink.name)
`

function expectOutput(what: string, output: string, pattern: RegExp): void {
  if (!pattern.test(output)) throw new Error(`${what}: must match ${pattern}, got ${JSON.stringify(output)}`)
  console.log(`${what}: ${output.trim().split('\n').at(-1)}`)
}

function use(tarball: string): void {
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  writeFileSync(join(project, 'gateway.yaml'), config)
  writeFileSync(join(project, 'stranger.js'), stranger)
  run(project, 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball], 180_000)
  const bin = join(project, 'node_modules/.bin/mirrorgate')
  expectOutput('--version', run(project, bin, ['--version'], 20_000), /0\.\d+\.\d+/)
  expectOutput(
    'check',
    run(project, bin, ['check', '--config', 'gateway.yaml'], 20_000),
    /^ok: 1 collection, 1 mirror$/m,
  )
  expectOutput(
    'mirrorgate/plugin',
    run(project, process.execPath, ['stranger.js'], 20_000),
    /^defined stranger$/m,
  )
  expectOutput('demo', run(project, bin, ['demo'], 120_000), /\S/)
}

try {
  use(pack())
} finally {
  rmSync(folder, { recursive: true, force: true })
}
