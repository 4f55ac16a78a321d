/** What the demo sets up and takes away: API, collector, gateway process, clients, a temporary folder. */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AdminClient } from './admin-client.ts'
import { Collector } from './collector.ts'
import { GatewayProcess } from './gateway-process.ts'
import { clientSecrets, Load } from './load.ts'
import { apiSecrets, SampleApi } from './sample-api.ts'

export const mirrorName = 'salt'

export interface Stage {
  readonly folder: string
  readonly tokenFile: string
  readonly api: SampleApi
  readonly collector: Collector
  readonly gateway: GatewayProcess
  readonly admin: AdminClient
  readonly load: Load
}

/** Everything that was opened, closed in reverse; also at once when the process has to go. */
export class Cleanup {
  readonly #steps: (() => Promise<unknown> | unknown)[] = []
  readonly #atOnce: (() => void)[] = []
  readonly #onExit = () => {
    for (const step of this.#atOnce.reverse()) step()
  }

  constructor() {
    process.once('exit', this.#onExit)
  }

  add(step: () => Promise<unknown> | unknown): void {
    this.#steps.push(step)
  }

  /** For the end of the process, where nothing can be awaited. */
  addAtOnce(step: () => void): void {
    this.#atOnce.push(step)
  }

  async run(): Promise<void> {
    for (const step of this.#steps.reverse()) await step()
    process.removeListener('exit', this.#onExit)
  }
}

export async function setStage(cleanup: Cleanup, rate_per_second: number): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'mirrorgate-demo-'))
  cleanup.addAtOnce(() => rmSync(folder, { recursive: true, force: true }))
  cleanup.add(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))

  const api = new SampleApi()
  await api.start()
  cleanup.add(() => api.stop())

  const credential = randomBytes(16).toString('hex')
  const collector = new Collector({
    authorization: `Bearer ${credential}`,
    items_max: 2000,
    watch_for: [...Object.values(clientSecrets), ...Object.values(apiSecrets)],
  })
  await collector.start()
  cleanup.add(() => collector.stop())

  const configFile = join(folder, 'gateway.yaml')
  await writeFile(configFile, gatewayYaml(api.url, collector.url), { mode: 0o600 })
  const gateway = await GatewayProcess.start({ configFile, env: { DEMO_COLLECTOR_TOKEN: credential } })
  cleanup.addAtOnce(() => gateway.child.kill('SIGKILL'))
  cleanup.add(() => gateway.stop('SIGTERM', 10_000))

  const tokenFile = join(folder, 'data', 'admin-token')
  const admin = new AdminClient(gateway.adminPort, (await readFile(tokenFile, 'utf8')).trim())
  const load = new Load({ origin: `http://127.0.0.1:${gateway.port}`, rate_per_second })
  cleanup.add(() => load.close())
  return { folder, tokenFile, api, collector, gateway, admin, load }
}

/** Times are short so that an outage, its retries, the parking and the replay fit into half a minute. */
function gatewayYaml(upstream: string, collector: string): string {
  return `# The configuration of this demo; the times are far shorter than the defaults.
data_dir: ./data
listen:
  host: 127.0.0.1
  port: 0
  timeouts: { drain_grace_ms: 100, drain_ms: 15000 }
admin:
  host: 127.0.0.1
  port: 0
collections:
  - name: sample
    upstreams: [{ url: "${upstream}" }]
    mirrors: [${mirrorName}]
connections:
  - name: SALT
    base_url: ${collector}
    headers: { Authorization: "Bearer \${env:DEMO_COLLECTOR_TOKEN}" }
mirrors:
  - name: ${mirrorName}
    sink: salt
    connection: SALT
    request_url: /requests
    response_url: /responses
    batch: { max_items: 500, max_wait_ms: 200 }
    retry: { attempts: 2, within_ms: 4000, probe_ms: 1000 }
    timeout_ms: 1000
capture: { flush_after_ms: 50 }
logging: { level: info, format: json }
`
}
