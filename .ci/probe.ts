/** Runs the black-box probe of message borders against a gateway of its own; exit 1 where one is lost. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const probe = resolve(process.argv[2] ?? '')
const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'mirrorgate-probe-'))

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}

async function answers(url: string): Promise<void> {
  const deadline = Date.now() + 15_000
  while (Date.now() < deadline) {
    const answer = await fetch(url).catch(() => null)
    if (answer?.ok) return
    await new Promise((wake) => setTimeout(wake, 100))
  }
  throw new Error(`${url} did not answer within 15 s`)
}

const [port, adminPort, upstreamPort] = [await freePort(), await freePort(), await freePort()]
const config = join(folder, 'gateway.yaml')
writeFileSync(
  config,
  `data_dir: ${folder}/data
listen: { host: 127.0.0.1, port: ${port} }
admin: { host: 127.0.0.1, port: ${adminPort} }
collections:
  - { name: all, upstreams: [{ url: "http://127.0.0.1:${upstreamPort}" }] }
logging: { level: error }
`,
)

function table(corpus: string): string {
  const tool = corpus.includes('responses') ? 'wire.mjs' : 'probe.mjs'
  const alive = `http://127.0.0.1:${adminPort}/healthz`
  const ends = ['--target', `127.0.0.1:${port}`, '--listen-upstream', `${upstreamPort}`]
  const args = [
    join(probe, tool),
    ...ends,
    '--alive-url',
    alive,
    '--corpus',
    join(probe, 'corpora', corpus),
    '--strict',
  ]
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 240_000 })
  if (run.status !== 0) process.exitCode = 1
  return `${corpus}\n${run.stdout}${run.stderr}`
}

const gateway = spawn(process.execPath, ['src/main.ts', 'start', '--config', config], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
})
try {
  await answers(`http://127.0.0.1:${adminPort}/readyz`)
  for (const corpus of readdirSync(join(probe, 'corpora')).filter((name) => name.endsWith('.json'))) {
    console.log(table(corpus))
  }
} finally {
  const ended = gateway.exitCode === null ? once(gateway, 'exit') : null
  gateway.kill('SIGTERM')
  const hurry = setTimeout(() => gateway.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(hurry)
  rmSync(folder, { recursive: true, force: true })
}
