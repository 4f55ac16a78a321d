/** A real gateway with its document, a token for each role, and things for its operations to name. */
import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { type Role, roles } from '../../src/contract/roles.ts'
import { faults, startCollector } from './collector.ts'
import { mirrorConfig, startTestGateway, type TestGateway } from './gateway.ts'
import type { Document, Placed, Schema } from './openapi.ts'
import type { Seed } from './schema-values.ts'
import { startUpstream } from './upstream.ts'
import { until } from './wait.ts'

export type SignedInAs = Role | 'session' | null

export interface Call {
  readonly as: SignedInAs
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** A text goes out as it is, everything else as JSON. */
  readonly body?: unknown
}

export interface Got {
  readonly status: number
  /** Media type without parameters. */
  readonly type: string
  readonly text: string
}

type Things = Readonly<Record<string, () => Promise<string>>>

export class Documented {
  readonly gateway: TestGateway
  readonly tokens: ReadonlyMap<Role, string>
  readonly api: Document
  #count = 0
  /** Tags to be assigned and taken off. */
  #handles: readonly string[] = []
  /** A destination of audit webhooks that stays. */
  #destinationId = ''
  readonly #keptThings = new Map<string, Promise<string>>()

  private constructor(gateway: TestGateway, tokens: ReadonlyMap<Role, string>, api: Document) {
    this.gateway = gateway
    this.tokens = tokens
    this.api = api
  }

  /** In a folder of its own unless told otherwise. */
  static async start({ folder }: { folder?: string } = {}): Promise<Documented> {
    const upstream = await startUpstream()
    const collector = await startCollector()
    collector.fault = faults.status(400)
    const rest = {
      admin: { rate_limits: { environment_per_minute: 0, default_per_minute: 0 } },
      streams: [{ name: 'to-siem', sink: 'blackhole', events: ['deploy'] }],
      notifications: { webhook: { url: `${upstream.url}/hook` } },
    }
    const gateway = await startTestGateway({
      config: mirrorConfig({ upstream: upstream.url, collector: collector.url, rest }),
      ...(folder !== undefined && { folder }),
    })
    await fetch(`${gateway.url}/refused-by-the-collector`)
    await until(async () => (await gateway.admin.mirror('salt')).counts.dead_lettered === 2, {
      what: 'both items are dead letters',
    })
    collector.fault = null
    const tokens = new Map<Role, string>()
    for (const role of roles) {
      const body = { name: `a-${role}`, role }
      tokens.set(role, (await gateway.admin.json<{ token: string }>('POST', '/api/clients', body)).token)
    }
    const api = await gateway.admin.json<Document>('GET', '/api/openapi.json')
    const made = new Documented(gateway, tokens, api)
    made.#handles = [await made.thing('tags'), await made.thing('tags')]
    made.#destinationId = await made.#destination()
    return made
  }

  get url(): string {
    return `http://127.0.0.1:${this.gateway.adminPort}`
  }

  async send({ as, method, path, headers = {}, body }: Call): Promise<Got> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(await this.#signedIn(as)),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
    const [type = ''] = (response.headers.get('content-type') ?? '').split(';')
    return { status: response.status, type, text: await response.text() }
  }

  async #signedIn(as: SignedInAs): Promise<Record<string, string>> {
    if (as === null) return {}
    if (as !== 'session') return { authorization: `Bearer ${this.tokens.get(as)}` }
    const response = await fetch(`${this.url}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: this.tokens.get('viewer') }),
    })
    const { csrf_token } = (await response.json()) as { csrf_token: string }
    const [cookie = ''] = (response.headers.getSetCookie()[0] ?? '').split(';')
    return { cookie, origin: this.url, 'x-csrf-token': csrf_token }
  }

  async #made<T>(path: string, body: object): Promise<T> {
    const { status, text } = await this.send({ as: 'admin', method: 'POST', path, body })
    expect(status, text).toBeLessThan(300)
    return JSON.parse(text) as T
  }

  #name(): string {
    this.#count += 1
    return `thing-${this.#count}`
  }

  readonly #things: Things = {
    collections: async () => {
      const name = this.#name()
      await this.#made('/api/collections', { name, prefix: `/${name}`, upstreams: [nowhere] })
      return name
    },
    connections: async () => {
      const name = this.#name()
      await this.#made('/api/connections', { name })
      return name
    },
    mirrors: async () => {
      const name = this.#name()
      await this.#made('/api/mirrors', { name, sink: 'blackhole' })
      return name
    },
    streams: async () => {
      const name = this.#name()
      await this.#made('/api/streams', { name, sink: 'blackhole', events: ['activity'] })
      return name
    },
    clients: async () => {
      const { id } = await this.#made<{ id: number }>('/api/clients', { name: this.#name(), role: 'viewer' })
      return String(id)
    },
    tags: async () => {
      const { data } = await this.#made<{ data: { handle: string } }>('/api/tags', { title: this.#name() })
      return data.handle
    },
    incidents: async () => {
      const name = await this.thing('connections')
      await this.#made(`/api/connections/${name}/disconnect`, {})
      const { text } = await this.send({ as: 'viewer', method: 'GET', path: '/api/incidents?page[size]=1' })
      return String((JSON.parse(text) as { data: { id: number }[] }).data[0]?.id)
    },
    'audit-log-destinations': () => this.#destination(),
    portals: async () => {
      const portal = randomUUID()
      const body = { audit_log_destination_id: this.#destinationId, enabled: true }
      const path = `/v3/portals/${portal}/audit-log-webhook`
      const { status, text } = await this.send({ as: 'admin', method: 'PATCH', path, body })
      expect(status, text).toBe(200)
      return portal
    },
    activity_logs: async () => {
      const body = { event_type: 'thing_happened', user: { id: 1 }, resource: { type: 'Thing' } }
      const { data } = await this.#made<{ data: { ids: number[] } }>('/api/activity_logs', body)
      return String(data.ids[0])
    },
  }

  async #destination(): Promise<string> {
    const body = { name: this.#name(), endpoint: 'https://siem.example.com/logs', authorization: 'a b' }
    return (await this.#made<{ id: string }>('/v3/audit-log-destinations', body)).id
  }

  /** The name of a new thing of a kind, made through the API: some requests take it away. */
  thing(kind: string): Promise<string> {
    const make = this.#things[kind]
    if (make === undefined) throw new Error(`nothing is known to make for /api/${kind}/{…}`)
    return make()
  }

  /** A thing of a kind that stays as it is. */
  #kept(kind: string): Promise<string> {
    const name = this.#keptThings.get(kind) ?? this.thing(kind)
    this.#keptThings.set(kind, name)
    return name
  }

  /** The path of an operation with a new thing in it, or with one that is there and `stays`. */
  async pathOf({ id, path }: Placed, stays = false): Promise<string> {
    if (!path.includes('{')) return path
    const kind = path.split('/')[2] ?? ''
    // Only there are dead letters to be read.
    const isRead = id.startsWith('GET /api/mirrors/')
    const name = isRead ? 'salt' : await (stays ? this.#kept(kind) : this.thing(kind))
    return path.replace(/\{\w+\}/, encodeURIComponent(name))
  }

  /** What no schema can tell: names that are free, things that exist, forms that are said in words. */
  readonly #seeds: Readonly<Record<string, () => unknown>> = {
    name: () => this.#name(),
    title: () => this.#name(),
    prefix: () => `/${this.#name()}`,
    upstreams: () => [nowhere],
    hosts: () => [`${this.#name()}.example.com`],
    token: () => this.tokens.get('viewer'),
    add_tags: () => this.#handles.slice(0, 1),
    remove_tags: () => this.#handles.slice(1),
    recipe_ids: () => [1],
    collections: () => ['orders'],
    mirrors: () => ['salt'],
    streams: () => ['to-siem'],
    connection: () => 'collector',
    'if-match': () => '*',
    from: () => '2026-11-01',
    to: () => '2026-11-30T12:00:00+01:00',
    timestamp: () => '2026-11-21 08:00:00 UTC',
    expires_at: () => '2099-12-31',
    'q[taggable_type_eq]': () => 'recipe',
    request_url: () => `${nowhere.url}/requests`,
    response_url: () => `${nowhere.url}/responses`,
    url: () => `${nowhere.url}/items`,
    yaml: () => `collections: [{ name: orders, upstreams: [{ url: "${nowhere.url}" }] }]`,
    base_url: () => 'https://collector.example.com/v1',
    proxy_url: () => 'http://127.0.0.1:9',
    audit_log_destination_id: () => this.#destinationId,
    endpoint: () => 'https://siem.example.com',
    start_at: () => new Date(Date.now() - 3_600_000).toISOString(),
    end_at: () => new Date().toISOString(),
    'filter[ts][gte]': () => '2026-11-01',
    'filter[ts][lte]': () => '2026-11-30',
    'page[after]': () => '1',
  }

  readonly seed: Seed = (name) => this.#seeds[name]?.()

  /** A body's schema with what a rule beyond it needs. */
  bodyOf({ id }: Placed, schema: Schema): Schema {
    const more = needed[id]
    return more === undefined ? schema : { ...schema, required: [...(schema.required ?? []), ...more] }
  }
}

/** A port where nobody listens. */
const nowhere = { url: 'http://127.0.0.1:9' }

/** Two collections must not claim the same requests; an assignment is of some tags to some things. */
const needed: Readonly<Record<string, readonly string[]>> = {
  'POST /api/collections': ['prefix'],
  'PUT /api/collections/{name}': ['prefix'],
  'POST /api/tags_assignments': ['add_tags', 'recipe_ids'],
}
