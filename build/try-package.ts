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
plugins: [./stranger.js, ./stranger.ts]
listen: { host: 127.0.0.1, port: 0, timeouts: { drain_grace_ms: 0 } }
admin: { port: 0 }
logging: { format: json }
capture: { flush_after_ms: 20 }
collections:
  - name: orders
    upstreams: [{ url: "http://127.0.0.1:3000" }]
    mirrors: [out, first, second]
connections: [{ name: nowhere, base_url: "http://127.0.0.1:9000" }]
mirrors:
  - { name: out, sink: blackhole, connection: nowhere }
  - { name: first, sink: stranger, path: ./first.ndjson, batch: { max_wait_ms: 20 } }
  - { name: second, sink: stranger_typed, path: ./second.ndjson, batch: { max_wait_ms: 20 } }
`

/** A sink of somebody else, as `plugins/README.md` teaches it; in TypeScript with a type that must go. */
const stranger = (name: string, typed: string) => `
import { appendFileSync } from 'node:fs'
import { defineSink, Type } from 'mirrorgate/plugin'
const name${typed} = '${name}'
export default defineSink({
  name, summary: 'Appends to a file.', formats: ['exchange'], urls: [],
  options: Type.Object({ path: Type.String({ description: 'The file.' }) }),
  limits: { batch_bytes: 1e7, batch_items: 1e4, item_bytes: 1e6 },
  legs: ({ path }) => [{ name: 'exchanges', half: 'exchange', url: path }],
  create: ({ options }) => ({
    write: async ({ ndjson }) => appendFileSync(options.path, ndjson),
    close: () => {},
  }),
})
`

/** Starts the gateway, sends a request through it, and waits until both files hold its exchange. */
const traffic = `
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
const gateway = spawn(process.execPath, ['node_modules/mirrorgate/bin/mirrorgate.js', 'start'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
for await (const line of createInterface(gateway.stdout)) {
  const { listener, port } = JSON.parse(line)
  if (listener !== 'proxy') continue
  await fetch('http://127.0.0.1:' + port + '/seen').then((answer) => answer.text())
  break
}
const holds = (file) => existsSync(file) && readFileSync(file, 'utf8').includes('/seen')
const files = ['first.ndjson', 'second.ndjson']
while (!files.every(holds)) await new Promise((resolve) => setTimeout(resolve, 50))
gateway.kill('SIGTERM')
gateway.once('exit', (code) => console.log('delivered, exit', code))
`

function expectOutput(what: string, output: string, pattern: RegExp): void {
  if (!pattern.test(output)) throw new Error(`${what}: must match ${pattern}, got ${JSON.stringify(output)}`)
  console.log(`${what}: ${output.trim().split('\n').at(-1)}`)
}

function use(tarball: string): void {
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  writeFileSync(join(project, 'gateway.yaml'), config)
  writeFileSync(join(project, 'stranger.js'), stranger('stranger', ''))
  writeFileSync(join(project, 'stranger.ts'), stranger('stranger_typed', ': string'))
  writeFileSync(join(project, 'traffic.js'), traffic)
  run(project, 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball], 180_000)
  const bin = join(project, 'node_modules/.bin/mirrorgate')
  expectOutput('--version', run(project, bin, ['--version'], 20_000), /0\.\d+\.\d+/)
  expectOutput(
    'check',
    run(project, bin, ['check', '--config', 'gateway.yaml'], 20_000),
    /^ok: 1 collection, 3 mirrors$/m,
  )
  expectOutput('docs', run(project, bin, ['docs'], 20_000), /^## .* with `sink: stranger_typed`$/m)
  expectOutput('plugins', run(project, process.execPath, ['traffic.js'], 30_000), /^delivered, exit 0$/m)
  expectOutput('demo', run(project, bin, ['demo'], 120_000), /\S/)
}

try {
  use(pack())
} finally {
  rmSync(folder, { recursive: true, force: true })
}
