/** A real gateway process for one test: started, watched, signalled, and gone when the test ends. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { stringify } from 'yaml'
import { AdminClient } from '../../demo/admin-client.ts'
import { GatewayProcess, type LogLine } from '../../demo/gateway-process.ts'
import type { DeliveryView } from '../../src/admin/commands.ts'
import { onEnd, onFileEnd } from './cleanup.ts'
import { tempDir } from './files.ts'
import { expectIdentity, until } from './wait.ts'

type Section = Record<string, unknown>

export interface TestGatewayOptions {
  /** Sections of gateway.yaml; ports, data_dir and thread count are filled in. */
  config?: Section
  /** The whole file instead; keep its ports at 0. `data_dir` must be `./data`. */
  yaml?: string
  env?: Readonly<Record<string, string | undefined>>
  /** Folder of an earlier gateway, to go on with its data. */
  folder?: string
  /** Another program that starts a gateway. */
  program?: string
  /** It serves the following tests of the file too. */
  shared?: boolean
}

export interface TestGateway {
  readonly folder: string
  readonly dataDir: string
  readonly configFile: string
  readonly port: number
  readonly adminPort: number
  readonly url: string
  readonly pid: number
  /** Signed in as admin. */
  readonly admin: AdminClient
  readonly process: GatewayProcess
  logs(): LogLine[]
  /**
   * Waits until a mirror has captured so many exchanges in all and nothing is waiting; asserts that it
   * captured no more than that, and the identity.
   */
  delivered(exchanges: number, mirror?: string, within_ms?: number): Promise<DeliveryView>
  /** SIGTERM unless told otherwise; resolves with the exit code. */
  stop(signal?: NodeJS.Signals, within_ms?: number): Promise<number | null>
  kill9(): Promise<void>
  /** Writes another configuration; the gateway keeps the old one until it reloads. */
  rewrite(next: Pick<TestGatewayOptions, 'config' | 'yaml'>): Promise<void>
}

const mirrorDefault = 'salt'
/** `Bearer test`, written so that the gateway has no reason to warn. */
const credential = 'Bearer ${env:COLLECTOR_TOKEN:-test}'

export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const { shared = false } = options
  const folder = options.folder ?? (await tempDir(undefined, shared))
  const configFile = join(folder, 'gateway.yaml')
  const dataDir = join(folder, 'data')
  await writeFile(configFile, textOf(options))
  const gateway = await GatewayProcess.start({
    configFile,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.program === undefined ? {} : { program: options.program }),
  })
  const kill = () => gateway.child.kill('SIGKILL')
  process.once('exit', kill)
  const atEnd = shared ? onFileEnd : onEnd
  atEnd(async () => {
    process.removeListener('exit', kill)
    await gateway.stop('SIGKILL')
  })
  const admin = new AdminClient(gateway.adminPort, await adminToken(options, dataDir))
  return {
    folder,
    dataDir,
    configFile,
    port: gateway.port,
    adminPort: gateway.adminPort,
    url: `http://127.0.0.1:${gateway.port}`,
    pid: gateway.pid,
    admin,
    process: gateway,
    logs: () => gateway.logs(),
    delivered: (exchanges, mirror = mirrorDefault, within_ms = 15_000) =>
      delivered(admin, mirror, exchanges, within_ms),
    stop: (signal, within_ms) => gateway.stop(signal, within_ms),
    kill9: async () => {
      await gateway.stop('SIGKILL')
    },
    rewrite: (next) => writeFile(configFile, textOf(next)),
  }
}

/**
 * One gateway for the tests of a file that each bring a configuration: a start takes more than most tests
 * do. What a configuration does not name any more is gone with it; backlogs and the log stay.
 */
export function sharedTestGateway(): (config: Section) => Promise<TestGateway> {
  let gateway: TestGateway | null = null
  return async (config) => {
    if (gateway === null) gateway = await startTestGateway({ config, shared: true })
    else {
      await gateway.rewrite({ config })
      await gateway.admin.json('POST', '/api/config/reload')
    }
    return gateway
  }
}

export interface MirrorSetup {
  upstream: string
  collector: string
  /** Changes to the mirror. */
  mirror?: Section
  /** Changes to the collection. */
  collection?: Section
  /** Changes to the connection. */
  connection?: Section
  /** Further sections of the file. */
  rest?: Section
}

/** One collection before one upstream, mirrored to one collector; times are short. */
export function mirrorConfig({
  upstream,
  collector,
  mirror,
  collection,
  connection,
  rest,
}: MirrorSetup): Section {
  return {
    collections: [
      { name: 'orders', upstreams: [{ url: upstream }], mirrors: [mirrorDefault], ...collection },
    ],
    connections: [
      { name: 'collector', base_url: collector, headers: { Authorization: credential }, ...connection },
    ],
    mirrors: [
      {
        name: mirrorDefault,
        sink: 'salt',
        connection: 'collector',
        request_url: '/requests',
        response_url: '/responses',
        batch: { max_wait_ms: 50 },
        retry: { attempts: 2, min_wait_ms: 100, max_wait_ms: 500, probe_ms: 300 },
        timeout_ms: 2000,
        ...mirror,
      },
    ],
    capture: { flush_after_ms: 20 },
    ...rest,
  }
}

function textOf({ config, yaml }: Pick<TestGatewayOptions, 'config' | 'yaml'>): string {
  if (yaml !== undefined) return yaml
  const { listen, admin, ...rest } = config ?? {}
  return stringify({
    data_dir: './data',
    listen: {
      host: '127.0.0.1',
      port: 0,
      threads: 1,
      ...(listen as Section),
      timeouts: { drain_grace_ms: 50, drain_ms: 20_000, ...((listen as Section)?.timeouts as Section) },
    },
    // Tests ask more often than people do.
    admin: { port: 0, rate_limits: { environment_per_minute: 0 }, ...(admin as Section) },
    logging: { level: 'debug', format: 'json' },
    ...rest,
  })
}

async function adminToken({ config }: TestGatewayOptions, dataDir: string): Promise<string> {
  const clients = (config?.admin as { clients?: { role: string; token: string }[] } | undefined)?.clients
  const configured = clients?.find(({ role }) => role === 'admin')?.token
  return configured ?? (await readFile(join(dataDir, 'admin-token'), 'utf8').catch(() => '')).trim()
}

async function delivered(
  admin: AdminClient,
  mirror: string,
  exchanges: number,
  within_ms: number,
): Promise<DeliveryView> {
  const view = await until(
    async () => {
      // An answer reaches its client a moment before its exchange is counted.
      const now = await admin.mirror(mirror)
      return now.legs.every(({ counts }) => counts.captured >= exchanges && counts.waiting === 0) && now
    },
    { what: `${mirror} has captured ${exchanges} exchanges and nothing is waiting`, within_ms },
  )
  expectIdentity(view)
  expect(view.legs.map(({ counts }) => counts.captured)).toEqual(view.legs.map(() => exchanges))
  return view
}
