/** The real admin port over commands that only note what they were asked. */
import { mkdir } from 'node:fs/promises'
import { Writable } from 'node:stream'
import {
  type Commands,
  ConflictError,
  type DeadLetterView,
  type DeliveryView,
  type ReloadResult,
} from '../../src/admin/commands.ts'
import type { DeliveryCommands } from '../../src/admin/delivery-commands.ts'
import type { DeliveryKind } from '../../src/contract/resources.ts'
import type {
  IncidentCommands,
  IncidentDetailView,
  NotificationTestView,
} from '../../src/admin/incident-commands.ts'
import type {
  ConnectionView,
  ResourceCommands,
  ResourceOutcome,
  ResourceRequest,
} from '../../src/admin/resource-commands.ts'
import { startAdmin } from '../../src/admin/server.ts'
import { GatewayTrail } from '../../src/control/trail.ts'
import type { AdminConfig, Config } from '../../src/config/schema.ts'
import { Store } from '../../src/store/store.ts'
import { createLog, type Logger } from '../../src/telemetry/log.ts'
import { onEnd } from './cleanup.ts'
import { tempDir } from './files.ts'

export const tokens = {
  viewer: 'viewer-canary-7f3a9c51',
  operator: 'operator-canary-1b8e2d44',
  admin: 'admin-canary-c05d6e7a',
} as const
export type TestRole = keyof typeof tokens

export function adminConfig(over: Partial<AdminConfig> = {}): AdminConfig {
  return {
    host: '127.0.0.1',
    port: 0,
    metrics_public: true,
    rate_limits: { environment_per_minute: 0, default_per_minute: 0 },
    clients: (['viewer', 'operator', 'admin'] as const).map((role) => ({
      name: role,
      role,
      token: tokens[role],
    })),
    ...over,
  }
}

const counts = { captured: 6, delivered: 3, waiting: 1, dead_lettered: 1, dropped: { expired: 1 } }

export function mirrorView(name: string): DeliveryView {
  const leg = {
    name: 'requests',
    url: 'https://collector.example.com/requests',
    state: 'retrying' as const,
    counts,
    waiting_bytes: 512,
    oldest_waiting_at: '2026-11-21T08:00:00.123Z',
    durable_items: 1,
    attempts: 4,
    last_attempt_at: '2026-11-21T08:00:01.000Z',
    last_response_code: null,
    last_error: 'connect ECONNREFUSED 127.0.0.1:9',
    next_attempt_at: null,
  }
  return { name, sink: 'salt', enabled: true, state: 'retrying', managed_by: 'file', counts, legs: [leg] }
}

const deadLetter = (id: number): DeadLetterView => ({
  id: String(id),
  leg: 'requests',
  at: '2026-11-21T08:00:00.000Z',
  reason: 'rejected',
  status: 400,
  answer: 'no',
  batch_id: 'b1',
  item: { id: 'x', request: { method: 'GET' } },
})

const problem = {
  file: 'gateway.yaml',
  line: 12,
  column: 5,
  path: 'mirrors[0].batch.max_wait_ms',
  message: 'must be at least 10, got 0',
}
export const rejected: ReloadResult = {
  ok: false,
  problems: [problem, { ...problem, path: '', line: 1, message: 'must be a mapping, got a list' }],
}

const facts = {
  managed_by: 'file' as const,
  defined_at: 'gateway.yaml:12',
  definition: {},
  ...{ created_at: null, created_by: null, updated_at: null, updated_by: null },
}
const connection: ConnectionView = {
  name: 'SALT Security',
  ...facts,
  connected: true,
  base_url: 'https://collector.example.com',
  headers: { Authorization: '[redacted]' },
  case_sensitive_headers: false,
  proxy_url: null,
  used_by: ['salt'],
  used_by_streams: [],
}

/** Knows one thing of each kind, and makes any change. */
class FakeResources implements ResourceCommands {
  readonly #calls: string[]

  constructor(calls: string[]) {
    this.#calls = calls
  }
  facts() {
    return facts
  }
  etag() {
    return 'v1'
  }
  connections() {
    return [connection]
  }
  connection(name: string) {
    return name === connection.name ? connection : null
  }
  async change({ kind, name, act, dryRun }: ResourceRequest): Promise<ResourceOutcome> {
    this.#calls.push(`${act} ${kind} ${name}`)
    const view = { ...facts, name, managed_by: 'api' as const, dry_run: dryRun, changes: [], warnings: [] }
    return { result: 'done', view, etag: 'v2' }
  }
  changeTogether(requests: readonly ResourceRequest[]): Promise<readonly ResourceOutcome[]> {
    return Promise.all(requests.map((request) => this.change(request)))
  }
  exported() {
    return 'collections: []\n'
  }
  schema() {
    return { type: 'object' }
  }
}

/** Knows one mirror, or stream, and notes what is done to it. */
class FakeDeliveries implements DeliveryCommands {
  readonly #commands: FakeCommands
  readonly #kind: DeliveryKind

  constructor(commands: FakeCommands, kind: DeliveryKind) {
    this.#commands = commands
    this.#kind = kind
  }
  list() {
    return [mirrorView('salt')]
  }
  view(name: string) {
    if (this.#commands.failure !== null) throw this.#commands.failure
    return name === 'salt' ? mirrorView(name) : null
  }
  async #act(call: string, name: string) {
    const view = this.view(name)
    if (view !== null) this.#commands.calls.push(`${call} ${this.#kind} ${name}`)
    return view
  }
  pause = (name: string) => this.#act('pause', name)
  resume = (name: string) => this.#act('resume', name)
  replay = (name: string) => this.#act('replay', name)
  purgeBacklog = (name: string) => this.#act('purgeBacklog', name)
  replayDeadLetters = (name: string) => this.#act('replayDeadLetters', name)
  deleteDeadLetters = (name: string) => this.#act('deleteDeadLetters', name)
  async test(name: string) {
    const known = await this.#act('test', name)
    return (
      known && {
        legs: [{ name: 'requests', ok: false, status: 401, latency_ms: 1.5, error: 'unauthorized' }],
      }
    )
  }
  async deadLetters(name: string, { after, size }: { after: string | null; size: number }) {
    if (name !== 'salt') return null
    const { letters } = this.#commands
    const from = after === null ? 0 : Number(after)
    return { data: letters.slice(from, from + size), total: letters.length }
  }
}

const incident: IncidentDetailView = {
  ...{ id: 1, kind: 'mirroring_error', subject: 'salt', title: 'mirroring fails', environment: 'dev' },
  state: 'open',
  opened_at: '2026-11-21T08:00:00.000Z',
  updated_at: '2026-11-21T08:00:01.000Z',
  ...{ recovered_at: null, closed_at: null, duration_ms: 1000, occurrences: 1 },
  details: { status: 401 },
  ...{ outcome: null, acknowledged: null },
  notices: [
    {
      channel: 'email',
      event: 'opened',
      state: 'pending',
      attempts: 1,
      last_error: 'refused',
      sent_at: null,
    },
  ],
  steps: [{ text: 'mend it', command: 'curl' }],
  mirrors: [],
}

/** Knows one incident. */
class FakeIncidents implements IncidentCommands {
  readonly #calls: string[]

  constructor(calls: string[]) {
    this.#calls = calls
  }
  page() {
    return { data: [incident], total: 1 }
  }
  get(id: number) {
    return id === incident.id ? incident : null
  }
  async acknowledge(id: number) {
    this.#calls.push(`acknowledge ${id}`)
    return this.get(id)
  }
  async test(): Promise<NotificationTestView> {
    this.#calls.push('test notifications')
    return { channels: [{ name: 'email', ok: true, error: null, latency_ms: 1 }] }
  }
}

/** Notes every call as `name argument …`; behaviour can be set by assigning over it. */
export class FakeCommands implements Commands {
  readonly calls: string[] = []
  readonly resources = new FakeResources(this.calls)
  readonly incidents = new FakeIncidents(this.calls)
  adminConfig: AdminConfig = adminConfig()
  readiness: 'ready' | 'starting' | 'draining' = 'ready'
  reloadResult: ReloadResult = { ok: true, generation: 2, hash: '0123456789abcdef', warnings: ['a warning'] }
  /** Thrown by every command on a mirror or stream. */
  failure: Error | null = null
  readonly deliveries = {
    mirrors: new FakeDeliveries(this, 'mirrors'),
    streams: new FakeDeliveries(this, 'streams'),
  }
  readonly letters = Array.from({ length: 120 }, (_, index) => deadLetter(index + 1))

  config(): Config {
    // The other sections are not asked for by the admin port.
    const workspace = { id: 12345, name: 'Alex', email: 'alex@example.com', time_zone: 'UTC' }
    const sections = {
      workspace,
      collections: [],
      mirrors: [],
      streams: [],
      connections: [],
    } as unknown as Config
    return { ...sections, environment: 'dev', admin: this.adminConfig }
  }
  admin() {
    return this.adminConfig
  }
  placeOf(pointer: string) {
    return `gateway.yaml:${pointer.length}`
  }
  status() {
    return {
      version: '0.1.0',
      node: process.version,
      state: 'ready' as const,
      uptime_seconds: 1.5,
      started_at: '2026-11-21T08:00:00.000Z',
      environment: 'dev',
      unclean_shutdown: false,
      threads: { data: 1, recorder: 1, shipper: 1 },
      config: {
        file: 'gateway.yaml',
        loaded_at: '2026-11-21T08:00:00.000Z',
        generation: 1,
        hash: '0123456789abcdef',
        last_rejected: { at: '2026-11-21T08:00:00.000Z', problems: [problem] },
      },
      capture: { paused: false, buffer_used_bytes: 0, buffer_limit_bytes: 67_108_864 },
      totals: { ...counts, streams: counts, requests: 3, rejected: 0, connections_open: 1 },
      listen: { host: '127.0.0.1', port: 8080 },
      secrets: { entries: 0, providers: [] },
    }
  }
  ready() {
    return { status: this.readiness, reasons: this.readiness === 'ready' ? [] : [`it is ${this.readiness}`] }
  }
  collections() {
    const upstream = { url: 'http://127.0.0.1:3000', weight: 1, healthy: true }
    return [
      {
        name: 'orders',
        hosts: [],
        prefix: '/',
        mirrors: ['salt'],
        managed_by: 'file' as const,
        upstreams: [{ ...upstream, requests_in_flight: 0, requests: 3, failures: 0 }],
      },
    ]
  }
  readonly streams = {
    replayRange: (name: string) => this.deliveries.streams.replay(name),
    isReplaying: () => false,
    preview: async () => {
      this.calls.push('preview')
      return { event: {}, is_sample: true, rendered: '{}' }
    },
  }
  async postEvents(body: AsyncIterable<Buffer>) {
    for await (const _ of body);
    this.calls.push('postEvents')
    return { accepted: 1 }
  }
  async setConnection(name: string, connected: boolean) {
    if (name !== 'SALT Security') return null
    this.calls.push(`setConnection ${name} ${connected}`)
    return { name, connected }
  }
  async setCapture(capturing: boolean) {
    this.calls.push(`setCapture ${capturing}`)
    return { paused: !capturing }
  }
  async clearSecrets() {
    this.calls.push('clearSecrets')
  }
  async setLogLevel(level: string) {
    this.calls.push(`setLogLevel ${level}`)
  }
  async reload() {
    this.calls.push('reload')
    return this.reloadResult
  }
  async checkConfig(yaml: string | null) {
    this.calls.push(`checkConfig ${yaml}`)
    return this.reloadResult
  }
  async followTags() {}
  async metrics() {
    return { type: 'text/plain; version=0.0.4; charset=utf-8', text: 'mirrorgate_build_info 1\n' }
  }
  conflict(sentence: string) {
    this.failure = new ConflictError(sentence)
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Record<string, unknown>
}

export interface AskOptions {
  /** A role's token, a token as it is, or none. */
  readonly as?: TestRole | null
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}

export interface TestAdmin {
  readonly commands: FakeCommands
  readonly store: Store
  readonly url: string
  readonly port: number
  readonly dataDir: string
  /** Everything that was logged so far. */
  logged(): string
  /** One request; as the admin unless it says otherwise. */
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>
}

/** The store of a data folder, closed at the end of the test. */
export async function openStore(dataDir: string): Promise<Store> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const store = new Store(dataDir)
  onEnd(() => store.close())
  return store
}

/** The trail into the activity log of a store. */
export function trailOf(commands: FakeCommands, store: Store, log: Logger): GatewayTrail {
  const { activity } = store
  return new GatewayTrail({ activity, log, config: () => commands.config(), countFailed: () => {} })
}

/** Starts the admin port on a free port; it is closed at the end of the test. */
export async function startTestAdmin(commands = new FakeCommands(), dataDir?: string): Promise<TestAdmin> {
  const folder = dataDir ?? (await tempDir())
  let logged = ''
  const into = new Writable({
    write(chunk, _encoding, done) {
      logged += String(chunk)
      done()
    },
  })
  const log = createLog({ level: 'trace', format: 'json' }, into)
  const store = await openStore(folder)
  const trail = trailOf(commands, store, log)
  const server = await startAdmin({ commands, store, trail, log, dataDir: folder, version: '0.1.0' })
  onEnd(() => server.close())
  const url = `http://127.0.0.1:${server.port}`
  return {
    commands,
    store,
    url,
    port: server.port,
    dataDir: folder,
    logged: () => logged,
    async ask(method, path, { as = 'admin', headers = {}, body } = {}) {
      const authorization = as === null ? {} : { authorization: `Bearer ${tokens[as]}` }
      const response = await fetch(url + path, {
        method,
        headers: { ...authorization, ...headers },
        redirect: 'manual',
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
      })
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, json: parsed(text) }
    },
  }
}
