/** The machine of a run: what it is, which tools it has, and how the missing ones are installed. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, release, totalmem } from 'node:os'

export type Tool = 'nginx' | 'nginx-lua' | 'haproxy' | 'wrk'

export const nginxPath = '/usr/sbin/nginx'
/** Pins a process or a thread to cores. */
export const taskset = '/usr/bin/taskset'
const aptGet = '/usr/bin/apt-get'
export const haproxyPath = '/usr/sbin/haproxy'
export const luaModules = '/usr/lib/nginx/modules'
/** Debian's folder of lua-cjson, which nginx's own search path does not name; null when it is missing. */
export function luaLibraries(): string | null {
  const folders = readdirSync('/usr/lib').map((each) => `/usr/lib/${each}/lua/5.1`)
  return folders.find((each) => existsSync(`${each}/cjson.so`)) ?? null
}

export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly memoryMiB: number
  readonly kernel: string
  readonly node: string
  readonly date: string
  /** Version of each tool, null when it is missing. */
  readonly tools: Readonly<Record<Tool, string | null>>
  readonly libraries: Readonly<Record<string, string>>
  /** Load averages before the run: who else was busy here. */
  readonly loadBefore: string
}

const packages = ['nginx', 'libnginx-mod-http-lua', 'lua-cjson', 'haproxy', 'wrk']

function version(command: string, args: string[], pattern: RegExp): string | null {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return pattern.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1] ?? null
}

function findTools(): Record<Tool, string | null> {
  const nginx = version(nginxPath, ['-v'], /nginx\/([\d.]+)/)
  const lua = ['ngx_http_lua_module.so', 'ndk_http_module.so'].every((file) =>
    existsSync(`${luaModules}/${file}`),
  )
  return {
    nginx,
    'nginx-lua': nginx !== null && lua && luaLibraries() !== null ? nginx : null,
    haproxy: version(haproxyPath, ['-v'], /version ([\d.]+)/),
    wrk: version('wrk', ['-v'], /wrk (\S+)/),
  }
}

/**
 * Installs what is missing from Debian, as root only. `policy-rc.d` keeps the packages from starting their
 * services, and is taken away again unless it was there before.
 */
function install(say: (line: string) => void): void {
  say(`installing ${packages.join(' ')}`)
  const policy = '/usr/sbin/policy-rc.d'
  const ours = !existsSync(policy)
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    spawnSync(aptGet, ['update', '-qq'], { env, timeout: 120_000 })
    const args = ['install', '-y', '-qq', '--no-install-recommends', ...packages]
    const done = spawnSync(aptGet, args, { env, timeout: 300_000, encoding: 'utf8' })
    if (done.status !== 0)
      say(`apt-get install ended with ${done.status}: ${done.stderr?.trim().split('\n').at(-1)}`)
  } finally {
    if (ours) rmSync(policy, { force: true })
  }
}

function libraryVersions(): Record<string, string> {
  const require = createRequire(import.meta.url)
  const found: Record<string, string> = {}
  for (const name of ['undici', 'http-proxy-3', 'autocannon']) {
    const folder = require.resolve.paths(name)?.find((each) => existsSync(`${each}/${name}/package.json`))
    if (folder === undefined) continue
    const { version: text } = JSON.parse(readFileSync(`${folder}/${name}/package.json`, 'utf8')) as {
      version: string
    }
    found[name] = text
  }
  return found
}

/** Why this machine cannot measure at all, or null. */
export function unfit(): string | null {
  if (process.platform !== 'linux') return 'the bench reads /proc and pins with taskset: it needs Linux'
  if (spawnSync(taskset, ['-V']).status !== 0)
    return 'the bench pins with taskset (package util-linux): not found'
  return null
}

export function readMachine(options: { install: boolean; say: (line: string) => void }): Machine {
  let tools = findTools()
  const missing = Object.values(tools).includes(null)
  const debian = existsSync(aptGet) && process.getuid?.() === 0
  if (missing && options.install && debian) {
    install(options.say)
    tools = findTools()
  }
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryMiB: Math.round(totalmem() / 1_048_576),
    kernel: release(),
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    tools,
    libraries: libraryVersions(),
    loadBefore: readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 3).join(' '),
  }
}

/** First 12 hex digits of the commit that is measured, with a mark when files differ from it. */
export function commitOf(folder: string): string {
  try {
    const run = (...args: string[]): string =>
      execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).trim()
    const changed = run('status', '--porcelain', '--untracked-files=no', 'src', 'plugins') !== ''
    return `${run('rev-parse', 'HEAD').slice(0, 12)}${changed ? ' with local changes' : ''}`
  } catch {
    return 'not a git checkout'
  }
}
