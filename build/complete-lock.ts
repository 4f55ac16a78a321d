/**
 * Adds to package-lock.json the platform packages that the registry at hand does not hold. npm leaves them
 * out of the lock without a word, and `npm ci` then refuses the whole lock on every machine. An entry added
 * here has a version and a platform but no integrity: its own platform fetches it, all others skip it.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface Entry {
  version?: string
  cpu?: string[]
  dev?: boolean
  libc?: string[]
  optional?: boolean
  os?: string[]
  optionalDependencies?: Record<string, string>
}

interface Lock {
  packages: Record<string, Entry>
}

const systems = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64']

/** Where Node's resolution finds `name` from a package at `path`: beside it, or further up. */
function find({ packages }: Lock, path: string, name: string): Entry | undefined {
  const found = packages[`${path}/node_modules/${name}`]
  if (found) return found
  const up = path.lastIndexOf('/node_modules/')
  return up === -1 ? packages[`node_modules/${name}`] : find({ packages }, path.slice(0, up), name)
}

/** Such packages carry their platform in their name: `cli-linux-x64-musl`, `binding-win32-arm64-msvc`. */
function platformEntry(name: string, version: string, dev: boolean): Entry {
  const os = systems.find((system) => name.includes(`-${system}-`))
  const cpu = processors.find((processor) => name.includes(`-${processor}`))
  const exact = /^\d+\.\d+\.\d+$/.test(version)
  if (!os || !cpu || !exact)
    throw new Error(`${name}@${version}: must name a platform and one version, add it by hand`)
  const libc = name.includes('musl') ? ['musl'] : name.endsWith('-gnu') ? ['glibc'] : null
  return { version, cpu: [cpu], ...(dev && { dev }), ...(libc && { libc }), optional: true, os: [os] }
}

const path = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock
const added: Record<string, Entry> = {}
for (const [parent, { optionalDependencies = {}, dev = false }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (!find(lock, parent, name)) added[`node_modules/${name}`] = platformEntry(name, version, dev)
  }
}
const packages = Object.entries({ ...lock.packages, ...added }).sort(([a], [b]) =>
  a < b ? -1 : a > b ? 1 : 0,
)
writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`)
console.log(`package-lock.json: ${Object.keys(added).length} platform packages added`)
