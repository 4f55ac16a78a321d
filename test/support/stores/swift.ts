/**
 * A real S3 service for tests: OpenStack Swift with its S3 interface, which checks signatures. Four servers
 * and a memcached of the system's packages, on free ports, with their data in a temporary folder.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePorts, listens } from '../ports.ts'
import { until } from '../wait.ts'

const programs = [
  'swift-proxy-server',
  'swift-account-server',
  'swift-container-server',
  'swift-object-server',
]
const missing = [...programs, 'memcached'].filter((name) => !existsSync(`/usr/bin/${name}`))

/** Why it cannot be started here; null where it can. */
export const swiftMissing = missing.length === 0 ? null : `${missing.join(', ')} are not installed`

export interface Swift {
  readonly url: string
  /** May do everything. */
  readonly admin: { readonly id: string; readonly secret: string }
  /** May do what a bucket allows. */
  readonly writer: { readonly id: string; readonly secret: string }
  createBucket(name: string): Promise<void>
  /** Whether the writer may put objects into a bucket. */
  allow(bucket: string, allowed: boolean): Promise<void>
  /** Every object of a bucket, by name in order. */
  objects(bucket: string): Promise<Map<string, StoredObject>>
  /** How many there are. */
  count(bucket: string): Promise<number>
  /** What is put from now on hangs, until it goes on. */
  stall(): void
  goOn(): void
  close(): Promise<void>
}

export interface StoredObject {
  readonly body: Buffer
  readonly type: string
  /** When it was put, by the server's clock; in lexical order. */
  readonly at: string
}

type Ports = Readonly<Record<'proxy' | 'account' | 'container' | 'object' | 'memcached', number>>

const rings = `
import sys
from swift.common.ring import RingBuilder
for name, port in (a.split(':') for a in sys.argv[2:]):
    builder = RingBuilder(4, 1, 0)
    place = {'ip': '127.0.0.1', 'port': int(port)}
    place |= {'replication_' + key: value for key, value in place.items()}
    builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'weight': 1, 'device': 'd1', 'meta': '', **place})
    builder.rebalance()
    builder.get_ring().save('%s/%s.ring.gz' % (sys.argv[1], name))
`

/** `env`: for all of its servers. */
export async function startSwift(env: Readonly<Record<string, string>> = {}): Promise<Swift> {
  const folder = await mkdtemp(join(tmpdir(), 'swift-'))
  const ports = await portsOfSwift()
  await configure(folder, ports)
  const servers = start(folder, ports, env)
  const children = Object.values(servers)
  const url = `http://127.0.0.1:${ports.proxy}`
  const close = async () => {
    const gone = children.map((child) => (child.exitCode === null ? once(child, 'exit') : null))
    for (const child of children) child.kill('SIGKILL')
    await Promise.all(gone)
    await rm(folder, { recursive: true, maxRetries: 3 })
  }
  try {
    for (const [name, port] of Object.entries(ports))
      await until(() => listens(port), { what: `Swift's ${name} server listens`, within_ms: 25_000 })
    const stall = () => void servers.object.kill('SIGSTOP')
    const goOn = () => void servers.object.kill('SIGCONT')
    return { ...(await open(url)), stall, goOn, close }
  } catch (error) {
    const log = await readFile(join(folder, 'proxy.log'), 'utf8').catch(() => '')
    await close()
    throw new Error(`starting Swift: ${(error as Error).message}\n${log.slice(-2000)}`, { cause: error })
  }
}

async function portsOfSwift(): Promise<Ports> {
  const names = ['proxy', 'account', 'container', 'object', 'memcached'] as const
  const ports = await freePorts(names.length)
  return Object.fromEntries(names.map((name, at) => [name, ports[at]])) as unknown as Ports
}

async function configure(folder: string, ports: Ports): Promise<void> {
  const common = (port: number) =>
    [
      '[DEFAULT]',
      'bind_ip = 127.0.0.1',
      `bind_port = ${port}`,
      `user = ${userInfo().username}`,
      `swift_dir = ${folder}`,
      `devices = ${folder}/node`,
      'mount_check = false',
      'workers = 0',
      'log_address = /dev/null',
    ].join('\n')
  const section = (name: string, ...lines: string[]) => `\n[${name}]\n${lines.join('\n')}\n`
  const filter = (name: string, use = name, ...lines: string[]) =>
    section(`filter:${name}`, `use = egg:swift#${use}`, ...lines)
  await mkdir(join(folder, 'node', 'd1'), { recursive: true })
  const hash = section('swift-hash', 'swift_hash_path_prefix = a', 'swift_hash_path_suffix = b')
  await writeFile(
    join(folder, 'swift.conf'),
    hash + section('storage-policy:0', 'name = p0', 'default = yes'),
  )
  for (const name of ['account', 'container', 'object'] as const) {
    const app =
      section('pipeline:main', `pipeline = ${name}-server`) +
      section(`app:${name}-server`, `use = egg:swift#${name}`)
    await writeFile(join(folder, `${name}.conf`), common(ports[name]) + app)
  }
  const proxy = [
    common(ports.proxy),
    section(
      'pipeline:main',
      'pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth proxy-server',
    ),
    section('app:proxy-server', 'use = egg:swift#proxy', 'account_autocreate = true'),
    filter('s3api', 's3api', 'location = us-east-1'),
    filter('cache', 'memcache', `memcache_servers = 127.0.0.1:${ports.memcached}`),
    filter('tempauth', 'tempauth', 'user_test_admin = adminsecret .admin', 'user_test_writer = writersecret'),
    ...['catch_errors', 'gatekeeper', 'healthcheck', 'listing_formats'].map((name) => filter(name)),
  ]
  await writeFile(join(folder, 'proxy.conf'), proxy.join(''))
  const named = (['account', 'container', 'object'] as const).map((name) => `${name}:${ports[name]}`)
  await promisify(execFile)('/usr/bin/python3', ['-c', rings, folder, ...named])
}

type Servers = Readonly<Record<keyof Ports, ChildProcess>>

function start(folder: string, ports: Ports, env: Readonly<Record<string, string>>): Servers {
  const options = { stdio: 'ignore', env: { ...process.env, ...env } } as const
  const server = (name: string) => spawn(`swift-${name}-server`, [join(folder, `${name}.conf`)], options)
  const own = ['-u', userInfo().username, '-l', '127.0.0.1', '-p', String(ports.memcached), '-m', '16']
  return {
    memcached: spawn('/usr/bin/memcached', own, { stdio: 'ignore' }),
    account: server('account'),
    container: server('container'),
    object: server('object'),
    proxy: server('proxy'),
  }
}

interface Listed {
  readonly name: string
  readonly last_modified: string
}

/** Its own interface, so that tests look at what is stored with other eyes than the sink's. */
async function open(url: string): Promise<Omit<Swift, 'close' | 'stall' | 'goOn'>> {
  const admin = { id: 'test:admin', secret: 'adminsecret' }
  const signIn = { 'x-auth-user': admin.id, 'x-auth-key': admin.secret }
  const signedIn = await fetch(`${url}/auth/v1.0`, { headers: signIn })
  const token = signedIn.headers.get('x-auth-token') ?? ''
  const storage = signedIn.headers.get('x-storage-url') ?? ''
  const ask = async (path: string, method: string, headers: Record<string, string> = {}) => {
    const request = { method, headers: { 'x-auth-token': token, ...headers } }
    const send = () => fetch(`${storage}/${path}`, request)
    // An idle connection may be closed meanwhile; all that is asked here may be asked twice.
    const answer = await send().catch(send)
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`)
    return answer
  }
  const list = async (bucket: string) =>
    (await (await ask(`${bucket}?format=json`, 'GET')).json()) as Listed[]
  return {
    url,
    admin,
    writer: { id: 'test:writer', secret: 'writersecret' },
    createBucket: async (name) => {
      await ask(name, 'PUT')
    },
    allow: async (bucket, allowed) => {
      await ask(bucket, 'POST', { 'x-container-write': allowed ? 'test:writer' : '' })
    },
    count: async (bucket) => (await list(bucket)).length,
    async objects(bucket) {
      const found = (await list(bucket)).map(async ({ name, last_modified: at }) => {
        const answer = await ask(`${bucket}/${name.split('/').map(encodeURIComponent).join('/')}`, 'GET')
        const body = Buffer.from(await answer.arrayBuffer())
        return [name, { body, type: answer.headers.get('content-type') ?? '', at }] as const
      })
      return new Map(await Promise.all(found))
    },
  }
}
