/**
 * One configuration as a data thread runs it: compiled once, immutable, kept until its last exchange has
 * ended.
 */
import { BlockList, isIPv6 } from 'node:net'
import { Counters as Cells } from '../telemetry/counters.ts'
import { Balancer, RetryBudget } from './balance.ts'
import { MirrorRule, RuleSet } from './mirror-rules.ts'
import type { DataPlan } from './thread-messages.ts'
import { type Routable, Router } from './route.ts'
import { Upstream, type UpstreamHost, type UpstreamSpec, poolKey } from './upstream-pool.ts'
import { readTls } from './upstream-tls.ts'

type CollectionPlan = DataPlan['collections'][number]

/** The upstreams of a thread. Those that two plans share live on with their connections. */
export class UpstreamRegistry {
  readonly #byKey = new Map<string, Upstream>()
  readonly #host: UpstreamHost

  constructor(host: UpstreamHost) {
    this.#host = host
  }

  use(spec: UpstreamSpec): Upstream {
    const key = poolKey(spec)
    let upstream = this.#byKey.get(key)
    if (upstream === undefined) this.#byKey.set(key, (upstream = new Upstream(spec, this.#host)))
    else upstream.adopt(spec)
    upstream.users++
    return upstream
  }

  /** Ends ejections, and connections, whose time is over. */
  tick(now: number): void {
    for (const upstream of this.#byKey.values()) {
      upstream.tick(now)
      if (upstream.ejectedUntil === 0 || upstream.ejectedUntil > now) continue
      upstream.ejectedUntil = 0
      upstream.showEjected(false)
    }
  }

  drop(upstream: Upstream): void {
    if (--upstream.users > 0) return
    this.#byKey.delete(upstream.key)
    upstream.close()
  }
}

export class Collection implements Routable {
  readonly name: string
  readonly hosts: readonly string[]
  readonly prefix: string
  readonly strip_prefix: boolean
  readonly balancer: Balancer<Upstream>
  readonly retryBudget: RetryBudget
  readonly retryAttempts: number
  readonly mirrors: RuleSet
  readonly hostFromClient: boolean
  readonly timeouts: CollectionPlan['timeouts']
  /** 0 = no limit. */
  readonly bodyBytesMax: number
  /** First of its counter cells. */
  readonly cell: number

  constructor(plan: CollectionPlan, mirrors: RuleSet, upstreams: readonly Upstream[]) {
    this.name = plan.name
    this.hosts = plan.hosts
    this.prefix = plan.prefix
    this.strip_prefix = plan.strip_prefix
    this.balancer = new Balancer(upstreams, plan.eject)
    this.retryBudget = new RetryBudget(plan.retry.budget)
    this.retryAttempts = plan.retry.attempts
    this.mirrors = mirrors
    this.hostFromClient = plan.host_header === 'client'
    this.timeouts = plan.timeouts
    this.bodyBytesMax = plan.limits.body_bytes
    this.cell = Cells.collection(plan.slot, 0)
  }
}

function specs(plan: CollectionPlan, { limits }: DataPlan['listen']): UpstreamSpec[] {
  const isSecure = ({ url }: { readonly url: string }): boolean => url.startsWith('https:')
  const tls = plan.upstreams.some(isSecure) ? readTls(plan.tls) : null
  return plan.upstreams.map((upstream, index) => ({
    url: upstream.url,
    weight: upstream.weight,
    slot: plan.upstreamSlots[index] as number,
    connections: plan.limits.connections_per_upstream,
    pending: plan.limits.pending,
    connectMs: plan.timeouts.connect_ms,
    headerBytes: limits.header_bytes,
    headerCount: limits.header_count,
    tls: isSecure(upstream) ? tls : null,
  }))
}

function blockList(cidrs: readonly string[]): BlockList | null {
  if (cidrs.length === 0) return null
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  return list
}

export class Snapshot {
  readonly generation: number
  readonly listen: DataPlan['listen']
  readonly methods: ReadonlySet<string>
  /** Value of Allow in a 405. */
  readonly allow: string
  /** What an answer says of a connection that stays. */
  readonly keepAliveLines: string
  readonly router: Router<Collection>
  readonly trusts: (address: string) => boolean
  readonly #registry: UpstreamRegistry
  readonly #upstreams: readonly Upstream[]
  #exchanges = 0
  #superseded = false

  constructor(data: DataPlan, registry: UpstreamRegistry) {
    this.generation = data.generation
    this.listen = data.listen
    this.methods = new Set(data.listen.methods)
    this.allow = data.listen.methods.join(', ')
    const seconds = Math.floor(data.listen.timeouts.idle_ms / 1000)
    this.keepAliveLines = `connection: keep-alive\r\nkeep-alive: timeout=${seconds}\r\n`
    this.#registry = registry
    const rules = new Map(data.mirrors.map((mirror) => [mirror.name, new MirrorRule(mirror)]))
    const upstreams: Upstream[] = []
    const collections = data.collections.map((plan) => {
      const own = specs(plan, data.listen).map((spec) => registry.use(spec))
      upstreams.push(...own)
      const mirrors = data.capturing ? plan.mirrors.map((name) => rules.get(name)) : []
      return new Collection(plan, new RuleSet(mirrors.filter((rule) => rule !== undefined)), own)
    })
    this.#upstreams = upstreams
    this.router = new Router(collections)
    const trusted = blockList(data.listen.trusted_proxies)
    this.trusts = (address) => trusted?.check(address, isIPv6(address) ? 'ipv6' : 'ipv4') ?? false
  }

  enter(): void {
    this.#exchanges++
  }

  leave(): void {
    if (--this.#exchanges === 0 && this.#superseded) this.#close()
  }

  /**
   * A newer plan takes new requests; connections that it does not share end with the last exchange of this
   * one.
   */
  supersede(): void {
    this.#superseded = true
    if (this.#exchanges === 0) this.#close()
  }

  #close(): void {
    for (const upstream of this.#upstreams) this.#registry.drop(upstream)
  }
}
